"""``yoctovirt screenshot``."""

from __future__ import annotations

from pathlib import Path

import click

from yoctovirt.cli.common import workspace_of
from yoctovirt.cli.complete import node_names


@click.command("screenshot")
@click.argument("node", shell_complete=node_names)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), required=False)
@click.pass_context
def command(ctx: click.Context, node: str, file: Path | None) -> None:
    """Write what the display of NODE shows to FILE, as PNG (default: NODE.png here).

    Nodes have a display only where QEMU was given one: --qemuparams '-device VGA'.
    """
    from yoctovirt.boot.node import find_node
    from yoctovirt.boot.screenshot import take_screenshot
    from yoctovirt.errors import UsageError

    found = find_node(workspace_of(ctx), node)
    target = (file or Path(f"{node}.png")).absolute()
    if not target.parent.is_dir():
        raise UsageError(f"{target}: there is no folder {target.parent}")
    click.echo(take_screenshot(found.qmp, target))
