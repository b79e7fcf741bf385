"""Nodes that are booted together: their options, and ``yoctovirt boot`` of several."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from yoctovirt.cli.common import Function

if TYPE_CHECKING:
    from yoctovirt.base.record import RunRecord
    from yoctovirt.base.screen import Screen
    from yoctovirt.boot.launcher import BootRequest
    from yoctovirt.boot.network import Member
    from yoctovirt.boot.together import NodeSet, SetOptions
    from yoctovirt.config.workspace import Workspace


def set_options(function: Function) -> Function:
    """Add the options of nodes that are booted together, for :func:`make_set_options`."""
    for option in reversed(
        (
            click.option(
                "--net",
                type=click.Choice(["private", "tap", "none"]),
                help="What joins the nodes: a private network without root (default, where there "
                "are several), tap devices, nothing.",
            ),
            click.option(
                "--hosts", is_flag=True, help="Write the nodes' names into each other's /etc/hosts."
            ),
            click.option(
                "--on-death",
                type=click.Choice(["stop", "keep"]),
                default="stop",
                show_default=True,
                help="What happens to the other nodes when one dies.",
            ),
            click.option(
                "--skip-network-check",
                is_flag=True,
                help="Do not look whether the nodes reach one another.",
            ),
        )
    ):
        function = option(function)
    return function


def make_set_options(values: dict[str, Any], count: int) -> SetOptions:
    """Return the SetOptions in the keywords of a verb, for *count* nodes."""
    from yoctovirt.boot.together import SetOptions

    return SetOptions(
        net=values["net"] or ("private" if count > 1 else "none"),
        hosts=values["hosts"],
        on_death=values["on_death"],
        check_network=not values["skip_network_check"],
    )


def named_nodes(roles: Sequence[str]) -> list[tuple[str, str]]:
    """Return name and role of each node of ``ROLE[:N]...``."""
    from yoctovirt.boot.network import node_names, parse_count

    return node_names([parse_count(text) for text in roles])


def wants_set(roles: Sequence[str], values: dict[str, Any]) -> bool:
    """Whether a call is about nodes that are joined, and not about a single one."""
    return len(roles) > 1 or any(":" in text for text in roles) or values["net"] is not None


def plan_set(nodes: Sequence[tuple[str, str]], options: SetOptions) -> list[Member]:
    """Return the members of the network of *nodes*; their tap devices are looked at.

    Raises UsageError, and InfrastructureError where tap devices are missing.
    """
    from yoctovirt.boot.network import check_taps, plan_members

    members = plan_members(nodes)
    if options.net == "tap":
        check_taps(members)
    return members


@contextmanager
def set_phase(
    records: Sequence[RunRecord],
    requests: Sequence[BootRequest],
    members: Sequence[Member],
    options: SetOptions,
    screen: Screen,
) -> Iterator[NodeSet]:
    """Start the nodes as the phase ``boot`` of their records; yield them, stop them at the end.

    There is a record for each request, or one for all.
    """
    from contextlib import ExitStack

    from yoctovirt.boot.together import ready_nodes
    from yoctovirt.cli.flow import note_node

    own = list(records) if len(records) == len(requests) else [records[0]] * len(requests)
    logs = {id(record): record.commands(screen.command) for record in records}
    log_of = {request.name: logs[id(record)] for request, record in zip(requests, own, strict=True)}
    names = ", ".join(request.name for request in requests)
    starting = ready_nodes(requests, members, options, lambda request: log_of[request.name], screen)
    with ExitStack() as phases:
        details = [phases.enter_context(record.phase("boot")) for record in records]
        with screen.step(f"boot {names}"):
            found = starting.__enter__()
            for request, record in zip(requests, own, strict=True):
                launch = found.launches.get(request.name)
                if launch is not None:
                    note_node(record, launch.node)
            for one in details:
                one["network"] = {"kind": options.net, "measured": found.measured}
                one["timings"] = {name: x.node.state.timings for name, x in found.launches.items()}
            _show_network(found, screen)
    error: BaseException | None = None
    try:
        yield found
    except BaseException as caught:
        error = caught
        raise
    finally:
        starting.__exit__(type(error) if error else None, error, None)


def _show_network(found: NodeSet, screen: Screen) -> None:
    for row in found.measured:
        line = f"{row['from']} -> {row['to']}: ping {row['ping_ms']:.1f} ms"
        if "transfer_bytes" in row:
            kib = row["transfer_bytes"] / 1024
            line += f", {kib:.0f} KiB over TCP in {row['transfer_seconds']:.2f} s"
        screen.note(line)
    if found.died:
        verdict = found.verdict()
        assert verdict is not None
        screen.note(verdict.message)


def boot_set(workspace: Workspace, roles: Sequence[str], values: dict[str, Any]) -> None:
    """``yoctovirt boot`` of several nodes."""
    from yoctovirt.base.screen import Screen
    from yoctovirt.boot.launcher import BootRequest
    from yoctovirt.cli.bootoptions import make_boot_options
    from yoctovirt.cli.common import recorded
    from yoctovirt.cli.images import choose_image

    nodes = named_nodes(roles)
    options = make_set_options(values, len(nodes))
    members = plan_set(nodes, options)
    boot = make_boot_options(values)
    images = {role: choose_image(workspace, role, None, None) for role in dict(nodes).values()}
    screen = Screen()
    with recorded(workspace, "boot-" + "-".join(name for name, _ in nodes), None) as record:
        requests = [
            BootRequest(workspace, built.deploy, found, name, boot, record.path, built.runqemu)
            for name, (built, found) in ((name, images[role]) for name, role in nodes)
        ]
        with set_phase([record], requests, members, options, screen) as started:
            _print_ways_in(started)
            names = " ".join(started.alive)
            if values["detach"]:
                started.look()
                verdict = started.verdict()
                started.detach()
                click.echo(f"stop them: yoctovirt stop {names}")
                if verdict is not None:
                    raise verdict
            else:
                click.echo("stop them: Ctrl-C")
                _wait(started)


def _print_ways_in(found: NodeSet) -> None:
    for name, launch in found.alive.items():
        state = launch.node.state
        where = f", {state.private_address}" if state.private_address else ""
        settled = state.timings.get("settled")
        click.echo(
            f"node {name} is ready: {state.accelerator} ({state.accelerator_reason}){where}, "
            f"SSH after {state.timings.get('ssh', 0):.1f} s"
            + (f", settled after {settled:.1f} s" if settled else "")
        )
        click.echo(f"ssh:     yoctovirt ssh {name}")


def _wait(found: NodeSet) -> None:
    """Wait for the end of all nodes; raise the verdict where one died."""
    told: set[str] = set()
    while found.alive:
        time.sleep(0.2)
        if found.look() and found.options.on_death == "keep":
            verdict = found.verdict()
            assert verdict is not None
            click.echo(verdict.message, err=True)
        for name in found.powered_off:
            if name not in told:
                click.echo(f"node {name} has powered itself off")
                told.add(name)
    verdict = found.verdict()
    if verdict is not None:
        raise verdict
