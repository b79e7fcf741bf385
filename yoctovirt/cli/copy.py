"""``yoctovirt copy``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from yoctovirt.cli.common import workspace_of

if TYPE_CHECKING:
    from yoctovirt.base.screen import Screen
    from yoctovirt.boot.transfer import Progress


@click.command("copy")
@click.argument("source")
@click.argument("target")
@click.option("--serial", is_flag=True, help="Over the serial console, without a network.")
@click.pass_context
def command(ctx: click.Context, source: str, target: str, serial: bool) -> None:
    """Copy a file to a node or from it: one of SOURCE and TARGET is NODE:PATH."""
    from yoctovirt.base.screen import Screen
    from yoctovirt.boot.node import find_node
    from yoctovirt.boot.transfer import download, serial_read, serial_write, upload
    from yoctovirt.errors import UsageError

    node_name, remote, local, upwards = _sides(source, target)
    if upwards and remote.endswith("/"):
        remote += local.name
    if not upwards and local.is_dir():
        local = local / Path(remote).name
    node = find_node(workspace_of(ctx), node_name)
    screen = Screen()
    try:
        with screen.step(f"copy {source} to {target}"):
            show = _progress(screen)
            if upwards and serial:
                if not local.is_file():
                    raise UsageError(f"{local} is no file that can be read")
                data = local.read_bytes()
                serial_write(node.serial, data, remote, local.stat().st_mode & 0o7777, 600, show)
                size = len(data)
            elif serial:
                data = serial_read(node.serial, remote, 600)
                local.write_bytes(data)
                size = len(data)
            elif upwards:
                size = upload(node.ssh, local, remote, show)
            else:
                size = download(node.ssh, remote, local, show)
    finally:
        node.close()
    click.echo(f"{size} bytes")


def _sides(source: str, target: str) -> tuple[str, str, Path, bool]:
    """Return node, path on it, path here, and whether it goes to the node."""
    from yoctovirt.errors import UsageError

    # "./a:b" and "/a:b" are files of ours; a node's name has no slash.
    there = ["/" not in text.partition(":")[0] and ":" in text for text in (source, target)]
    if there[0] == there[1]:
        raise UsageError(
            f"copy {source} {target}: one of the two must be NODE:PATH, the other a file here",
            "such as: yoctovirt copy report.txt reference:/root/",
        )
    name, _, remote = (target if there[1] else source).partition(":")
    if not remote:
        raise UsageError(f"{name}: which file?", f"such as {name}:/root/report.txt")
    return name, remote, Path(source if there[1] else target), there[1]


def _progress(screen: Screen) -> Progress:
    def show(done: int, total: int) -> None:
        share = f" ({done * 100 // total} %)" if total > 0 else ""
        screen.status(f"{done / 1e6:.1f} MB{share}")

    return show
