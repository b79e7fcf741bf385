"""``yoctovirt roles``."""

from __future__ import annotations

import click


@click.command("roles")
@click.pass_context
def command(ctx: click.Context) -> None:
    """List the roles, what they promise and what they need."""
    from rich.console import Console
    from rich.table import Table

    from yoctovirt.config.roles import load_role, role_files
    from yoctovirt.config.workspace import find_workspace
    from yoctovirt.errors import UsageError

    try:
        workspace = find_workspace(ctx.obj["workspace"]).path
    except UsageError:
        workspace = None
    table = Table(box=None, pad_edge=False)
    for title in ("ROLE", "BUILDER", "MEMORY", "CPUS", "PROMISES"):
        table.add_column(title, overflow="fold")
    for name in role_files(workspace):
        role = load_role(name, workspace)
        table.add_row(
            name, role.builder, f"{role.node.memory} MiB", str(role.node.cpus),
            " ".join(role.promises),
        )  # fmt: skip
    Console(highlight=False).print(table)
