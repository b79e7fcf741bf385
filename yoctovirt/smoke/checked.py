"""The node as a check sees it: every command is kept, every failure says what came."""

from __future__ import annotations

import fcntl
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from yoctovirt.base.secrets import Secret
from yoctovirt.boot.node import Node
from yoctovirt.boot.results import CommandResult, CommandTimeoutError
from yoctovirt.boot.tunnel import Tunnel, open_tunnel
from yoctovirt.build.deploydir import DeployDir, open_deploy_dir
from yoctovirt.errors import YoctovirtError
from yoctovirt.smoke.attached import Attachments
from yoctovirt.smoke.limits import CheckClock

COMMANDS_FILE = "node-commands.jsonl"
#: What stands for the output of a command that prints a secret.
_UNSEEN = "(not recorded: a secret)"

#: The first thing that a command over SSH tells is its session (the sixth field): where its
#: deadline is missed, all that it has started can be ended. Small SSH servers leave the sbin
#: folders out of PATH.
_PRELUDE = (
    "read -r _ _ _ _ _ yv_session _ </proc/self/stat; echo yv-session:$yv_session; "
    "unset yv_session; export PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin\n"
)
_TOLD_SESSION = re.compile(r"^yv-session:(\d+)\r?\n", re.MULTILINE)
#: sshd makes each command the leader of a session. Fields behind the name in brackets, which
#: may hold blanks: state, parent, group, session.
_END_SESSION = """
found() {
    sed -n 's/^\\([0-9]*\\) (.*) [A-Za-z] -*[0-9]* -*[0-9]* @SESSION@ .*/\\1/p' \\
        /proc/[0-9]*/stat 2>/dev/null
}
kill -TERM $(found) 2>/dev/null
sleep 1
kill -KILL $(found) 2>/dev/null
true
"""


def _excerpt(text: str, limit: int = 1500) -> str:
    text = text.strip()
    return text if len(text) <= limit else f"{text[: limit // 2]}\n[…]\n{text[-limit // 2 :]}"


def _short(command: str) -> str:
    """Return the first line of a script; the record has the whole."""
    first, _, rest = command.strip().partition("\n")
    return f"{first} …" if rest else first


class CommandRecorder:
    """Appends commands to ``node-commands.jsonl``; several processes may do so at once."""

    def __init__(self, path: Path | None, current: Callable[[], str]) -> None:
        self._path = path
        self._current = current

    def add(self, node: str, entry: dict[str, Any]) -> None:
        """Write one command with the check that it belongs to."""
        if self._path is None:
            return
        row = {"node": node, "check": self._current(), "time": time.time(), **entry}
        with self._path.open("a", encoding="utf-8") as out:
            fcntl.flock(out, fcntl.LOCK_EX)
            out.write(json.dumps(row) + "\n")


class SmokeNode:
    """A running node in a check.

    ``run`` returns what came, whatever it was; ``check`` fails the check where the
    exit status is not the expected one. Deadlines are scaled by the accelerator.
    """

    def __init__(
        self, node: Node, recorder: CommandRecorder, clock: CheckClock, attachments: Attachments
    ) -> None:
        self._node = node
        self._recorder = recorder
        self._clock = clock
        self._attachments = attachments

    @property
    def name(self) -> str:
        """Name of the node."""
        return self._node.name

    @property
    def role(self) -> str | None:
        """Role that the node was booted as."""
        return self._node.state.role

    @property
    def promises(self) -> tuple[str, ...]:
        """What the role promises."""
        return tuple(self._node.state.promises)

    @property
    def allowed_failed_units(self) -> tuple[str, ...]:
        """Units that may fail on this role (shell patterns)."""
        return tuple(self._node.state.allowed_failed_units)

    @property
    def timeout_scale(self) -> float:
        """By how much deadlines are longer on this node than under KVM."""
        return self._node.state.timeout_scale

    @property
    def memory_mib(self) -> int:
        """Memory that the node was given."""
        return self._node.state.memory_mib

    @property
    def cpus(self) -> int:
        """CPUs that the node was given."""
        return self._node.state.cpus

    def built(self) -> DeployDir:
        """Return what was built for the node; raises BuildError, UsageError where it is gone."""
        return open_deploy_dir(Path(self._node.state.deploy_dir), self._node.state.image)

    def run(self, command: str, timeout: float = 60.0, via: str = "ssh") -> CommandResult:
        """Run *command* on the node, *via* ``ssh`` or ``serial``, and return its outcome.

        *timeout* is in seconds, and never longer than what is left of the check's deadline.
        Raises CommandTimeoutError, after the command and all that it has started were ended;
        CheckDeadlineError, NodeUnreachableError.
        """
        result = self._run(command, timeout, via)
        self._recorder.add(self.name, asdict(result))
        return result

    def read_secret(self, command: str, timeout: float = 60.0) -> list[Secret]:
        """Run *command*, which is recorded, and return the lines that it prints, which are not.

        Fails the check where it does not exit with 0.
        """
        result = self._run(command, timeout, "ssh", unseen=True)
        self._recorder.add(self.name, asdict(replace(result, output=_UNSEEN)))
        if not result.ok:
            raise AssertionError(
                f"`{_short(command)}`, which reads a secret, exited with {result.exit_status}"
            )
        return [Secret(line) for line in result.output.splitlines()]

    def _run(self, command: str, timeout: float, via: str, unseen: bool = False) -> CommandResult:
        scale = self._node.state.timeout_scale
        limit = self._clock.limit(timeout * scale, _short(command)) / scale
        try:
            prelude = _PRELUDE if via == "ssh" else ""
            result = self._node.run(prelude + command, limit, via)
        except YoctovirtError as error:
            error.details.setdefault("node", self.name)
            if isinstance(error, CommandTimeoutError):
                self._end(error.transcript)
                came = _TOLD_SESSION.sub("", error.transcript, count=1)
                late = CommandTimeoutError(
                    command, limit * scale, via, _UNSEEN if unseen and came else came, error.said
                )
                self._note_error(command, via, str(late))
                raise late from None
            self._note_error(command, via, str(error).replace(_PRELUDE, ""))
            error.message = error.message.replace(_PRELUDE, "")
            error.args = (error.message,)
            raise
        output = _TOLD_SESSION.sub("", result.output, count=1) if via == "ssh" else result.output
        return replace(result, command=command, output=output)

    def _note_error(self, command: str, via: str, error: str) -> None:
        self._recorder.add(
            self.name,
            {"command": command, "transport": via, "exit_status": None,
             "output": error, "duration": None},
        )  # fmt: skip

    def _end(self, transcript: str) -> None:
        """End the session of a command whose deadline is over."""
        told = _TOLD_SESSION.search(transcript)
        if told:
            with suppress(YoctovirtError):
                self._node.run(_END_SESSION.replace("@SESSION@", told.group(1)), 20)

    def check(
        self,
        command: str,
        timeout: float = 60.0,
        via: str = "ssh",
        *,
        status: int = 0,
        why: str = "",
    ) -> str:
        """Run *command*, fail the check unless it exits with *status*, return its output.

        *why* says in the user's words what the failure means.
        """
        try:
            result = self.run(command, timeout, via)
        except CommandTimeoutError as error:
            if why:
                error.message = f"{why}: {error.message}"
                error.args = (error.message,)
            raise
        if result.exit_status != status:
            missing = " (command not found)" if result.exit_status == 127 else ""
            expected = f", expected {status}" if status else ""
            came = _excerpt(result.output) or "(no output)"
            raise AssertionError(
                f"{why + ': ' if why else ''}`{_short(command)}` exited with "
                f"{result.exit_status}{missing}{expected}\n{came}"
            )
        return result.output

    @contextmanager
    def expect_reboot(self, seconds: float = 300.0) -> Iterator[None]:
        """Let the node restart in the block; behind it the node is ready again.

        *seconds* are scaled, and never more than what is left of the check's deadline. Any
        other restart ends the run. Raises NodeUnreachableError where it does not come back.
        """
        scale = self._node.state.timeout_scale
        limit = self._clock.limit(seconds * scale, "(reboot)") / scale
        begun = time.monotonic()
        with self._node.expect_reboot(limit):
            yield
        took = round(time.monotonic() - begun, 3)
        self._recorder.add(
            self.name,
            {"command": "(reboot, as announced)", "transport": "ssh", "exit_status": 0,
             "output": "", "duration": took},
        )  # fmt: skip

    def put(self, data: bytes, remote: str, mode: int = 0o644) -> None:
        """Write *data* to the file *remote* of the node."""
        self._node.ssh.put(data, remote, mode)
        self._recorder.add(
            self.name,
            {"command": f"(put {len(data)} bytes to {remote})", "transport": "ssh",
             "exit_status": 0, "output": "", "duration": None},
        )  # fmt: skip

    def listen(self, serve: Callable[[Any], None]) -> int:
        """Have connections to a port of the node's loopback served here; return the port.

        *serve* gets each connection (``recv``, ``sendall``, ``close``) in a thread of its own.
        """
        return self._node.ssh.listen(serve)

    @contextmanager
    def tunnel(self, port: int, host: str = "127.0.0.1") -> Iterator[Tunnel]:
        """Reach *port* of *host*, as the node sees it, at ``tunnel.port`` of this host's loopback.

        Raises BootError where the node, or its SSH server, does not make the connection.
        """
        self._recorder.add(
            self.name,
            {"command": f"(tunnel to {host}:{port})", "transport": "ssh", "exit_status": 0,
             "output": "", "duration": None},
        )  # fmt: skip
        with open_tunnel(self._node.ssh, port, host, self.timeout_scale) as tunnel:
            yield tunnel

    def attach(self, name: str, data: bytes) -> str:
        """Keep *data* in the run record as a file of the check that runs; return its place there.

        The report shows pictures and texts, by the suffix of *name*. Without a record: ''.
        """
        return self._attachments.add(name, data)
