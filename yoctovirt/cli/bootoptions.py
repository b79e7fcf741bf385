"""Options of the verbs that boot nodes: ``boot``, ``smoke``, ``ci``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from yoctovirt.cli.common import Function

if TYPE_CHECKING:
    from yoctovirt.boot.qemuargs import BootOptions


def boot_options(function: Function) -> Function:
    """Add the options of a boot; they come as keywords for :func:`make_boot_options`."""
    for option in reversed(
        (
            click.option("--kvm/--no-kvm", default=None, help="Insist on KVM, or on TCG."),
            click.option("--memory", type=click.IntRange(32), metavar="MIB", help="Memory in MiB."),
            click.option("--cpus", "--smp", type=click.IntRange(1), help="Number of CPUs (-smp)."),
            click.option(
                "--qemuparams", multiple=True, metavar="ARGS", help="Extra QEMU arguments."
            ),
            click.option(
                "--bootparams", multiple=True, metavar="ARGS", help="Extra kernel arguments."
            ),
            click.option(
                "--ssh-port",
                type=click.IntRange(1, 65535),
                help="Port of 127.0.0.1 for SSH (default: a free one).",
            ),
            click.option(
                "--forward",
                "forwards",
                multiple=True,
                metavar="[ADDR:]HOST:GUEST",
                help="Forward a TCP port of this host into the node, such as 8080:80.",
            ),
            click.option(
                "--disk", "disks", multiple=True, metavar="SIZE", help="An empty disk, such as 10G."
            ),
            click.option(
                "--persist",
                is_flag=True,
                help="Keep what the node writes, for the next boot of that name (persist/).",
            ),
            click.option(
                "--warm",
                is_flag=True,
                help="Resume the state that is kept of this node; without one boot, and keep it.",
            ),
            click.option(
                "--login-timeout", type=float, metavar="S", help="Seconds until the login prompt."
            ),
            click.option("--ssh-timeout", type=float, metavar="S", help="Seconds until SSH."),
            click.option(
                "--settle/--no-settle",
                default=True,
                help="Wait until init has started everything (default), or for SSH alone.",
            ),
            click.option(
                "--settle-timeout",
                type=click.FloatRange(min=0, min_open=True),
                metavar="S",
                help="Seconds from SSH to a settled init.",
            ),
            click.option(
                "--timeout-scale",
                type=click.FloatRange(0.1, 100),
                default=1.0,
                show_default=True,
                help="Factor for all deadlines, for a slow host.",
            ),
        )
    ):
        function = option(function)
    return function


BOOT_KEYS = (
    "kvm", "memory", "cpus", "qemuparams", "bootparams",
    "ssh_port", "persist", "warm", "login_timeout", "ssh_timeout", "settle",
    "settle_timeout", "timeout_scale",
)  # fmt: skip


def make_boot_options(values: dict[str, Any]) -> BootOptions:
    """Return the BootOptions in the keywords of a verb."""
    from yoctovirt.boot.disks import parse_size
    from yoctovirt.boot.forwards import parse_forward
    from yoctovirt.boot.qemuargs import BootOptions

    chosen = {key: values[key] for key in BOOT_KEYS}
    return BootOptions(
        **chosen,
        disks=tuple(parse_size(text) for text in values["disks"]),
        forwards=tuple(parse_forward(text) for text in values["forwards"]),
        preflight=not values["skip_preflight"],
    )
