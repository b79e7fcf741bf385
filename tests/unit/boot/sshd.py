"""An SSH server in this process that runs real shells, and makes connections for its clients."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
from contextlib import suppress
from pathlib import Path

import paramiko

from yoctovirt.boot.ssh import SshShell
from yoctovirt.boot.sshlogin import SshAddress


class Server(paramiko.ServerInterface):
    """A small sshd: each session's command is run by *shell*; *most* sessions at a time."""

    def __init__(self, shell: str, most: int) -> None:
        self.shell = shell
        self.refused = ""
        self.most = most
        self.open = 0
        self.forwards = True
        self.commands: list[str] = []
        self.children: list[subprocess.Popen[bytes]] = []
        self.connections: dict[int, socket.socket] = {}

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return paramiko.common.AUTH_SUCCESSFUL

    def check_channel_request(self, kind: str, chanid: int) -> int:
        if self.open >= self.most:
            return paramiko.common.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED
        self.open += 1
        return paramiko.common.OPEN_SUCCEEDED

    def check_channel_direct_tcpip_request(
        self, chanid: int, origin: tuple[str, int], destination: tuple[str, int]
    ) -> int:
        if not self.forwards:
            return paramiko.common.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED
        try:
            there = socket.create_connection(destination, 10)
        except OSError:
            return paramiko.common.OPEN_FAILED_CONNECT_FAILED
        there.settimeout(None)
        self.connections[chanid] = there
        return paramiko.common.OPEN_SUCCEEDED

    def forward(self, channel: paramiko.Channel) -> None:
        """Carry what comes over a channel that is a connection, both ways."""
        there = self.connections.pop(channel.get_id())

        def back() -> None:
            with suppress(OSError):
                while data := there.recv(4096):
                    channel.sendall(data)
            with suppress(OSError, EOFError):
                channel.shutdown_write()

        thread = threading.Thread(target=back, daemon=True)
        thread.start()
        with suppress(OSError):
            while data := channel.recv(4096):
                there.sendall(data)
        with suppress(OSError):
            there.shutdown(socket.SHUT_WR)
        thread.join()
        channel.close()
        there.close()

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        self.commands.append(command.decode())
        if command.decode() == self.refused:
            self.open -= 1
            return False
        threading.Thread(target=self._run, args=(channel, command), daemon=True).start()
        return True

    def _run(self, channel: paramiko.Channel, command: bytes) -> None:
        # The client's first words, or the end of its input: it has our yes by then.
        data = channel.recv(4096)
        ours, theirs = socket.socketpair()
        child = subprocess.Popen(
            [self.shell, "-c", command.decode()],
            env={**os.environ, "SHELL": self.shell},
            stdin=theirs.fileno(),
            stdout=theirs.fileno(),
            stderr=theirs.fileno(),
            start_new_session=True,
        )
        theirs.close()
        self.children.append(child)
        threading.Thread(target=self._output, args=(channel, ours, child), daemon=True).start()
        with suppress(OSError):
            while data:
                ours.sendall(data)
                data = channel.recv(4096)
            ours.shutdown(socket.SHUT_WR)

    def _output(
        self, channel: paramiko.Channel, ours: socket.socket, child: subprocess.Popen[bytes]
    ) -> None:
        with suppress(OSError):
            while data := ours.recv(4096):
                channel.sendall(data)
        status = child.wait()
        ours.close()
        self.open -= 1
        with suppress(OSError, EOFError, paramiko.SSHException):
            if status >= 0:
                channel.send_exit_status(status)
            channel.close()


class Place:
    """The server and who may come to it."""

    def __init__(self, folder: Path, shell: str, most: int) -> None:
        self.server = Server(shell, most)
        self._host_key = paramiko.ECDSAKey.generate()
        mine = paramiko.ECDSAKey.generate()
        mine.write_private_key_file(str(folder / "id"))
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()
        host_key = f"{self._host_key.get_name()} {self._host_key.get_base64()}"
        port = self._listener.getsockname()[1]
        self.shell = SshShell(SshAddress("127.0.0.1", port, "root", folder / "id", host_key))

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._sessions, args=(line,), daemon=True).start()

    def _sessions(self, line: socket.socket) -> None:
        transport = paramiko.Transport(line)
        transport.add_server_key(self._host_key)
        with suppress(paramiko.SSHException, EOFError):  # a look whether there is a server
            transport.start_server(server=self.server)
        kept = []  # a channel that nobody refers to is closed
        while transport.is_active():
            channel = transport.accept(1)
            kept.append(channel)
            if channel is not None and channel.get_id() in self.server.connections:
                threading.Thread(target=self.server.forward, args=(channel,), daemon=True).start()
        line.close()

    def close(self) -> None:
        self.shell.close()
        self._listener.close()
        for child in self.server.children:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
