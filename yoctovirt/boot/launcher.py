"""Start the QEMU of a node, or the runqemu of its release."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from yoctovirt.base.deadline import Deadline
from yoctovirt.base.files import Lock, make_folder
from yoctovirt.base.process import CommandLog, Guarded, missing_tool
from yoctovirt.base.screen import Screen
from yoctovirt.boot.accel import Accelerator, choose_accelerator
from yoctovirt.boot.console import Console
from yoctovirt.boot.describe import describe
from yoctovirt.boot.disks import make_disks, persist_dir
from yoctovirt.boot.events import Events
from yoctovirt.boot.failures import ended_by, explain_qemu
from yoctovirt.boot.forwards import Forward, add_forward
from yoctovirt.boot.nested import nested_virtualization, with_cpu
from yoctovirt.boot.node import Node, lock_path, node_dir
from yoctovirt.boot.preflight import check_host
from yoctovirt.boot.qemuargs import (
    EVENTS_SOCKET,
    QMP_SOCKET,
    SERIAL_SOCKET,
    BootOptions,
    memory_mib,
    qemu_command,
)
from yoctovirt.boot.results import NodeUnreachableError
from yoctovirt.boot.resume import Resume
from yoctovirt.boot.runqemu import runqemu_command, runqemu_complaint, write_conf
from yoctovirt.boot.signs import ConsoleWatch
from yoctovirt.build.deploydir import DeployDir
from yoctovirt.config.roles import Role
from yoctovirt.config.workspace import Workspace
from yoctovirt.errors import BootError, InfrastructureError, UsageError


class KvmUnusableError(BootError):
    """QEMU could not even start under KVM."""


@dataclass(frozen=True)
class BootRequest:
    """What is to be booted, and how."""

    workspace: Workspace
    deploy: DeployDir
    role: Role | None
    name: str  #: of the node
    options: BootOptions  #: what the user asked for
    run_dir: Path  #: of the run record, for the logs
    runqemu: Path | None = None  #: None: plain QEMU from the qemuboot.conf
    resume: Resume | None = None  #: kept state to start from, in place of a boot
    held: tuple[int, ...] = ()  #: descriptors that stay open as long as the node runs

    def options_with_role(self) -> BootOptions:
        """Return the options together with what the role's node needs.

        The image's QB_MEM may be more than that; QB_SMP is the machine's, the same for all.
        """
        options = self.options
        if self.role is None:
            return options
        node = self.role.node
        return replace(
            options,
            memory=options.memory or max(node.memory, memory_mib(self.deploy.qemuboot, None)),
            cpus=options.cpus or node.cpus,
            qemuparams=(*node.qemuparams, *options.qemuparams),
            bootparams=(*node.bootparams, *options.bootparams),
        )


class Launch:
    """A node of ours: the state on disk, and the guard that keeps it."""

    def __init__(self, node: Node, guard: Guarded, qemu_log: Path, console: Console) -> None:
        state = node.state
        self.node = node
        self.guard = guard
        self.qemu_log = qemu_log
        self.console = console
        self.started = time.monotonic()
        self.watch = ConsoleWatch(state.allowed_console, patient=state.accelerator != "kvm")
        self.events = Events(node.folder / EVENTS_SOCKET, node.events_log, node.restarts.expected)
        self.events.start()

    def why_gone(self) -> str | None:
        """Return what QEMU said where it has ended, None while it runs."""
        status = self.guard.poll()
        if status is None:
            return None
        said = runqemu_complaint(self.qemu_log.read_text(errors="replace"))
        how = self.events.how_ended() or ended_by(status)
        return f"{how or f'exit status {status}'}: {said or '(no message)'}"

    def mark(self, name: str) -> None:
        """Note when something was reached, in seconds after the start of QEMU."""
        self.node.state.timings[name] = round(time.monotonic() - self.started, 2)

    def stop(self) -> None:
        """Stop QEMU; the guard removes the folder of the node."""
        self.node.close()
        self.console.close()
        self.events.close()
        self.guard.stop()

    def detach(self) -> None:
        """Leave the node running after us."""
        self.node.state.detached = True
        self.node.save()
        self.node.close()
        self.console.close()
        self.events.close()
        self.guard.detach()


@contextmanager
def launched(request: BootRequest, log: CommandLog, screen: Screen) -> Iterator[Launch]:
    """Start a node and yield it as soon as its QEMU runs; stop it at the end.

    ``launch.detach()`` leaves it. Raises UsageError where a node of that name
    runs already, BootError where QEMU does not start.
    """
    workspace, name = request.workspace, request.name
    if request.options.preflight:
        memory = memory_mib(request.deploy.qemuboot, request.options.memory)
        # runqemu brings the QEMU of its release.
        machine = None if request.runqemu else request.deploy.testdata.get("MACHINE", "")
        check_host(workspace, name, memory, machine, screen)
    lock = Lock(lock_path(workspace, name))
    if not lock.acquire():
        raise UsageError(
            f"a node {name!r} is running already in {workspace.path} ({lock.read()})",
            f"stop it with 'yoctovirt stop {name}', or start a second one with --name",
        )
    try:
        qemu = request.deploy.qemuboot.get("qb_system_name", "qemu-system-x86_64")
        accelerator = choose_accelerator(
            request.options.kvm, qemu, workspace.cache_dir, request.options.timeout_scale
        )
        offer = nested_virtualization(request.role, qemu, accelerator)
        if offer is not None:
            screen.note(offer.note)
            own = request.deploy.qemuboot.get("qb_cpu", "-cpu max")
            request = replace(request, options=with_cpu(request.options, offer.cpu, own))
        try:
            launch = _start(request, accelerator, log, screen, lock)
        except BootError as error:
            if accelerator.name == "kvm" and re.search(r"kvm|KVM|MSR", error.message):
                raise KvmUnusableError(error.message, error.hint) from error
            raise
    except BaseException:
        # The guard removes the folder, where one was started; the lock is still ours.
        shutil.rmtree(node_dir(workspace, name), ignore_errors=True)
        raise
    finally:
        # From here on the guard holds it; on an error nobody does.
        lock.release()
    try:
        yield launch
    finally:
        if not launch.node.state.detached:
            launch.stop()


def _start(
    request: BootRequest, accelerator: Accelerator, log: CommandLog, screen: Screen, lock: Lock
) -> Launch:
    deploy, name, options = request.deploy, request.name, request.options_with_role()
    folder = node_dir(request.workspace, name)
    shutil.rmtree(folder, ignore_errors=True)
    make_folder(folder, 0o700)
    qemu_log = request.run_dir / f"qemu-{name}.log"
    if request.resume is not None:
        request.resume.make_disks(folder, log)
    keep = persist_dir(request.workspace, name) if options.persist else None
    more = make_disks(folder, deploy.rootfs, options.disks, keep, log)
    load = request.resume.qemuparams() if request.resume else ()
    own = replace(request.options, qemuparams=(*more, *request.options.qemuparams, *load))
    argv = _command(replace(request, options=own), accelerator, folder)
    state = describe(request, accelerator, argv)
    lock.write(f"started {state.started}")
    screen.command(log.note(argv, cwd=folder))
    with qemu_log.open("ab") as output:
        guard = Guarded(
            argv, cwd=folder, output=output, remove=[folder], lock=lock, grace=5.0,
            stamp=request.run_dir / f"console-{name}.log",
            held=request.held,
        )  # fmt: skip
    try:
        state.guard_pid = guard.pid
        node = Node(folder, state)
        _save(node, guard, qemu_log)
        console = _open_console(folder, guard, qemu_log, name)
        launch = Launch(node, guard, qemu_log, console)
        try:
            state.ssh_port = options.ssh_port or add_forward(node.qmp, Forward(22)).host
            state.forwards = [asdict(add_forward(node.qmp, one)) for one in options.forwards]
            _save(node, guard, qemu_log)
            if request.resume is not None:
                request.resume.wait_loaded(node)
                launch.mark("loaded")
            node.qmp.execute("cont")
        except NodeUnreachableError as error:
            # A QEMU that dies in its first moments takes us to this place first.
            with suppress(subprocess.TimeoutExpired):
                guard.wait(3.0)
            gone = launch.why_gone()
            raise explain_qemu(gone, qemu_log) if gone else error from error
    except BaseException:
        guard.stop()
        raise
    return launch


def _command(request: BootRequest, accelerator: Accelerator, folder: Path) -> list[str]:
    """Return the command that starts QEMU: runqemu where the release has it, else QEMU itself."""
    deploy, name, options = request.deploy, request.name, request.options_with_role()
    console_log = request.run_dir / f"console-{name}.log"
    if request.runqemu is not None:
        conf = write_conf(deploy, folder, name, options)
        return runqemu_command(
            request.runqemu, deploy.qemuboot, conf, name, options, accelerator, console_log
        )
    argv = qemu_command(deploy, name, options, accelerator, console_log)
    if shutil.which(argv[0]) is None:
        raise missing_tool(argv[0])
    return argv


def _save(node: Node, guard: Guarded, qemu_log: Path) -> None:
    """Save what is known of *node*; where its folder went meanwhile, say why QEMU has ended."""
    try:
        node.save()
    except InfrastructureError:
        if node.folder.exists():
            raise
        # The guard removes the folder as the last thing that it does.
        with suppress(subprocess.TimeoutExpired):
            raise _ended(guard.wait(10.0), qemu_log) from None
        raise


def _ended(status: int, qemu_log: Path) -> BootError:
    """Return the error for a QEMU, or a runqemu, that has ended while it was started.

    runqemu ends with 0 although QEMU failed: that it ended at all is the failure.
    """
    text = runqemu_complaint(qemu_log.read_text(errors="replace"))
    return explain_qemu(f"exit status {status}: {text or '(no message)'}", qemu_log)


def _open_console(folder: Path, guard: Guarded, qemu_log: Path, name: str) -> Console:
    """Connect to the console once QEMU has made its sockets."""
    deadline = Deadline(20.0)
    while not deadline.expired:
        status = guard.poll()
        if status is not None:
            raise _ended(status, qemu_log)
        # QEMU opens the monitor after the character devices; where it ends then, we look again.
        if (folder / QMP_SOCKET).exists():
            with suppress(NodeUnreachableError):
                return Console(folder / SERIAL_SOCKET)
        time.sleep(0.01)
    raise BootError(
        f"QEMU of node {name} did not open its monitor within {deadline.seconds:.0f} s",
        f"look into {qemu_log}",
    )
