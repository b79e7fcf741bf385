"""``yoctovirt ssh``."""

from __future__ import annotations

import os
import shutil
import sys

import click

from yoctovirt.cli.common import workspace_of
from yoctovirt.cli.complete import node_and_host_names


@click.command("ssh", context_settings={"ignore_unknown_options": True})
@click.argument("node", shell_complete=node_and_host_names)
@click.argument("cmd", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def command(ctx: click.Context, node: str, cmd: tuple[str, ...]) -> int:
    """Log in on NODE, or run CMD there; the exit status of CMD is passed through.

    CMD is handled as by ssh itself: its words are joined and given to the node's shell.
    """
    from yoctovirt.boot.hosts import find_any_node

    found = find_any_node(workspace_of(ctx), node)
    address = found.address()
    if shutil.which("ssh"):
        # OpenSSH knows terminals, escapes and forwarding better than we do.
        argv = address.argv(*cmd)
        sys.stdout.flush()
        sys.stderr.flush()
        os.execvp(argv[0], argv)  # noqa: S606
    if not cmd:
        from yoctovirt.errors import InfrastructureError

        raise InfrastructureError(
            "an interactive login needs OpenSSH's client", "apt-get install openssh-client"
        )
    result = found.ssh.run(" ".join(cmd), timeout=86400)
    click.echo(result.output, nl=False)
    return result.exit_status
