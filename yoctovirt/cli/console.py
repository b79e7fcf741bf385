"""``yoctovirt console``."""

from __future__ import annotations

import sys

import click

from yoctovirt.cli.common import workspace_of
from yoctovirt.cli.complete import node_and_host_names


@click.command("console")
@click.argument("node", shell_complete=node_and_host_names)
@click.option("--read-only", is_flag=True, help="Only look on.")
@click.pass_context
def command(ctx: click.Context, node: str, read_only: bool) -> None:
    """Attach the terminal to the serial console of NODE; Ctrl-] leaves it.

    One terminal at a time may type; others look on.
    """
    from yoctovirt.base.files import Lock, holder
    from yoctovirt.boot.hosts import find_any_node
    from yoctovirt.boot.interactive import attach, look_on
    from yoctovirt.boot.logs import find_log
    from yoctovirt.errors import UsageError

    workspace = workspace_of(ctx)
    found = find_any_node(workspace, node)
    if read_only:
        look_on(find_log(workspace, node), f"console of {node}, read-only")
        return
    lock = Lock(found.serial.lock_path)
    if not lock.acquire():
        who = lock.read() or "another process"
        if not sys.stdin.isatty():
            raise UsageError(
                f"the console of {node} is in use ({who})",
                "leave the other session, or wait for its checks; --read-only looks on",
            )
        look_on(find_log(workspace, node), f"console of {node}, read-only: it is in use ({who})")
        return
    lock.write(holder())
    try:
        console = found.serial.open()
        try:
            attach(console, node)
        finally:
            console.close()
    finally:
        lock.release()
