"""A console as QEMU offers it: a UNIX socket that one client at a time may use."""

from __future__ import annotations

import os
import pty
import select
import signal
import socket
import subprocess
import threading
from contextlib import suppress
from pathlib import Path


class Bridge:
    """A UNIX socket at *path*; what a client writes is kept, :meth:`say` writes to the client."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.got = b""
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
        self._client: socket.socket | None = None
        self._waiting = b""
        self._lock = threading.Lock()
        self._stop, self._stopped = os.pipe()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def say(self, data: bytes) -> None:
        """Write *data* to the client, or to the next one where there is none."""
        with self._lock:
            if self._client is None:
                self._waiting += data
                return
            client = self._client
        with suppress(OSError):
            client.sendall(data)

    def receive(self, data: bytes) -> None:
        self.got += data

    def hang_up(self) -> None:
        """Close the console, as a QEMU that ends."""
        with self._lock:
            if self._client is not None:
                self._client.shutdown(socket.SHUT_RDWR)
            self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                ready, _, _ = select.select([self._listener.fileno(), self._stop], [], [])
                if self._stop in ready:
                    return
                client, _ = self._listener.accept()
            except (OSError, ValueError):
                return
            with client:
                with self._lock:
                    self._client, waiting, self._waiting = client, self._waiting, b""
                with suppress(OSError):
                    client.sendall(waiting)
                while True:
                    try:
                        data = client.recv(65536)
                    except OSError:
                        data = b""
                    if not data:
                        break
                    self.receive(data)
                with self._lock:
                    self._client = None

    def close(self) -> None:
        os.write(self._stopped, b"x")
        self.hang_up()
        self._thread.join(5)
        os.close(self._stop)
        os.close(self._stopped)


# A getty that asks for a name and, where it is told to, for a password.
GETTY = """\
exec <"$0" >"$0" 2>&1
stty rows 24 cols 80 ixon ixoff
while :; do
    printf '\\r\\nDebian GNU/Linux 12 node ttyS0\\r\\n\\r\\nnode login: '
    read -r name || exit
    [ -n "$name" ] || continue
    # Whatever is not root is asked for a password, as by login of BusyBox.
    if [ -n "$YV_PASSWORD" ] || [ "$name" != root ]; then
        printf 'Password: '; read -r password; printf '\\r\\nLogin incorrect\\r\\n'; continue
    fi
    printf 'Last login: Sat Nov 21 on ttyS0\\r\\n'
    "$@"
done
"""


class Terminal(Bridge):
    """A real shell on a real terminal behind the socket, after a login."""

    def __init__(self, path: Path, *shell: str, password: bool = False) -> None:
        self._master, slave = pty.openpty()
        env = {
            "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": str(path.parent),
            "TERM": "vt102", "LANG": "C.UTF-8", "PS1": "root@node:~# ",
            "YV_PASSWORD": "1" if password else "",
        }  # fmt: skip
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", GETTY, os.ttyname(slave), *shell], env=env, cwd=path.parent,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        self.slave = slave  #: Held, so that the master never ends.
        super().__init__(path)
        self._pump = threading.Thread(target=self._read, daemon=True)
        self._pump.start()

    def receive(self, data: bytes) -> None:
        super().receive(data)
        while data:
            data = data[os.write(self._master, data) :]

    def _read(self) -> None:
        while True:
            ready, _, _ = select.select([self._master], [], [], 0.2)
            if self._master in ready:
                try:
                    data = os.read(self._master, 65536)
                except OSError:
                    return
                self.say(data)
            elif self._process.poll() is not None:
                return

    def close(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        # Interactive shells put their jobs into groups of their own.
        for line in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError, ProcessLookupError):
                fields = line.read_text(errors="replace").rpartition(")")[2].split()
                if int(fields[3]) == self._process.pid:
                    os.kill(int(line.parent.name), signal.SIGKILL)
        self._pump.join(5)
        super().close()
        os.close(self._master)
        os.close(self.slave)


def closed_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
