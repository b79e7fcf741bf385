"""``yoctovirt boot``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from yoctovirt.cli.bootoptions import boot_options, make_boot_options
from yoctovirt.cli.common import (
    recorded,
    skip_preflight_option,
    workspace_of,
)
from yoctovirt.cli.complete import role_names
from yoctovirt.cli.images import choose_image, image_options
from yoctovirt.cli.together import boot_set, set_options, wants_set

if TYPE_CHECKING:
    from yoctovirt.boot.launcher import Launch
    from yoctovirt.boot.node import Node


@click.command("boot")
@click.argument("roles", nargs=-1, metavar="[ROLE[:N]]...", shell_complete=role_names)
@click.option("--name", help="Name of the node (default: the role).")
@click.option("--detach", is_flag=True, help="Leave the node running and return.")
@click.option("--console", is_flag=True, help="Attach the terminal to the serial console at once.")
@image_options
@boot_options
@set_options
@skip_preflight_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    roles: tuple[str, ...],
    name: str | None,
    detach: bool,
    console: bool,
    deploy_dir: Path | None,
    image: str | None,
    bundle: Path | None,
    **values: Any,
) -> None:
    """Start the node of ROLE (default: the one built last) and wait until it can be used.

    The node runs on an overlay: the image is never written. It ends with this
    command (Ctrl-C), unless --detach leaves it.

    Several ROLEs (compute:2 is two nodes) are started at once and joined by a private network.
    """
    from yoctovirt.base.screen import Screen
    from yoctovirt.boot.launcher import BootRequest
    from yoctovirt.cli.flow import boot_phase, note_image
    from yoctovirt.errors import UsageError

    if console and detach:
        raise UsageError(
            "--console and --detach exclude each other",
            "boot with --detach, then use 'yoctovirt console NODE'",
        )
    workspace = workspace_of(ctx, create=bool(deploy_dir or bundle))
    if wants_set(roles, values):
        single = {"--name": name, "--console": console, "--deploy-dir": deploy_dir,
                  "--image": image, "--from": bundle, "--ssh-port": values["ssh_port"],
                  "--forward of a port": [one for one in make_boot_options(values).forwards
                                          if one.host]}  # fmt: skip
        for option, value in single.items():
            if value:
                raise UsageError(
                    f"{option} is for a single node",
                    "boot it alone, without --net, or leave it away",
                )
        boot_set(workspace, roles, {**values, "detach": detach})
        return
    role = roles[0] if roles else None
    built, found = choose_image(workspace, role, deploy_dir, image, bundle)
    node_name = name or (found.name if found else "node")
    _check_name(node_name)
    options = make_boot_options(values)
    screen = Screen()
    with recorded(workspace, f"boot-{node_name}", found.name if found else None) as record:
        note_image(record, built)
        request = BootRequest(
            workspace, built.deploy, found, node_name, options, record.path, built.runqemu
        )
        if console:
            from yoctovirt.boot.interactive import attach
            from yoctovirt.boot.launcher import launched

            with launched(request, record.commands(screen.command), screen) as launch:
                screen.note(f"SSH will be on 127.0.0.1:{launch.node.state.ssh_port}")
                attach(launch.console, node_name)
            return
        with boot_phase(record, request, screen) as launch:
            _print_ways_in(launch.node)
            if detach:
                launch.detach()
                click.echo(f"stop it: yoctovirt stop {node_name}")
            else:
                click.echo("stop it: Ctrl-C")
                _wait(launch)


def _check_name(name: str) -> None:
    import re

    from yoctovirt.errors import UsageError

    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,60}", name):
        raise UsageError(
            f"{name!r} is no name for a node", "use letters, digits, '-', '_' and '.', 61 at most"
        )


def _print_ways_in(node: Node) -> None:
    from yoctovirt.base.process import paste_form

    state = node.state
    names = {"login": "login", "ssh": "SSH", "settled": "settled"}
    timings = state.timings
    times = [f"{word} after {timings[key]:.1f} s" for key, word in names.items() if key in timings]
    click.echo(
        f"node {state.name} is ready: {state.accelerator} ({state.accelerator_reason}), "
        f"{', '.join(times)}"
    )
    click.echo(f"ssh:     yoctovirt ssh {state.name}")
    click.echo(f"         {paste_form(node.address().argv())}")
    for forward in state.forwards:
        click.echo(f"port:    {forward['address']}:{forward['host']} -> {forward['guest']}")
    click.echo(f"console: yoctovirt console {state.name}")
    click.echo(f"log:     {state.run}/console-{state.name}.log")


def _wait(launch: Launch) -> None:
    """Wait for the end of the node; a guest that powers itself off is no error."""
    from contextlib import suppress
    from subprocess import TimeoutExpired

    from yoctovirt.errors import BootError

    node = launch.node
    while True:
        with suppress(TimeoutExpired):
            status = launch.guard.wait(0.5)
            break
        reason = node.trouble.deadly()
        if reason is not None and launch.guard.poll() is None:
            raise BootError(f"node {node.name} does not go on: {reason}", f"see {node.console_log}")
    if status != 0:
        raise BootError(f"QEMU ended: {launch.why_gone()}", f"see {launch.qemu_log}")
    click.echo(launch.events.how_ended() or "QEMU has ended")
