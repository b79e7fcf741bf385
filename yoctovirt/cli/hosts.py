"""Hosts that answer SSH in place of nodes that are booted here: ``nodes.yml`` and ``--host``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import click

from yoctovirt.cli.complete import host_names

if TYPE_CHECKING:
    from yoctovirt.base.record import RunRecord
    from yoctovirt.base.screen import Screen
    from yoctovirt.boot.hosts import Host
    from yoctovirt.boot.node import Node
    from yoctovirt.boot.qemuargs import BootOptions
    from yoctovirt.config.roles import Role
    from yoctovirt.config.workspace import Workspace

host_option = click.option(
    "--host",
    metavar="[USER@]ADDRESS[:PORT]",
    shell_complete=host_names,
    help="Test this host, or one of nodes.yml, in place of a node that is booted here; ROLE says "
    "what it promises.",
)


def choose_host(
    workspace: Workspace, target: str | None, named: str | None
) -> tuple[Host, Role | None] | None:
    """Return the host of ``--host`` (*named*) or of nodes.yml (*target*), and its role.

    None where the call means no host. Raises UsageError for an unknown role and a bad address.
    """
    from yoctovirt.boot.hosts import host_from_address, load_hosts
    from yoctovirt.cli.common import load_checked_role

    hosts = load_hosts(workspace)
    if named is not None:
        host = hosts.get(named) or host_from_address(named)
        role_name = target or host.role
    elif target in hosts:
        host = hosts[target]
        role_name = host.role
    else:
        return None
    role = load_checked_role(role_name, workspace.path) if role_name else None
    return host, role


def choose_hosts(
    workspace: Workspace, names: Sequence[str], named: str | None
) -> tuple[list[tuple[Host, Role | None]], tuple[str, ...]]:
    """Return the hosts that a call of ``ci`` means, and those of *names* that are roles."""
    from yoctovirt.errors import UsageError

    chosen = {name: choose_host(workspace, name, None) for name in names}
    if named is not None:
        if len(names) > 1 or any(chosen.values()):
            raise UsageError("--host is tested as one role", "name at most one role with it")
        host = choose_host(workspace, names[0] if names else None, named)
        return ([host] if host else []), ()
    if not names:
        raise UsageError("which role?", "name it, or a host of nodes.yml; see 'yoctovirt roles'")
    hosts = [host for host in chosen.values() if host]
    return hosts, tuple(name for name in names if not chosen[name])


@contextmanager
def host_phase(
    record: RunRecord,
    workspace: Workspace,
    host: Host,
    role: Role | None,
    screen: Screen,
    options: BootOptions,
) -> Iterator[Node]:
    """Reach *host* as the phase ``boot`` of *record*; yield it, leave it at the end."""
    from yoctovirt.boot.hosts import attached
    from yoctovirt.cli.flow import note_node

    log = record.commands(screen.command)
    attaching = attached(workspace, host, role, record.path, log, screen, options)
    with record.phase("boot") as details, screen.step(f"reach {host.name}"):
        node = attaching.__enter__()
        details["host"] = node.state.accelerator_reason
        note_node(record, node)
    error: BaseException | None = None
    try:
        yield node
    except BaseException as caught:
        error = caught
        raise
    finally:
        attaching.__exit__(type(error) if error else None, error, None)


def test_host(
    record: RunRecord,
    workspace: Workspace,
    chosen: tuple[Host, Role | None],
    screen: Screen,
    choice: dict[str, Any],
    options: BootOptions,
) -> None:
    """Reach a host and run the smoke suites on it, *choice* of them, into *record*."""
    test_hosts(record, workspace, [chosen], screen, choice, options)


def test_hosts(
    record: RunRecord,
    workspace: Workspace,
    chosen: Sequence[tuple[Host, Role | None]],
    screen: Screen,
    choice: dict[str, Any],
    options: BootOptions,
) -> None:
    """Reach hosts and run the smoke suites on them as one system, into *record*."""
    from yoctovirt.cli.flow import note_unreached, smoke_phase
    from yoctovirt.cli.table import print_verdicts

    try:
        with ExitStack() as reached:
            nodes = [
                reached.enter_context(host_phase(record, workspace, host, role, screen, options))
                for host, role in chosen
            ]
            smoke_phase(record, workspace, nodes, screen, **choice)
    finally:
        promises = [promise for _, role in chosen if role for promise in role.promises]
        note_unreached(record, promises, workspace)
        print_verdicts(record.data)
