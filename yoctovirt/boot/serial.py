"""Commands over the serial console: exit status and exact output, through a login shell.

Every marker is split in the command that prints it, so that its echo cannot be
taken for it, and carries a nonce, so that no output can contain it by chance.
"""

from __future__ import annotations

import base64
import re
import secrets
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pexpect.exceptions import EOF, TIMEOUT

from yoctovirt.base.deadline import Deadline
from yoctovirt.base.files import Lock, holder
from yoctovirt.boot.console import Console
from yoctovirt.boot.results import CommandResult, CommandTimeoutError, NodeUnreachableError
from yoctovirt.boot.signs import LOGIN, console_tail

#: No echo, no line wrap, no prompt, no bracketed paste; no lines of the kernel or of
#: systemd (its signal RTMIN+21) in between.
_SETUP = (
    "stty -echo cols 1000 2>/dev/null; PS1=''; PS2=''; unset PROMPT_COMMAND HISTFILE; "
    "bind 'set enable-bracketed-paste off' 2>/dev/null; dmesg -n 1 2>/dev/null; "
    "if [ -d /run/systemd/system ]; then kill -55 1; fi"
)
#: A terminal in canonical mode drops what is beyond 4096 bytes of a line.
_LINE_LIMIT = 900


class SerialShell:
    """A shell of root on the serial console of a node.

    Several processes may use it in turn: each :meth:`run` holds *lock_path*,
    connects, makes sure that a shell answers (logging in where it must), and leaves.
    """

    def __init__(
        self,
        socket_path: Path,
        lock_path: Path,
        scale: float = 1.0,
        opener: Callable[[], Console] | None = None,
    ) -> None:
        self.socket_path = socket_path
        self.lock_path = lock_path
        #: Opens the console, for one client at a time.
        self.open: Callable[[], Console] = opener or (lambda: Console(socket_path))
        self._scale = scale
        self._console: Console | None = None

    @contextmanager
    def session(self, console: Console | None = None) -> Iterator[Console]:
        """Hold the console for several commands; *console* is one that is open already."""
        if self._console is not None:
            yield self._console
            return
        lock = Lock(self.lock_path)
        lock.acquire(wait=True)
        lock.write(holder())
        try:
            self._console = console or self.open()
            try:
                yield self._console
            finally:
                if console is None:
                    self._console.close()
                self._console = None
        finally:
            lock.release()

    def log_in(self, console: Console, asked: bool) -> None:
        """Bring *console* to our shell; *asked* says that a login prompt stands there.

        Raises NodeUnreachableError where root cannot log in without a password.
        """
        deadline = Deadline(30 * self._scale)
        # Whether "root" was the first that this prompt was given. Where we did not know of the
        # prompt, our commands were taken for a name, and "root" perhaps for its password; and
        # somebody may have given a name before us.
        clean = asked
        if asked:
            console.sendline("root")
        attempts = 0
        while not deadline.expired:
            nonce = secrets.token_hex(4)
            # With "root" typed first, the line below is what the new shell reads.
            if attempts or not asked:
                console.sendline(f"{_SETUP}; echo 'yv-''ready-{nonce}'")
            patterns: list[Any] = [
                f"yv-ready-{nonce}\r*\n",
                LOGIN,
                r"(?i)password: ?$",
                r"(?i)login incorrect",
                # A prompt; or a shell that has taken our name for a command, because
                # what looked like a login prompt was a line of the kernel.
                r"[#$] (?:\x1b\[\S+ ?)?$|\broot: (?:command )?not found",
                EOF,
                TIMEOUT,
            ]
            index = console.expect(patterns, timeout=min(10 * self._scale, deadline.remaining))
            attempts += 1
            if index == 0:
                return
            if index == 1:
                console.sendline("root")
                asked, attempts = True, 0
            elif index in (2, 3) and not clean and self._next_prompt(console, index == 2, deadline):
                console.sendline("root")
                asked, clean, attempts = True, True, 0
            elif index in (2, 3):
                raise NodeUnreachableError(
                    "root cannot log in on the console: a password is asked for",
                    "build the image with an empty root password (debug-tweaks, or "
                    "empty-root-password and allow-empty-password)",
                )
            elif index == 5:
                raise NodeUnreachableError("the console was closed during the login")
            elif index == 6:
                console.send("\x03")  # whatever runs there: we are the only user
        raise NodeUnreachableError(
            f"no shell on the console within {deadline.seconds:.0f} s; the last that came:\n"
            f"{console_tail(str(console.before or ''))}"
        )

    def _next_prompt(self, console: Console, password: bool, deadline: Deadline) -> bool:
        if password:
            console.sendline("")
        # login lets a wrong password wait for some seconds.
        seconds = min(15 * self._scale, deadline.remaining)
        return console.expect([LOGIN, EOF, TIMEOUT], timeout=seconds) == 0

    def run(self, command: str, timeout: float = 60.0) -> CommandResult:
        """Run *command* with ``sh -c`` as root and return its outcome.

        *timeout* is in seconds and scaled by the node's accelerator. Raises
        CommandTimeoutError with the transcript, NodeUnreachableError where no shell answers.
        """
        with self.session() as console:
            self.log_in(console, asked=False)
            return self._run(console, command, timeout * self._scale)

    def _run(self, console: Console, command: str, seconds: float) -> CommandResult:
        nonce = secrets.token_hex(6)
        quoted = shlex.quote(command)
        if len(quoted) > _LINE_LIMIT or "\n" in command:
            quoted = self._send_long(console, command)
        start = time.monotonic()
        # Through a pipe: as over SSH, the command sees no terminal, and starts no pager.
        console.sendline(
            f"{{ echo 'yv-''begin-{nonce}'; sh -c {quoted} </dev/null 2>&1; "
            f"echo 'yv-''end-{nonce}:'$?:; }} | cat"
        )
        index = console.expect(
            [rf"yv-begin-{nonce}\r*\n((?s:.*?))yv-end-{nonce}:(\d+):", EOF, TIMEOUT],
            timeout=seconds,
            searchwindowsize=None,
        )
        duration = time.monotonic() - start
        if index == 1:
            raise NodeUnreachableError(f"the console was closed while a command ran: {command}")
        if index == 2:
            transcript = str(console.before or "")
            console.send("\x03")
            raise CommandTimeoutError(command, seconds, "serial", transcript)
        match: Any = console.match
        output = re.sub(r"\r+\n", "\n", match[1])
        return CommandResult(command, int(match[2]), output, duration, "serial")

    def _send_long(self, console: Console, command: str) -> str:
        """Send a long command in pieces to a variable of the shell; return its expansion."""
        data = base64.b64encode(command.encode()).decode()
        console.sendline("__yv=")
        for start in range(0, len(data), _LINE_LIMIT):
            console.sendline(f"__yv=${{__yv}}{data[start : start + _LINE_LIMIT]}")
        return '"$(echo "$__yv" | base64 -d)"'
