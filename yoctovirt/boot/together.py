"""Several nodes that belong together: started at once, joined, watched, and ended as one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from yoctovirt.base.process import CommandLog
from yoctovirt.base.screen import Screen
from yoctovirt.boot.launcher import BootRequest, Launch
from yoctovirt.boot.network import (
    Member,
    Segment,
    hosts_script,
    set_up_script,
    tap_qemuparams,
)
from yoctovirt.boot.node import Node
from yoctovirt.boot.preflight import check_host
from yoctovirt.boot.qemuargs import memory_mib
from yoctovirt.boot.starting import TURN, PrefixedScreen, Start
from yoctovirt.boot.verify import verify_network
from yoctovirt.boot.warm import Warm, with_generation
from yoctovirt.boot.warmsave import keep
from yoctovirt.boot.warmstart import freshness, refusal
from yoctovirt.errors import BootError


@dataclass(frozen=True)
class SetOptions:
    """What the user chooses about nodes that are booted together."""

    net: str = "private"  #: ``private``, ``tap``, or ``none``
    hosts: bool = False  #: write the names into each other's hosts file
    on_death: str = "stop"  #: what happens to the others when one dies: ``stop``, ``keep``
    check_network: bool = True


@dataclass
class NodeSet:
    """Nodes that run together, and those of them that have died."""

    options: SetOptions
    launches: dict[str, Launch]
    members: list[Member]
    died: dict[str, str] = field(default_factory=dict)  #: name -> why
    powered_off: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)  #: because another one died
    measured: list[dict[str, Any]] = field(default_factory=list)  #: see verify_network()
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def alive(self) -> dict[str, Launch]:
        """The nodes that run, by name."""
        gone = {*self.died, *self.powered_off, *self.stopped}
        return {name: one for name, one in self.launches.items() if name not in gone}

    def look(self) -> bool:
        """Note who has gone since the last look; return whether anybody died.

        Where the user wants it so, the others are stopped.
        """
        with self._lock:
            new = {}
            for name, launch in self.alive.items():
                status = launch.guard.poll()
                if status == 0:
                    self.powered_off.append(name)
                elif status is not None:
                    new[name] = launch.why_gone() or f"exit status {status}"
            self.died.update(new)
            if new and self.options.on_death == "stop":
                for name, launch in self.alive.items():
                    self.stopped.append(name)
                    launch.stop()
            return bool(new)

    def verdict(self) -> BootError | None:
        """Return the error that says who died and what became of the others, None for nobody."""
        if not self.died:
            return None
        return death_of(self.died, self.stopped or [*self.alive], self.options.on_death)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Look after the nodes while the block runs; :meth:`verdict` tells what came."""
        over = threading.Event()

        def watch() -> None:
            while not over.wait(TURN):
                self.look()

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()
            self.look()

    def detach(self) -> None:
        """Leave the nodes that run."""
        for launch in self.alive.values():
            launch.detach()


def death_of(
    died: dict[str, str], others: Sequence[str], on_death: str, what: str = "died"
) -> BootError:
    """Return the error for nodes that died, or whatever else happened to them (*what*)."""
    message = "; ".join(f"node {name} {what}: {why}" for name, why in died.items())
    if others:
        fate = "stopped with it" if on_death == "stop" else "kept"
        message += f"\n{fate}: {', '.join(others)}"
    hint = (
        "console-<node>.log and qemu-<node>.log of the run have the rest; "
        "--on-death keep leaves the others running"
    )
    error = BootError(message, hint if on_death == "stop" else hint.partition(";")[0])
    error.details = {
        "died": died,
        "stopped" if on_death == "stop" else "kept": list(others),
    }
    return error


@contextmanager
def ready_nodes(
    requests: Sequence[BootRequest],
    members: Sequence[Member],
    options: SetOptions,
    log_of: Callable[[BootRequest], CommandLog],
    screen: Screen,
) -> Iterator[NodeSet]:
    """Start the nodes of *requests* at once and yield them when all answer and are joined.

    All are stopped at the end but those that were detached. *members* stand in the order of
    *requests*. Raises what a single boot raises; where one node fails, the error says
    what became of the others. With ``on_death`` "keep" nodes that failed are in ``died``.
    """
    _check_hosts(requests, screen)
    warm: Warm | None = None
    if requests[0].options.warm:
        requests = [with_generation(request) for request in requests]
        networks = {one.name: f"{options} {one.address} {one.mac}" for one in members}
        warm = Warm(requests, networks)
    segment = Segment() if options.net == "private" else None
    try:
        joined = [
            _joined(request, member, segment, options)
            for request, member in zip(requests, members, strict=True)
        ]
        starts, found, resumed = _start_all(joined, members, options, log_of, screen, warm)
    finally:
        # From here on the guards hold the port.
        if segment is not None:
            segment.close()
    try:
        if options.net != "none":
            _join(found, set_up=not resumed)
        if warm is not None and not resumed and not found.died:
            keep(warm, found.launches, screen)
        yield found
    finally:
        for start in starts:
            start.end()


def _start_all(
    requests: Sequence[BootRequest],
    members: Sequence[Member],
    options: SetOptions,
    log_of: Callable[[BootRequest], CommandLog],
    screen: Screen,
    warm: Warm | None,
) -> tuple[list[Start], NodeSet, bool]:
    """Start all nodes, from a warm state where one fits; say whether they were resumed."""
    entry = warm.find(screen) if warm is not None else None
    if entry is not None:
        resumes = entry.resumes()
        resumed = [replace(request, resume=resumes[request.name]) for request in requests]
        try:
            starts, found = _start(resumed, members, replace(options, on_death="stop"), log_of,
                                   screen)  # fmt: skip
        except BootError as error:
            screen.note(refusal(error))
            entry.drop()
        else:
            found.options = options
            for launch in found.launches.values():
                screen.note(f"[{launch.node.name}] {freshness(launch)}")
            return starts, found, True
    starts, found = _start(requests, members, options, log_of, screen)
    return starts, found, False


def _start(
    requests: Sequence[BootRequest],
    members: Sequence[Member],
    options: SetOptions,
    log_of: Callable[[BootRequest], CommandLog],
    screen: Screen,
) -> tuple[list[Start], NodeSet]:
    starts = [
        Start(request, log_of(request), PrefixedScreen(screen, request.name))
        for request in requests
    ]
    try:
        for start in starts:
            start.begin()
        return starts, _gather(starts, members, options)
    except BaseException:
        for start in starts:
            start.kill()
        for start in starts:
            start.cancel()
            start.end()
        raise


def _check_hosts(requests: Sequence[BootRequest], screen: Screen) -> None:
    """Raise InfrastructureError where this host is not fit for all of them together."""
    asked = [request for request in requests if request.options.preflight]
    if not asked:
        return
    memory = sum(
        request.options_with_role().memory or memory_mib(request.deploy.qemuboot, None)
        for request in asked
    )
    names = ", ".join(request.name for request in asked)
    machines = {
        None if request.runqemu else request.deploy.testdata.get("MACHINE", "") for request in asked
    }
    for machine in sorted(machines, key=str):
        check_host(asked[0].workspace, names, memory, machine, screen)


def _joined(
    request: BootRequest, member: Member, segment: Segment | None, options: SetOptions
) -> BootRequest:
    """Return *request* with the interface of the private network."""
    own = replace(request.options, preflight=False)
    if options.net == "none":
        return replace(request, options=own)
    nic = segment.qemuparams(member) if segment else tap_qemuparams(member)
    own = replace(own, qemuparams=(nic, *own.qemuparams))
    held = (segment.fileno(),) if segment else ()
    return replace(request, options=own, held=held)


def _gather(starts: Sequence[Start], members: Sequence[Member], options: SetOptions) -> NodeSet:
    """Wait until all nodes are ready, or one is lost."""
    while not all(start.over for start in starts):
        lost = any(_lost(start) for start in starts)
        if lost and options.on_death == "stop":
            break
        # The last of them may have become ready just now.
        next((start for start in starts if not start.over), starts[0]).wait(TURN)
    for start in starts:
        # Whatever is no matter of the node itself (wrong usage, the host, a bug) ends the set.
        if start.error is not None and not isinstance(start.error, BootError):
            raise start.error
    died = {start.request.name: reason for start in starts if (reason := _lost(start))}
    ready = {start.request.name: start.launch for start in starts if start.launch is not None}
    found = NodeSet(options, ready, list(members), died)
    others = [start.request.name for start in starts if start.request.name not in died]
    if died and (options.on_death == "stop" or not found.alive):
        raise death_of(died, others, options.on_death, "did not become ready")
    return found


def _lost(start: Start) -> str:
    """Return why a node cannot become ready, or has gone since; '' where it is well."""
    if start.error is not None:
        return str(start.error)
    return (start.launch.why_gone() or "") if start.launch is not None else ""


def _join(found: NodeSet, set_up: bool = True) -> None:
    """Give the nodes their addresses and names, and see that they reach one another.

    Nodes that were resumed have them already (*set_up* is False).
    """
    nodes = {name: launch.node for name, launch in found.alive.items()}
    members = [member for member in found.members if member.name in nodes]
    for member in members:
        node = nodes[member.name]
        if set_up:
            what = "the interface of the private network is not set up"
            _run(node, set_up_script(member), what)
        if set_up and found.options.hosts:
            _run(node, hosts_script(member, members), "/etc/hosts cannot be written")
        node.state.private_address = member.address
        node.save()
    if found.options.check_network and len(members) > 1:
        found.measured = verify_network(members, nodes)


def _run(node: Node, script: str, what: str) -> None:
    result = node.run(script)
    if not result.ok:
        raise BootError(
            f"node {node.name}: {what}: {result.output.strip()}",
            "--net none boots without the private network",
        )
