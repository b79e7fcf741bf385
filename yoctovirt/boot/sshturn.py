"""Commands over an SSH connection: in a session of their own, or in a shell that stays there.

Most of the time of a short command is spent before it starts: sshd opens a session and the login
shell is executed, which under TCG takes longer than what most checks do. The shell that stays is
executed once, and each command gets a subshell of it, by fork alone. What could see a difference
gets a session of its own (:func:`~yoctovirt.boot.subshell.needs_its_own`).
"""

from __future__ import annotations

import re
import secrets
import shlex
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from yoctovirt.base.deadline import Deadline
from yoctovirt.boot.subshell import in_subshell, needs_its_own

if TYPE_CHECKING:
    import paramiko

#: Commands of a connection that come before a shell is kept for more of them.
_FIRST = 3
#: Seconds, before scaling, that this shell has for its first answer.
_ANSWER = 5.0
#: Seconds, before scaling, that sshd has for forgetting a session that has ended.
_FORGET = 3.0


class Turn:
    """One command: :attr:`output` grows while it runs, by :meth:`more`."""

    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel
        self.output = bytearray()
        #: Exit status; -1 where the command ended without one.
        self.status = -1

    def more(self, seconds: float) -> bytes:
        """Wait up to *seconds* and return what came, nothing at the end of the output.

        Raises TimeoutError where nothing came.
        """
        self._channel.settimeout(seconds)
        data: bytes = self._channel.recv(65536)
        self.output += data
        return data

    def finish(self, deadline: Deadline) -> None:
        """Learn :attr:`status`, after the output. Raises TimeoutError, paramiko.SSHException."""


class OwnSession(Turn):
    """A command for which the login shell is started; *channel* is a new session."""

    def __init__(self, channel: paramiko.Channel, command: str) -> None:
        super().__init__(channel)
        channel.set_combine_stderr(True)
        channel.exec_command(command)
        channel.shutdown_write()

    def finish(self, deadline: Deadline) -> None:
        """Wait for the exit status, which comes by a message of its own."""
        import paramiko

        while not self._channel.exit_status_ready():
            if deadline.expired:
                raise TimeoutError
            if not self._channel.get_transport().is_active():
                raise paramiko.SSHException("the connection was closed")
            self._channel.status_event.wait(0.05)
        self.status = self._channel.recv_exit_status()
        self._channel.close()


class StandingShell:
    """The login shell on *channel*, which has answered; see :func:`stand`."""

    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel

    def start(self, command: str, done: Callable[[StandingShell], None]) -> Turn:
        """Start *command*, without input, and with its errors in its output.

        *done* gets the shell back when the command has ended, and the shell has not.
        """
        # What is left of an earlier command is not of this one.
        while self._channel.recv_ready():
            self._channel.recv(65536)
        return _StandingTurn(self._channel, command, lambda: done(self))

    def close(self) -> None:
        """End the shell, and with it nothing else of the connection."""
        with suppress(TimeoutError, OSError):
            # The end of its input is what ends it; sshd counts its session until it has.
            self._channel.shutdown_write()
            self._channel.settimeout(2.0)
            while self._channel.recv(65536):
                pass
        self._channel.close()


class _StandingTurn(Turn):
    def __init__(self, channel: paramiko.Channel, command: str, done: Callable[[], None]) -> None:
        super().__init__(channel)
        word = f"yv-end-{secrets.token_hex(8)}"
        self._end = re.compile(rb"%s:(\d+):\r?\n" % word.encode())
        self._done = done
        # The marker is split: a shell that shows what it runs must not be taken for it.
        end = f"echo {word[:4]}''{word[4:]}:$?:"
        channel.sendall(f"{in_subshell(shlex.quote(command))}; {end}\n".encode())

    def more(self, seconds: float) -> bytes:
        if self.status >= 0:
            return b""
        # The marker may come in two pieces.
        begin = max(0, len(self.output) - 80)
        data = super().more(seconds)
        found = self._end.search(self.output, begin)
        if found is not None:
            self.status = int(found[1])
            del self.output[found.start() :]
            self._done()
        return data


def stand(transport: paramiko.Transport, seconds: float) -> StandingShell | None:
    """Start the user's login shell in a session of its own and let it stay.

    Returns None where it does not answer within *seconds* as a POSIX shell does (fish, csh, the
    menu of an appliance); all that it was given is an ``echo`` then. Raises
    paramiko.SSHException where the connection is broken, or sshd opens no further session.
    """
    channel = transport.open_session(timeout=max(5.0, seconds))
    channel.set_combine_stderr(True)
    channel.exec_command('exec "$SHELL"')
    word, deadline, said = secrets.token_hex(8), Deadline(seconds), b""
    with suppress(TimeoutError, OSError):
        channel.sendall(f"echo yv-''{word}-$((6*7))\n".encode())
        while not deadline.expired:
            channel.settimeout(max(0.05, deadline.remaining))
            data = channel.recv(4096)
            if not data:
                break
            said += data
            if b"yv-%s-42\n" % word.encode() in said:
                return StandingShell(channel)
    channel.close()
    return None


class Sessions:
    """The sessions of the connection that *transport* returns, one that stays among them.

    *scale* is that of the node's deadlines. *transport* raises paramiko.SSHException where there
    is no connection.
    """

    def __init__(self, transport: Callable[[], paramiko.Transport], scale: float) -> None:
        self._transport = transport
        self._scale = scale
        #: The shell that stays, while no command has it.
        self._standing: StandingShell | None = None
        self._may_stand = True
        self._begun = 0

    def begin(self, command: str, seconds: float, followed: bool) -> Turn:
        """Start *command* in the shell that stays, or in a session of its own.

        *seconds* is what sshd has for opening one, 5 at least; *followed* says that the output
        is looked at while it comes. Raises paramiko.SSHException.
        """
        self._begun += 1
        # Whoever has one command or two does not wait for a further shell.
        if self._begun > _FIRST and self._may_stand and not followed and not needs_its_own(command):
            # It is taken while it is used: a second thread gets another.
            shell, self._standing = self._standing, None
            shell = shell or self._stand()
            if shell is not None:
                return shell.start(command, self._keep)
        return OwnSession(self.open(max(5.0, seconds)), command)

    def open(self, seconds: float) -> paramiko.Channel:
        """Open a session within *seconds*; where sshd has room for one, no shell stays."""
        import paramiko

        try:
            return self._transport().open_session(timeout=seconds)
        except paramiko.ChannelException:
            shell, self._standing, self._may_stand = self._standing, None, False
            if shell is None:
                raise
        shell.close()
        deadline = Deadline(_FORGET * self._scale)
        while True:
            try:
                return self._transport().open_session(timeout=seconds)
            except paramiko.ChannelException:
                if deadline.expired:
                    raise
                time.sleep(0.1)  # sshd has the session until it has looked after its process

    def lost(self) -> None:
        """Forget what the connection had: it is closed."""
        self._standing, self._begun = None, 0

    def _stand(self) -> StandingShell | None:
        import paramiko

        transport, shell = self._transport(), None
        try:
            shell = stand(transport, _ANSWER * self._scale)
        except paramiko.SSHException:
            # No further session (MaxSessions), or none for this command.
            if not transport.is_active():
                raise
        self._may_stand = shell is not None
        return shell

    def _keep(self, shell: StandingShell) -> None:
        if self._standing is not None:
            self._standing.close()
        self._standing = shell
