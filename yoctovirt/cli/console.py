"""``yoctovirt console``."""

from __future__ import annotations

import click

from yoctovirt.cli.common import workspace_of


@click.command("console")
@click.argument("node")
@click.pass_context
def command(ctx: click.Context, node: str) -> None:
    """Attach the terminal to the serial console of NODE; Ctrl-] leaves it."""
    from yoctovirt.base.files import Lock
    from yoctovirt.boot.hosts import find_any_node
    from yoctovirt.boot.interactive import attach
    from yoctovirt.errors import UsageError

    found = find_any_node(workspace_of(ctx), node)
    lock = Lock(found.serial.lock_path)
    if not lock.acquire():
        raise UsageError(
            f"the console of {node} is in use", "leave the other session, or wait for its checks"
        )
    try:
        console = found.serial.open()
        try:
            attach(console, node)
        finally:
            console.close()
    finally:
        lock.release()
