"""A node that can be used: reached by SSH, and its init settled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from yoctovirt.base.process import CommandLog
from yoctovirt.base.screen import Screen
from yoctovirt.boot.access import EarlySsh, prepare_ssh
from yoctovirt.boot.evidence import evidence_kept
from yoctovirt.boot.launcher import BootRequest, KvmUnusableError, Launch, launched
from yoctovirt.boot.qemuargs import BootOptions
from yoctovirt.boot.resume import Resume
from yoctovirt.boot.settle import settle
from yoctovirt.boot.watch import ConsoleSilentError, wait_for_login
from yoctovirt.build.deploydir import DeployDir
from yoctovirt.errors import BootError

#: Seconds until the login prompt and until sshd answers, before scaling by the accelerator.
LOGIN_SECONDS = 90.0
SSH_SECONDS = 60.0
#: Under KVM a guest that says nothing for so long is dead (seen: hangs at "Probing EDD").
KVM_SILENCE_SECONDS = 20.0


def reach(launch: Launch, options: BootOptions, deploy: DeployDir) -> None:
    """Wait until the node answers by SSH.

    Where the build knows both keys, that is as soon as sshd answers; else the login prompt
    is waited for and the keys are exchanged on the console. Until then the console is
    watched. Raises BootError (with what the console said), ConsoleSilentError under a KVM
    that hangs, NodeUnreachableError where sshd does not answer.
    """
    node, state = launch.node, launch.node.state
    kvm = state.accelerator == "kvm"
    early = EarlySsh(node, deploy, 10 * state.timeout_scale)
    try:
        asked = wait_for_login(
            launch.console,
            options.login_timeout or LOGIN_SECONDS * state.timeout_scale,
            launch.why_gone,
            KVM_SILENCE_SECONDS * options.timeout_scale if kvm else None,
            lambda: early.connected,
            launch.watch,
            launch.events.complaint,
        )
    except BaseException:
        early.abandon()
        raise
    finally:
        state.timings.update(launch.watch.phases)
    if asked:
        launch.mark("login")
    if not early.finish():
        # On a busy host the login can take minutes: not where nobody needs it.
        if not early.possible:
            prepare_ssh(node, launch.console, deploy)
        node.ssh.connect(options.ssh_timeout or SSH_SECONDS * state.timeout_scale)
    _note_reached(launch)


def _note_reached(launch: Launch) -> None:
    node, state = launch.node, launch.node.state
    launch.mark("ssh")
    state.state = "settling"
    state.console_ready = node.console_size
    node.save()
    launch.console.close()


def _wait_until_ready(
    launch: Launch, options: BootOptions, deploy: DeployDir, resume: Resume | None, screen: Screen
) -> None:
    """Wait until the node can be used; a failure leaves what tells why in the record.

    A node that was resumed has settled before, and gets its clock and random numbers set
    right. Raises what :func:`reach`, :func:`settle` and :meth:`Resume.reach` raise.
    """
    node = launch.node
    with evidence_kept(node, launch.console, launch.watch, launch.why_gone):
        if resume is not None:
            resume.write_keys(node)
            node.state.random = resume.reach(node)
            _note_reached(launch)
        else:
            reach(launch, options, deploy)
            if options.settle:
                node.watch_restarts()
                settle(node, screen, options.settle_timeout)
                launch.mark("settled")
                node.restarts.forget()
    node.state.state = "ready"
    node.save()


@contextmanager
def ready_node(request: BootRequest, log: CommandLog, screen: Screen) -> Iterator[Launch]:
    """Start a node and yield it when it can be used; a KVM that does not work is left, once.

    Raises what :func:`launched` raises, and what keeps a node from being ready.
    """
    options, deploy = request.options, request.deploy
    try:
        with launched(request, log, screen) as launch:
            _wait_until_ready(launch, options, deploy, request.resume, screen)
            yield launch
            return
    except (ConsoleSilentError, KvmUnusableError) as error:
        why = error.message
        if request.resume is not None:
            raise
        if options.kvm:
            raise BootError(f"KVM cannot be used: {why}", "boot with --no-kvm") from error
    screen.note(f"KVM does not work here ({why}); starting again under TCG")
    fallback = replace(options, kvm=False)
    with launched(replace(request, options=fallback), log, screen) as launch:
        launch.node.state.accelerator_reason = f"KVM does not work here: {why}"
        _wait_until_ready(launch, fallback, deploy, None, screen)
        yield launch
