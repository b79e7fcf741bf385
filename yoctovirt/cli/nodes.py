"""``yoctovirt nodes``."""

from __future__ import annotations

import json

import click

from yoctovirt.cli.common import workspace_of


@click.command("nodes")
@click.option("--json", "as_json", is_flag=True, help="Print everything that is known, as JSON.")
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """List the running nodes of the workspace."""
    from dataclasses import asdict

    from yoctovirt.boot.node import running_nodes

    workspace = workspace_of(ctx)
    nodes = running_nodes(workspace)
    if as_json:
        click.echo(json.dumps([asdict(node.state) for node in nodes.values()], indent=2))
        return
    if not nodes:
        click.echo(f"no node is running in {workspace.path}", err=True)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("NODE", "ROLE", "STATE", "ACCEL", "MEMORY", "CPUS", "SSH", "STARTED"):
        table.add_column(title)
    for node in nodes.values():
        state = node.state
        ssh = f"{state.ssh_host}:{state.ssh_port}" if state.ssh_port else "-"
        table.add_row(
            state.name, state.role or "-", state.state, state.accelerator,
            f"{state.memory_mib} MiB", str(state.cpus), ssh, state.started,
        )  # fmt: skip
    Console(highlight=False).print(table)
