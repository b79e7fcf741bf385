"""Serial lines that are not QEMU's: a device, a TCP port, or a command that leads to one."""

from __future__ import annotations

import os
import socket
import sys
import termios
import threading
import tty
from collections.abc import Callable
from contextlib import suppress
from fcntl import ioctl
from pathlib import Path
from typing import Any

from yoctovirt.base.process import Guarded
from yoctovirt.boot.console import Console
from yoctovirt.boot.results import NodeUnreachableError
from yoctovirt.errors import UsageError

DEFAULT_SPEED = 115200
#: Seconds for a console server to take the connection.
_CONNECT_SECONDS = 10.0
#: dash cannot redirect descriptors above 9.
_BECOME = (
    "import os, sys; n = int(sys.argv[1]); [os.dup2(n, t) for t in (0, 1, 2)]; "
    "os.execvp('sh', ['sh', '-c', sys.argv[2]])"
)


def open_console(name: str, serial: dict[str, Any]) -> Console:
    """Return the console of the host *name*, by what ``serial`` of nodes.yml says.

    Raises UsageError where it says nothing, NodeUnreachableError where the line cannot be opened.
    """
    if not serial:
        raise UsageError(
            f"{name} has no serial console",
            "give it one in nodes.yml: serial: {device: …}, {tcp: host:port} or {command: …}",
        )
    if "device" in serial:
        return _device(name, Path(serial["device"]), serial.get("speed", DEFAULT_SPEED))
    if "tcp" in serial:
        return _tcp(name, serial["tcp"])
    return _command(name, serial["command"])


def _device(name: str, path: Path, speed: int) -> Console:
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise NodeUnreachableError(
            f"the serial port {path} of {name} cannot be opened: {error.strerror}",
            "is it there, and may you use it (group dialout)?",
        ) from error
    try:
        ioctl(fd, termios.TIOCEXCL)
        tty.setraw(fd)
        modes = termios.tcgetattr(fd)
        modes[2] |= termios.CLOCAL | termios.CREAD
        modes[4] = modes[5] = getattr(termios, f"B{speed}")
        termios.tcsetattr(fd, termios.TCSANOW, modes)
        os.set_blocking(fd, True)
    except (OSError, termios.error) as error:
        os.close(fd)
        raise NodeUnreachableError(f"{path} of {name} is no serial port: {error}") from error
    ours, theirs = socket.socketpair()
    return Console(path, connected=ours, on_close=_pump(fd, theirs))


def _pump(fd: int, end: socket.socket) -> Callable[[], None]:
    """Carry bytes between a terminal and a socket; return what ends that."""
    stop_read, stop_write = os.pipe()

    def inwards() -> None:
        import select

        while True:
            ready, _, _ = select.select([fd, stop_read], [], [])
            if stop_read in ready:
                break
            try:
                data = os.read(fd, 65536)
                if not data:
                    break
                end.sendall(data)
            except OSError:
                break
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)

    def outwards() -> None:
        with suppress(OSError):
            while data := end.recv(65536):
                os.write(fd, data)

    threads = [threading.Thread(target=one, daemon=True) for one in (inwards, outwards)]
    for thread in threads:
        thread.start()

    def close() -> None:
        os.write(stop_write, b"x")
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(timeout=5)
        end.close()
        for one in (fd, stop_read, stop_write):
            os.close(one)

    return close


def _tcp(name: str, address: str) -> Console:
    host, _, port = address.rpartition(":")
    try:
        line = socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS)
    except (OSError, OverflowError) as error:
        raise NodeUnreachableError(
            f"the console server {address} of {name} does not take the connection: {error}",
            "look at serial.tcp in nodes.yml; is somebody else connected?",
        ) from error
    line.settimeout(None)
    return Console(Path(address), connected=line)


def _command(name: str, command: str) -> Console:
    ours, theirs = socket.socketpair()
    try:
        argv = [sys.executable, "-I", "-S", "-c", _BECOME, str(theirs.fileno()), command]
        # Behind a guard: it ends with us, however we end.
        job = Guarded(argv, pass_fds=[theirs.fileno()], grace=2.0)
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()

    def close() -> None:
        job.stop()

    return Console(Path(f"`{command}` (console of {name})"), connected=ours, on_close=close)
