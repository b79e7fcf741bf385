"""Commands over SSH (paramiko): one pinned host key, one connection, reused."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol

from yoctovirt.base.deadline import Deadline
from yoctovirt.boot.greeting import no_greeting
from yoctovirt.boot.results import (
    CommandResult,
    CommandTimeoutError,
    NodeRestartedError,
    NodeUnreachableError,
)
from yoctovirt.boot.sshlogin import NotYet, SshAddress, late, log_in
from yoctovirt.boot.sshturn import Sessions, Turn
from yoctovirt.errors import BootError

if TYPE_CHECKING:
    import paramiko

    from yoctovirt.boot.trouble import Trouble

#: Seconds between two looks at what has become of a node that does not answer.
_TURN = 0.5
#: Seconds that an sshd has for its greeting, before scaling, where it is asked whether it lives.
_GREETING = 3.0


class Owner(Protocol):
    """The node whose shell it is, and what it knows of its restarts."""

    @property
    def aftermath(self) -> float:
        """Seconds, before scaling, that a node is looked after whose connection broke."""

    def met(self) -> None:
        """Look at the other end of a new connection; raise where it is not what it was."""

    def interrupted(self, meanwhile: str) -> None:
        """Raise where no answer can come; *meanwhile* says what is waited for."""


class SshShell:
    """Commands on a node over SSH; *owner* is that node, where it is to be asked."""

    def __init__(
        self,
        address: SshAddress,
        scale: float = 1.0,
        trouble: Trouble | None = None,
        owner: Owner | None = None,
    ) -> None:
        self.address = address
        self._scale = scale
        self._trouble = trouble
        self._owner = owner
        self._looking = False
        self._client: paramiko.SSHClient | None = None
        self._sessions = Sessions(self._transport, scale)

    def connect(self, seconds: float | None = None) -> None:
        """Connect and log in, trying again until *seconds* (60, scaled) are over.

        Raises NodeUnreachableError with the reason of the last attempt; a wrong host
        key or a refused login ends the attempts at once.
        """
        deadline = Deadline(seconds if seconds is not None else 60 * self._scale)
        address = self.address
        # A node that is gone answers never: between the attempts that is looked after.
        answer = 3.0
        while True:
            self._check_gone("sshd was waited for")
            longest = max(1.0, min(10 * self._scale, deadline.remaining))
            failed = self.attempt(min(answer, longest), longest)
            if failed is None:
                if self._owner is not None:
                    self._owner.met()
                return
            answer *= 1.5
            if deadline.remaining <= 0.3:
                raise late(address, deadline.seconds, failed)
            time.sleep(0.3)  # between two attempts; a refused connection returns at once

    def ensure(self) -> None:
        """Connect where there is no connection; raises as :meth:`connect`."""
        if self._client is None or not self._alive():
            self.close()
            self.connect()

    def attempt(self, answer: float, login: float) -> NotYet | None:
        """Try to log in once; return None, or why it did not succeed yet.

        *answer* and *login* are in seconds, see :func:`log_in`, which raises for us.
        """
        found = log_in(self.address, answer, login)
        if isinstance(found, NotYet):
            return found
        self._client = found
        return None

    def run(
        self,
        command: str,
        timeout: float = 60.0,
        follow: Callable[[bytes], None] | None = None,
    ) -> CommandResult:
        """Run *command* with the user's login shell and return its outcome.

        *timeout* is in seconds and scaled by the node's accelerator. *follow* gets the output
        as it comes. Behind the first commands a shell stays for the others
        (:mod:`yoctovirt.boot.sshturn`), which saves most of a short one's time. Raises
        CommandTimeoutError with the transcript, NodeUnreachableError where the node is gone.
        """
        import paramiko

        self.ensure()
        seconds = timeout * self._scale
        deadline = Deadline(seconds)
        turn: Turn | None = None
        try:
            turn = self._sessions.begin(command, seconds, follow is not None)
            while True:
                try:
                    data = turn.more(max(0.05, min(_TURN, deadline.remaining)))
                except TimeoutError:
                    self._check_gone(f"a command ran: {command}")
                    if self._owner is not None:
                        self._owner.interrupted(f"a command ran: {command}")
                    if deadline.expired:
                        raise
                    continue
                if not data:
                    break
                if follow is not None:
                    follow(data)
            turn.finish(deadline)
        except TimeoutError as error:
            self.close()
            said = self._trouble.suspicion() if self._trouble else None
            where = (self.address.host, self.address.port)
            said = said or no_greeting(*where, _GREETING * self._scale)
            came = turn.output.decode(errors="replace") if turn else ""
            raise CommandTimeoutError(command, seconds, "ssh", came, said) from error
        except (paramiko.SSHException, OSError, EOFError) as error:
            self.close()
            self._check_gone(f"a command ran: {command}", 1.5)
            self._look_after(f"a command ran: {command}")
            silent = no_greeting(self.address.host, self.address.port, _GREETING * self._scale)
            raise NodeUnreachableError(
                f"the SSH connection broke while a command ran ({error}): {command}"
                + (f"\n{silent}" if silent else "")
            ) from error
        if turn.status < 0:
            self._look_after(f"a command ran: {command}")
            raise NodeUnreachableError(f"the node ended a command without a status: {command}")
        text = turn.output.decode(errors="replace")
        return CommandResult(command, turn.status, text, deadline.elapsed, "ssh")

    def _transport(self) -> paramiko.Transport:
        import paramiko

        transport = self._client.get_transport() if self._client else None
        if transport is None:
            raise paramiko.SSHException("the connection is closed")
        return transport

    def put(self, data: bytes, remote: str, mode: int = 0o644) -> None:
        """Write *data* to the file *remote* (by ``cat``: small images have no SFTP server)."""
        with self.channel(f"cat > {remote} && chmod {mode:o} {remote}", 120.0) as channel:
            with suppress(OSError):  # the exit status tells
                channel.sendall(data)
                channel.shutdown_write()
            if channel.recv_exit_status() != 0:
                raise NodeUnreachableError(f"{remote} could not be written on the node")

    @contextmanager
    def channel(self, command: str, stall: float) -> Iterator[paramiko.Channel]:
        """Run *command* and yield the channel that is its input and output.

        *stall* is how many seconds, scaled, each read or write may wait: a TimeoutError comes
        then. Raises NodeUnreachableError where there is no connection.
        """
        import paramiko

        if self._client is None or not self._alive():
            self.connect()
        try:
            channel = self._sessions.open(stall * self._scale)
            channel.settimeout(stall * self._scale)
            channel.exec_command(command)
        except (paramiko.SSHException, EOFError) as error:
            self.close()
            self._check_gone(f"a command was to start: {command}", 1.5)
            raise NodeUnreachableError(f"the SSH connection broke ({error}): {command}") from error
        try:
            yield channel
        finally:
            channel.close()

    def listen(self, serve: Callable[[paramiko.Channel], None]) -> int:
        """Have connections to a port of the node's loopback served here, and return that port.

        *serve* gets each connection in a thread of its own. It ends with :meth:`close`.
        Raises BootError where the node's sshd forwards no ports.
        """
        import paramiko

        self.ensure()
        transport = self._transport()

        def accept(channel: paramiko.Channel, _origin: object, _server: object) -> None:
            threading.Thread(target=serve, args=(channel,), daemon=True).start()

        try:
            return int(transport.request_port_forward("127.0.0.1", 0, accept))
        except paramiko.SSHException as error:
            raise BootError(
                f"the node's SSH server forwards no ports to us: {error}",
                "AllowTcpForwarding of its sshd_config",
            ) from error

    def open_tcp(self, host: str, port: int, seconds: float) -> paramiko.Channel:
        """Return a TCP connection that the node makes to *host*; :meth:`connect` comes before.

        Raises paramiko.SSHException where the node does not make it within *seconds*.
        """
        transport = self._client.get_transport() if self._client else None
        if transport is None:
            raise NodeUnreachableError("there is no SSH connection to the node")
        return transport.open_channel(
            "direct-tcpip", (host, port), ("127.0.0.1", 0), timeout=seconds
        )

    @property
    def alive(self) -> bool:
        """Whether there is a connection."""
        return self._alive()

    def _check_gone(self, meanwhile: str, seconds: float = 0.0) -> None:
        """Raise NodeUnreachableError where no answer will come any more.

        A QEMU that ends needs a moment for it, and has *seconds*.
        """
        if self._trouble is None:
            return
        deadline, reason = Deadline(seconds), self._trouble.deadly()
        while reason is None and not deadline.expired:
            time.sleep(0.1)
            reason = self._trouble.deadly()
        if reason is not None:
            self.close()
            raise NodeUnreachableError(
                f"the node does not go on: {reason}; this was found while {meanwhile}",
                "look into console-<node>.log of the run that booted it",
            )

    def _look_after(self, meanwhile: str) -> None:
        """After a connection broke: raise where the node restarts, or is gone.

        Its sshd goes first, and a restart takes its time: so it is looked after until sshd
        answers a new connection, or for a while (:attr:`Owner.aftermath`).
        """
        if self._owner is None or self._looking:
            return
        self._looking = True
        try:
            self._owner.interrupted(meanwhile)
            deadline = Deadline(self._owner.aftermath * self._scale)
            where = (self.address.host, self.address.port)
            while not deadline.expired:
                if no_greeting(*where, min(_GREETING * self._scale, deadline.remaining)) is None:
                    # The sshd of the boot that ends, or of the next one: met() tells.
                    self.connect(deadline.remaining)
                    return
                self._check_gone(meanwhile)
                self._owner.interrupted(meanwhile)
                time.sleep(0.2)
        except NodeRestartedError:
            raise
        except NodeUnreachableError:
            self._check_gone(meanwhile)
            self._owner.interrupted(meanwhile)
        finally:
            self._looking = False

    def _alive(self) -> bool:
        transport: Any = self._client.get_transport() if self._client else None
        return bool(transport and transport.is_active())

    def close(self) -> None:
        """Close the connection."""
        self._sessions.lost()
        if self._client is not None:
            self._client.close()
            self._client = None
