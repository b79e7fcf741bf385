"""A node: what is known of it on disk, and the two ways to run commands on it."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from yoctovirt.base.deadline import Deadline
from yoctovirt.base.files import is_locked, write_atomically
from yoctovirt.base.suggest import did_you_mean
from yoctovirt.boot.lines import open_console
from yoctovirt.boot.qemuargs import QMP_SOCKET, SERIAL_SOCKET
from yoctovirt.boot.qmp import Qmp
from yoctovirt.boot.reboot import expected_reboot
from yoctovirt.boot.restarts import AFTERMATH, BOOT_ID, Restarts, Since
from yoctovirt.boot.results import CommandResult, NodeRestartedError, NodeUnreachableError
from yoctovirt.boot.serial import SerialShell
from yoctovirt.boot.ssh import SshShell
from yoctovirt.boot.sshlogin import SshAddress
from yoctovirt.boot.trouble import Trouble
from yoctovirt.config.workspace import Workspace
from yoctovirt.errors import BootError, UsageError

STATE_FILE = "node.json"


@dataclass
class NodeState:
    """What ``node.json`` says of a running node."""

    name: str
    role: str | None
    promises: list[str]
    allowed_failed_units: list[str]
    image: str
    deploy_dir: str
    accelerator: str
    accelerator_reason: str
    timeout_scale: float
    memory_mib: int
    cpus: int
    run: str  #: folder of the run record with console.log and qemu.log
    command: list[str]
    guard_pid: int = 0
    started: str = ""
    state: str = "starting"  #: ``starting``, ``settling`` (SSH answers), ``ready``
    detached: bool = False
    ssh_host: str = "127.0.0.1"
    ssh_port: int = 0
    ssh_user: str = "root"
    ssh_key: str = ""
    ssh_host_key: str = ""
    console_ready: int = 0  #: size of the console log when the node was ready
    forwards: list[dict[str, Any]] = field(default_factory=list)  #: address, host, guest
    allowed_console: list[str] = field(default_factory=list)  #: lines that are no failure
    kind: str = "qemu"  #: ``qemu``, or ``host``: a board or server that nobody boots here
    serial: dict[str, Any] = field(default_factory=dict)  #: of a host, as in nodes.yml
    serial_lock: str = ""  #: of a host: all runs share it
    known_hosts: str = ""  #: file for OpenSSH; empty: beside our key
    #: ``init``, ``state`` and ``failed_units``; empty where nobody waited for it
    settled: dict[str, Any] = field(default_factory=dict)
    random: str = ""  #: of a resumed node: how its random numbers were made fresh
    private_address: str = ""  #: in the network of the nodes that were booted with it
    timings: dict[str, float] = field(default_factory=dict)  #: seconds after the start of QEMU


def node_dir(workspace: Workspace, name: str) -> Path:
    """Return the folder of the running node *name*."""
    return workspace.nodes / name


def lock_path(workspace: Workspace, name: str) -> Path:
    """Return the lock that the guard of a node holds as long as it runs."""
    return workspace.nodes / f"{name}.lock"


class Node:
    """A running node."""

    def __init__(self, folder: Path, state: NodeState) -> None:
        self.folder = folder
        self.state = state
        self.qmp = Qmp(folder / QMP_SOCKET)
        host = state.kind == "host"
        self.serial = SerialShell(
            folder / SERIAL_SOCKET,
            Path(state.serial_lock) if host else folder / "serial.lock",
            state.timeout_scale,
            (lambda: open_console(state.name, state.serial)) if host else None,
            self.interrupted,
        )
        self.restarts = Restarts(state.name, folder, self.events_log)
        #: Whether a restart that was announced has begun.
        self.restarting: Callable[[], bool] = lambda: False
        self._ssh: SshShell | None = None
        self._trouble: Trouble | None = None

    @property
    def name(self) -> str:
        """Name of the node."""
        return self.state.name

    @property
    def ssh(self) -> SshShell:
        """The node's shell over SSH; the connection is made when it is first used."""
        if self._ssh is None:
            trouble = self.trouble if self.state.kind == "qemu" else None
            self._ssh = SshShell(self.address(), self.state.timeout_scale, trouble, self)
        return self._ssh

    @property
    def connected(self) -> bool:
        """Whether there is an SSH connection of ours."""
        return self._ssh is not None and self._ssh.alive

    @property
    def trouble(self) -> Trouble:
        """What has become of the node since it was ready."""
        if self._trouble is None:
            state = self.state
            self._trouble = Trouble(
                self.console_log,
                state.console_ready,
                self.folder.with_name(f"{state.name}.lock"),
                self.qmp,
                state.allowed_console,
                patient=state.accelerator != "kvm",
            )
        return self._trouble

    @property
    def console_log(self) -> Path:
        """All that came on the console, in the record of the run that booted the node."""
        return Path(self.state.run) / f"console-{self.state.name}.log"

    @property
    def events_log(self) -> Path:
        """What QEMU told, in the record of the run that booted the node; a host has none."""
        return Path(self.state.run) / f"events-{self.state.name}.jsonl"

    def watch_restarts(self, since: Since | None = None) -> None:
        """Make each command fail after a restart that nobody has announced.

        Those count that come after *since*, by default after this call. The error is
        NodeRestartedError.
        """
        self.restarts.watch(since)

    def expect_reboot(
        self, seconds: float = 300.0, settled: bool = True
    ) -> AbstractContextManager[None]:
        """Let the node restart in the block, and wait behind it until it is ready again.

        *seconds* are scaled; *settled*: until its init has settled, too. That the connection
        breaks in the block is no error. Raises NodeUnreachableError where the node has not
        restarted, or does not answer, by then; BootError where its init does not settle.
        """
        return expected_reboot(self, seconds, settled)

    def leave_boot(self) -> None:
        """Forget the boot that has ended: our connection, and what its console said."""
        self.close()
        self.state.console_ready = self.console_size
        self._trouble = None

    @property
    def console_size(self) -> int:
        """Bytes that the console has said so far."""
        return self.console_log.stat().st_size if self.console_log.is_file() else 0

    @property
    def aftermath(self) -> float:
        """Seconds, before scaling, that is waited for a restart when the connection broke."""
        return AFTERMATH if self.restarts.watched and not self.restarts.expected() else 0.0

    def met(self) -> None:
        """Look whether a new connection has led to the boot that we know."""
        if not self.restarts.watched or self._ssh is None:
            return
        try:
            self.restarts.met(self._ssh.run(BOOT_ID).output.strip())
        except NodeRestartedError:
            self.close()
            raise

    def interrupted(self, meanwhile: str) -> None:
        """Raise where no command can come to its end, because the node restarts."""
        if self.restarting():
            raise NodeUnreachableError(f"the node restarts, as announced, while {meanwhile}")
        self.restarts.check(meanwhile)

    def address(self) -> SshAddress:
        """Return where the sshd is; BootError where the node is not that far yet."""
        state = self.state
        if state.kind == "host" and not state.ssh_host_key:
            raise BootError(
                f"the host key of {state.name} is not known",
                f"connect once with ssh {state.ssh_user}@{state.ssh_host} -p {state.ssh_port}, or "
                "write it as host_key into nodes.yml",
            )
        if not (state.ssh_port and state.ssh_host_key):
            raise BootError(
                f"node {state.name} is not ready: its SSH address is not known yet",
                "wait until 'yoctovirt nodes' says ready",
            )
        return SshAddress(
            state.ssh_host, state.ssh_port, state.ssh_user,
            Path(state.ssh_key) if state.ssh_key else None, state.ssh_host_key,
            Path(state.known_hosts) if state.known_hosts else None,
        )  # fmt: skip

    @property
    def has_serial(self) -> bool:
        """Whether there is a serial console."""
        return self.state.kind != "host" or bool(self.state.serial)

    @property
    def has_image(self) -> bool:
        """Whether it is known what the node was made of."""
        return bool(self.state.deploy_dir)

    def run(self, command: str, timeout: float = 60.0, via: str = "ssh") -> CommandResult:
        """Run *command* on the node, *via* ``ssh`` or ``serial``.

        *timeout* is in seconds, scaled by the accelerator. Raises
        CommandTimeoutError and NodeUnreachableError.
        """
        self.interrupted(f"a command was to run: {command}")
        if via == "serial":
            return self.serial.run(command, timeout)
        return self.ssh.run(command, timeout)

    def save(self) -> None:
        """Write the state for other processes."""
        write_atomically(self.folder / STATE_FILE, json.dumps(asdict(self.state), indent=2) + "\n")

    def close(self) -> None:
        """Close our connections; the node runs on."""
        if self._ssh is not None:
            self._ssh.close()
            self._ssh = None


def running_nodes(workspace: Workspace) -> dict[str, Node]:
    """Return the nodes that run now; what a killed guard has left is removed."""
    found: dict[str, Node] = {}
    for lock in sorted(workspace.nodes.glob("*.lock")):
        name = lock.name.removesuffix(".lock")
        folder = node_dir(workspace, name)
        if not is_locked(lock):
            shutil.rmtree(folder, ignore_errors=True)
            continue
        state = _load_state(folder / STATE_FILE)
        if state is not None:
            found[name] = Node(folder, state)
    return found


def _load_state(path: Path) -> NodeState | None:
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return NodeState(**values)
    except (OSError, ValueError, TypeError):
        return None


def load_node(workspace: Workspace, name: str) -> Node | None:
    """Return the node *name* as its folder describes it, running or not; None without one."""
    folder = node_dir(workspace, name)
    state = _load_state(folder / STATE_FILE)
    return Node(folder, state) if state is not None else None


def find_node(workspace: Workspace, name: str) -> Node:
    """Return the running node *name*; UsageError with near matches where there is none."""
    nodes = running_nodes(workspace)
    if name in nodes:
        return nodes[name]
    hint = did_you_mean(name, nodes) if nodes else "start one with 'yoctovirt boot ROLE --detach'"
    raise UsageError(f"no node {name!r} is running in {workspace.path}", hint)


def stop_node(workspace: Workspace, node: Node, *, graceful: bool = True) -> str:
    """Stop *node* and return how it ended.

    First the guest is asked to power off (ACPI), then QEMU to quit, then the guard
    to kill it. Raises BootError where even that does not help.
    """
    import os
    import signal
    from contextlib import suppress

    if node.state.kind == "host":
        raise UsageError(
            f"{node.name} is a host, tested by process {node.state.guard_pid}",
            "interrupt that process; the host itself runs on",
        )
    lock = lock_path(workspace, node.name)
    node.close()
    steps = [("powered off", 20 * node.state.timeout_scale)] if graceful else []
    steps += [("quit", 10.0), ("terminated", 15.0)]
    for how, seconds in steps:
        with suppress(BootError):
            if how == "powered off":
                node.qmp.execute("system_powerdown")
            elif how == "quit":
                node.qmp.execute("quit")
            elif node.state.guard_pid:
                with suppress(ProcessLookupError):
                    os.kill(node.state.guard_pid, signal.SIGTERM)
        deadline = Deadline(seconds)
        while not deadline.expired:
            if not is_locked(lock):
                shutil.rmtree(node.folder, ignore_errors=True)
                return how
            time.sleep(0.05)
    raise BootError(
        f"node {node.name} cannot be stopped", f"look at process {node.state.guard_pid}"
    )
