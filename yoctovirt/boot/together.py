"""Several nodes that belong together: started at once, joined, watched, and ended as one."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from yoctovirt.base.process import CommandLog
from yoctovirt.base.screen import Screen
from yoctovirt.boot.launcher import BootRequest, Launch, ready_node
from yoctovirt.boot.network import (
    Member,
    Segment,
    hosts_script,
    set_up_script,
    tap_qemuparams,
)
from yoctovirt.boot.node import Node, load_node
from yoctovirt.boot.preflight import check_host
from yoctovirt.boot.qemuargs import memory_mib
from yoctovirt.boot.verify import verify_network
from yoctovirt.errors import BootError

#: Seconds between two looks at whether all nodes are there.
_TURN = 0.2


@dataclass(frozen=True)
class SetOptions:
    """What the user chooses about nodes that are booted together."""

    net: str = "private"  #: ``private``, ``tap``, or ``none``
    hosts: bool = False  #: write the names into each other's hosts file
    on_death: str = "stop"  #: what happens to the others when one dies: ``stop``, ``keep``
    check_network: bool = True


class _PrefixedScreen(Screen):
    """A screen whose lines say which node they are of."""

    def __init__(self, screen: Screen, name: str) -> None:
        super().__init__(quiet=True)
        self._under, self._name = screen, name

    def line(self, text: str = "") -> None:
        self._under.line(f"    [{self._name}] {text.strip()}")


class _Start:
    """One node on its way, in a thread of its own."""

    def __init__(self, request: BootRequest, log: CommandLog, screen: Screen) -> None:
        self.request = request
        self.launch: Launch | None = None
        self.error: BaseException | None = None
        self._context: AbstractContextManager[Launch] = ready_node(request, log, screen)
        # Not Thread.join: interrupted by Ctrl-C it takes a thread that runs for one that ended.
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name=request.name)

    def begin(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        try:
            self.launch = self._context.__enter__()
        except BaseException as error:
            self.error = error
        finally:
            self._over.set()

    @property
    def over(self) -> bool:
        return self._over.is_set()

    def wait(self, seconds: float) -> None:
        self._over.wait(seconds)

    def kill(self) -> None:
        """Have the guard stop QEMU, where it runs already; so the wait for it ends, too."""
        node = load_node(self.request.workspace, self.request.name)
        if not self.over and node is not None and node.state.guard_pid:
            with suppress(ProcessLookupError):
                os.kill(node.state.guard_pid, signal.SIGTERM)

    def cancel(self) -> None:
        """End a start that is under way, however far it is."""
        while self._thread.ident is not None and not self.over:
            self.kill()
            self.wait(_TURN)

    def end(self) -> None:
        """Stop the node, unless it was detached."""
        if self.launch is not None:
            self._context.__exit__(None, None, None)


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
        return death_of(self.died, self.stopped or [*self.alive], self.options.on_death, "")

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Look after the nodes while the block runs; :meth:`verdict` tells what came."""
        over = threading.Event()

        def watch() -> None:
            while not over.wait(_TURN):
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


def death_of(died: dict[str, str], others: Sequence[str], on_death: str, when: str) -> BootError:
    """Return the error for nodes that died; *when* is empty, or such as `` while it started``."""
    what = "; ".join(f"node {name} died{when}: {why}" for name, why in died.items())
    if others:
        fate = "stopped with it" if on_death == "stop" else "kept"
        what += f"\n{fate}: {', '.join(others)}"
    hint = (
        "console-<node>.log and qemu-<node>.log of the run have the rest; "
        "--on-death keep leaves the others running"
    )
    error = BootError(what, hint if on_death == "stop" else hint.partition(";")[0])
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
    segment = Segment() if options.net == "private" else None
    try:
        starts = [
            _Start(
                _joined(request, member, segment, options),
                log_of(request),
                _PrefixedScreen(screen, request.name),
            )
            for request, member in zip(requests, members, strict=True)
        ]
        try:
            for start in starts:
                start.begin()
            found = _gather(starts, members, options)
        except BaseException:
            for start in starts:
                start.kill()
            for start in starts:
                start.cancel()
                start.end()
            raise
    finally:
        # From here on the guards hold the port.
        if segment is not None:
            segment.close()
    try:
        if options.net != "none":
            _join(found)
        yield found
    finally:
        for start in starts:
            start.end()


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


def _gather(starts: Sequence[_Start], members: Sequence[Member], options: SetOptions) -> NodeSet:
    """Wait until all nodes are ready, or one is lost."""
    while not all(start.over for start in starts):
        lost = any(_lost(start) for start in starts)
        if lost and options.on_death == "stop":
            break
        next(start for start in starts if not start.over).wait(_TURN)
    for start in starts:
        # Whatever is no matter of the node itself (wrong usage, the host, a bug) ends the set.
        if start.error is not None and not isinstance(start.error, BootError):
            raise start.error
    died = {start.request.name: reason for start in starts if (reason := _lost(start))}
    ready = {start.request.name: start.launch for start in starts if start.launch is not None}
    found = NodeSet(options, ready, list(members), died)
    others = [start.request.name for start in starts if start.request.name not in died]
    if died and (options.on_death == "stop" or not found.alive):
        raise death_of(died, others, options.on_death, " while it started")
    return found


def _lost(start: _Start) -> str:
    """Return why a node cannot become ready, or has gone since; '' where it is well."""
    if start.error is not None:
        return str(start.error)
    return (start.launch.why_gone() or "") if start.launch is not None else ""


def _join(found: NodeSet) -> None:
    """Give the nodes their addresses and names, and see that they reach one another."""
    nodes = {name: launch.node for name, launch in found.alive.items()}
    members = [member for member in found.members if member.name in nodes]
    for member in members:
        node = nodes[member.name]
        _run(node, set_up_script(member), "the interface of the private network is not set up")
        if found.options.hosts:
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
