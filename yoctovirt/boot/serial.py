"""Commands over the serial console: exit status and exact output, through a login shell.

Every marker is split in the command that prints it, so that its echo cannot be
taken for it, and carries a nonce, so that no output can contain it by chance.
"""

from __future__ import annotations

import base64
import re
import secrets
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pexpect.exceptions import EOF, TIMEOUT

from yoctovirt.base.deadline import Deadline
from yoctovirt.base.files import Lock, holder
from yoctovirt.boot.console import Console
from yoctovirt.boot.results import CommandResult, CommandTimeoutError, NodeUnreachableError
from yoctovirt.boot.signs import LOGIN, console_tail
from yoctovirt.boot.subshell import in_subshell, needs_its_own

#: No echo, no line wrap, no prompt, no bracketed paste; no lines of the kernel or of
#: systemd (its signal RTMIN+21) in between; and no flow control: getty switches it on, and a
#: guest that is slow to read what we send then puts XOFF and XON into what it says.
_SETUP = (
    "stty -echo -ixon -ixoff cols 1000 2>/dev/null; PS1=''; PS2=''; unset PROMPT_COMMAND HISTFILE; "
    "bind 'set enable-bracketed-paste off' 2>/dev/null; dmesg -n 1 2>/dev/null; "
    "if [ -d /run/systemd/system ]; then kill -55 1; fi"
)
#: A terminal in canonical mode drops what is beyond 4096 bytes of a line.
_LINE_LIMIT = 900
#: Seconds between two looks at a command that says nothing.
_TURN = 0.5
#: Seconds of silence after a panic's end: a command may print an old one.
_QUIET = 2.0
#: Characters behind what was searched already in which a marker may begin.
_WINDOW = 1024
_END_OF_PANIC = re.compile(r"end Kernel panic - not syncing|Rebooting in \d+ seconds")


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
        interrupted: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.socket_path = socket_path
        self.lock_path = lock_path
        #: Opens the console, for one client at a time.
        self.open: Callable[[], Console] = opener or (lambda: Console(socket_path))
        #: Raises where a command cannot come to its end; told is what runs meanwhile.
        self.interrupted = interrupted
        self._scale = scale
        self._console: Console | None = None
        self._ready = False  # whether our shell waits for a command
        self._standing = False  # whether that is one that we started for the session's commands

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
                if self._ready and self._standing:
                    self._leave(self._console)
                if console is None:
                    self._console.close()
                self._console, self._ready, self._standing = None, False, False
        finally:
            lock.release()

    def log_in(self, console: Console, asked: bool) -> None:
        """Bring *console* to our shell; *asked* says that a login prompt stands there.

        Raises NodeUnreachableError where root cannot log in without a password.
        """
        deadline = Deadline(60 * self._scale)
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

    def scaled(self, seconds: float) -> float:
        """Return *seconds* scaled by the node's accelerator."""
        return seconds * self._scale

    @contextmanager
    def conversation(self, script: str, deadline: Deadline) -> Iterator[Talk]:
        """Run *script* with the console as its standard input, for the block to talk to.

        Raises NodeUnreachableError where no shell answers.
        """
        with self.session() as console:
            if not self._ready:
                self.log_in(console, asked=False)
            self._ready = False
            word = self._word(console, script)
            yield Talk(console, script, f"sh -c {word} 2>&1", deadline, self.interrupted)
            self._ready = True

    def run(self, command: str, timeout: float = 60.0) -> CommandResult:
        """Run *command* with ``sh -c`` as root and return its outcome.

        *timeout* is in seconds and scaled by the node's accelerator. Raises
        CommandTimeoutError with the transcript, NodeUnreachableError where no shell answers.
        """
        with self.session() as console:
            ready, self._ready = self._ready, False
            if not ready:
                self.log_in(console, asked=False)
                self._standing = False
            elif not self._standing:
                # Not for a session's first command: most have no other.
                self._stand(console)
            result = self._run(console, command, timeout * self._scale)
            # As long as nobody else has the console our shell stands there.
            self._ready = True
            return result

    def _run(self, console: Console, command: str, seconds: float) -> CommandResult:
        word = self._word(console, command)
        deadline = Deadline(seconds)
        if self._standing and not needs_its_own(command):
            line = in_subshell(word)
            return Talk(console, command, line, deadline, self.interrupted, piped=False).finish()
        # As over SSH, the command has no input.
        line = f"sh -c {word} </dev/null 2>&1"
        return Talk(console, command, line, deadline, self.interrupted).finish()

    def _stand(self, console: Console) -> None:
        """Start an ``sh`` for the commands of this session, with a pipe as its output.

        Ctrl-C ends it with the command that runs, and the login shell is there again.
        """
        nonce = secrets.token_hex(6)
        console.sendline(f"{{ echo 'yv-''stands-{nonce}'; exec sh; }} 2>&1 | cat")
        self._standing = self._heard(console, f"yv-stands-{nonce}\r*\n", 10)
        if not self._standing:
            console.send("\x03")
            self.log_in(console, asked=False)

    def _leave(self, console: Console) -> None:
        """Give the console back to the login shell; what it has not read by then is lost."""
        nonce = secrets.token_hex(6)
        with suppress(OSError):
            console.sendline(f"exec echo 'yv-''left-{nonce}'")
            self._heard(console, f"yv-left-{nonce}", 5)

    def _heard(self, console: Console, pattern: str, seconds: float) -> bool:
        return console.expect([pattern, EOF, TIMEOUT], timeout=seconds * self._scale) == 0

    def _word(self, console: Console, command: str) -> str:
        """Return *command* as one word of the shell; a long one is sent first."""
        quoted = shlex.quote(command)
        if len(quoted) > _LINE_LIMIT or "\n" in command:
            return self._send_long(console, command)
        return quoted

    def _send_long(self, console: Console, command: str) -> str:
        """Send a long command in pieces to a variable of the shell; return its expansion."""
        data = base64.b64encode(command.encode()).decode()
        console.sendline("__yv=")
        for start in range(0, len(data), _LINE_LIMIT):
            console.sendline(f"__yv=${{__yv}}{data[start : start + _LINE_LIMIT]}")
        return '"$(echo "$__yv" | base64 -d)"'


class Talk:
    """A command that runs on the console, between its markers.

    *line* is what is run for *command*; *piped* says that its output is to be made a pipe.
    """

    def __init__(
        self,
        console: Console,
        command: str,
        line: str,
        deadline: Deadline,
        interrupted: Callable[[str], None] = lambda _: None,
        piped: bool = True,
    ) -> None:
        self._console = console
        self._command = command
        self._deadline = deadline
        self._interrupted = interrupted
        self._nonce = secrets.token_hex(6)
        self.match: re.Match[str] | None = None
        marked = f"echo 'yv-''begin-{self._nonce}'; {line}; echo 'yv-''end-{self._nonce}:'$?:"
        # Through a pipe: as over SSH, the command sees no terminal, and starts no pager.
        console.sendline(f"{{ {marked}; }} | cat" if piped else marked)
        self._expect(rf"yv-begin-{self._nonce}\r*\n")

    def _expect(self, pattern: str) -> str:
        """Wait for *pattern*, of a line at most, and return what came before it."""
        console, compiled = self._console, re.compile(pattern)
        text, console.buffer = str(console.buffer), ""
        begin, quiet = 0, Deadline(_QUIET)
        while True:
            self.match = compiled.search(text, begin)
            if self.match is not None:
                console.buffer = text[self.match.end() :]
                return text[: self.match.start()]
            # What was searched is not searched again: an output may be long.
            begin = max(0, len(text) - _WINDOW)
            try:
                wait = max(0.05, min(_TURN, self._deadline.remaining))
                text += console.read_nonblocking(65536, timeout=wait)
                quiet = Deadline(_QUIET)
            except TIMEOUT:
                self._interrupted(f"a command ran on the console: {self._command}")
            except EOF as error:
                raise NodeUnreachableError(
                    f"the console was closed while a command ran: {self._command}"
                ) from error
            # The kernel's last words, and nothing behind them.
            if quiet.expired and _END_OF_PANIC.search(text[-_WINDOW:]):
                raise NodeUnreachableError(
                    f"the kernel panicked while a command ran: {self._command}\n"
                    f"{console_tail(text)}"
                )
            if self._deadline.expired:
                console.send("\x03")
                raise CommandTimeoutError(self._command, self._deadline.seconds, "serial", text)

    def say(self, line: str) -> None:
        """Give the command a line."""
        self._console.sendline(line)

    def wait_for(self, text: str) -> bool:
        """Wait until the command prints *text*; return False where it ended before."""
        self._expect(rf"{re.escape(text)}|(?=yv-end-{self._nonce}:\d+:)")
        return bool(self.match and self.match[0])

    def finish(self) -> CommandResult:
        """Wait for the end of the command and return its outcome."""
        output = self._expect(rf"yv-end-{self._nonce}:(\d+):")
        assert self.match is not None
        text = re.sub(r"\r+\n", "\n", output)
        return CommandResult(
            self._command, int(self.match[1]), text, self._deadline.elapsed, "serial"
        )
