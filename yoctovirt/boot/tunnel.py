"""A port of a node, reached from this host through the SSH connection that there is."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import TYPE_CHECKING, Any

from yoctovirt.errors import BootError

if TYPE_CHECKING:
    import paramiko

    from yoctovirt.boot.ssh import SshShell

_BLOCK = 32768
#: Seconds, before scaling, that the node has to make a connection.
_CONNECT = 20.0
#: Seconds between two looks whether the tunnel is to end.
_TURN = 0.1
#: Reason of SSH for a channel that was not opened (RFC 4254, 5.1).
_PROHIBITED = 1


class Tunnel(ThreadingTCPServer):
    """Connections to a port of this host's loopback, made by the node to *there*."""

    # The threads of connections are ended, and waited for, where the tunnel is closed.
    daemon_threads = False
    #: A browser opens many at once.
    request_queue_size = 64

    def __init__(self, ssh: SshShell, there: tuple[str, int], seconds: float) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self._ssh, self._there, self._seconds = ssh, there, seconds
        self._lock = threading.Lock()
        self._open: list[tuple[socket.socket, paramiko.Channel]] = []
        self._ended = False
        #: Why connections were not made, the latest last.
        self.refused: list[str] = []

    @property
    def port(self) -> int:
        """The port of this host."""
        return int(self.server_address[1])

    def connect(self) -> paramiko.Channel:
        """Have the node make a connection; raise BootError with the reason where it does not."""
        import paramiko

        where = f"{self._there[0]}:{self._there[1]}"
        try:
            return self._ssh.open_tcp(*self._there, self._seconds)
        except paramiko.ChannelException as error:
            if error.code == _PROHIBITED:
                raise BootError(
                    f"the node's SSH server makes no connection to {where} for us: {error.text}",
                    "AllowTcpForwarding and PermitOpen of its sshd_config",
                ) from error
            raise BootError(
                f"the node cannot be connected to its {where}: {error.text}",
                "does something listen there?",
            ) from error
        except (paramiko.SSHException, EOFError, OSError) as error:
            why = str(error) or "the SSH connection broke"
            raise BootError(f"no connection to the node's {where}: {why}") from error

    def serve(self, here: socket.socket) -> None:
        """Carry what comes, both ways, until both ends have said all."""
        try:
            channel = self.connect()
        except BootError as error:
            self.refused.append(error.message)
            return
        with closing(channel):
            with self._lock:
                if self._ended:
                    return
                self._open.append((here, channel))
            back = threading.Thread(target=_carry, args=(channel, here))
            back.start()
            _carry(here, channel)
            back.join()
            with self._lock:
                self._open.remove((here, channel))

    def end(self) -> None:
        """End all connections: what waits for one of them goes on."""
        with self._lock:
            self._ended = True
            for here, channel in self._open:
                with suppress(OSError):
                    here.shutdown(socket.SHUT_RDWR)
                channel.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep what nobody expected: a thread has no caller to tell."""
        self.refused.append(f"the tunnel broke: {sys.exc_info()[1]!r}")


class _Connection(BaseRequestHandler):
    server: Tunnel

    def handle(self) -> None:
        """Serve one connection; its socket is closed by the one who calls us."""
        self.server.serve(self.request)


def _carry(source: Any, target: Any) -> None:
    """Carry what *source* says to *target*, its end, too: the other way may go on."""
    with suppress(OSError, EOFError):
        while data := source.recv(_BLOCK):
            target.sendall(data)
    with suppress(OSError, EOFError):
        target.shutdown(socket.SHUT_WR)


@contextmanager
def open_tunnel(
    ssh: SshShell, port: int, host: str = "127.0.0.1", scale: float = 1.0
) -> Iterator[Tunnel]:
    """Yield a Tunnel to *port* of *host* as the node sees it; in the end it is closed.

    Any number of connections at once. Raises BootError where the node does not make the first
    one, which is ours; what becomes of later ones is in :attr:`Tunnel.refused`.
    """
    with Tunnel(ssh, (host, port), _CONNECT * scale) as tunnel:
        ssh.ensure()
        with closing(tunnel.connect()):
            pass
        thread = threading.Thread(target=tunnel.serve_forever, args=(_TURN,))
        thread.start()
        try:
            yield tunnel
        finally:
            tunnel.shutdown()
            thread.join()
            tunnel.end()
