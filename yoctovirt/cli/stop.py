"""``yoctovirt stop``."""

from __future__ import annotations

import click

from yoctovirt.cli.common import workspace_of
from yoctovirt.cli.complete import node_names


@click.command("stop")
@click.argument("nodes", nargs=-1, metavar="NODE...", shell_complete=node_names)
@click.option("--all", "everything", is_flag=True, help="Stop all nodes of the workspace.")
@click.option("--now", is_flag=True, help="Do not wait for the guest to power off.")
@click.pass_context
def command(ctx: click.Context, nodes: tuple[str, ...], everything: bool, now: bool) -> None:
    """Stop running nodes: ask the guest to power off, then end QEMU."""
    from yoctovirt.boot.node import find_node, running_nodes, stop_node
    from yoctovirt.errors import UsageError

    workspace = workspace_of(ctx)
    if not nodes and not everything:
        raise UsageError("which node?", "name it, or stop all with --all")
    found = (
        list(running_nodes(workspace).values())
        if everything
        else [find_node(workspace, name) for name in nodes]
    )
    for node in found:
        how = stop_node(workspace, node, graceful=not now)
        click.echo(f"{node.name}: {how}")
