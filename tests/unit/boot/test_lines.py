"""Serial lines that are not QEMU's, each on a real shell."""

from __future__ import annotations

import os
import pty
import socket
import subprocess
import sys
import threading
import time
import tty
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.unit.boot.bridge import closed_port
from yoctovirt.boot.lines import open_console
from yoctovirt.boot.results import NodeUnreachableError
from yoctovirt.boot.serial import SerialShell
from yoctovirt.errors import UsageError

SHELL = "exec sh -i"


@pytest.fixture
def device() -> Iterator[str]:
    """Return a terminal device that leads to a shell, as a serial port does."""
    board, port = pty.openpty()
    tty.setraw(port)  # or it sends back to the shell what that says before we open it
    inner, far = pty.openpty()
    shell = subprocess.Popen(
        ["sh", "-i"], stdin=far, stdout=far, stderr=far, start_new_session=True
    )
    ends = {board: inner, inner: board}

    def carry(source: int) -> None:
        with suppress(OSError):
            while data := os.read(source, 4096):
                os.write(ends[source], data)

    for end in ends:
        threading.Thread(target=carry, args=(end,), daemon=True).start()
    yield os.ttyname(port)
    shell.kill()
    shell.wait()


@pytest.fixture
def tcp() -> Iterator[str]:
    """Return the address of a console server."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                line, _ = server.accept()
                with line:
                    fd = line.fileno()
                    subprocess.run(["sh", "-i"], stdin=fd, stdout=fd, stderr=fd, check=False)

    threading.Thread(target=serve, daemon=True).start()
    yield f"127.0.0.1:{server.getsockname()[1]}"
    server.close()


def run_on(tmp_path: Path, serial: dict[str, object]) -> None:
    shell = SerialShell(
        tmp_path / "none", tmp_path / "lock", 2, lambda: open_console("board", serial)
    )
    for _ in range(2):  # each run opens the line anew
        result = shell.run("echo out; echo err >&2; exit 7")
        assert (result.exit_status, result.output) == (7, "out\nerr\n")
    assert shell.run("seq 1 5000").output.split() == [str(n) for n in range(1, 5001)]


def test_device(tmp_path: Path, device: str) -> None:
    run_on(tmp_path, {"device": device, "speed": 9600})


def test_tcp(tmp_path: Path, tcp: str) -> None:
    run_on(tmp_path, {"tcp": tcp})


def test_command(tmp_path: Path) -> None:
    run_on(tmp_path, {"command": SHELL})


def test_the_command_ends_with_the_console(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    console = open_console("board", {"command": f"echo $$ > {mark}; exec sleep 600"})
    end = time.monotonic() + 20
    while not (mark.exists() and mark.read_text().strip()):
        assert time.monotonic() < end
        time.sleep(0.02)
    console.close()
    assert not Path("/proc", mark.read_text().strip()).exists()


def test_the_command_ends_with_us(tmp_path: Path) -> None:
    """kill -9 of the one who has the console open."""
    mark = tmp_path / "pid"
    code = (
        "from yoctovirt.boot.lines import open_console; import time; "
        f"open_console('board', {{'command': 'echo $$ > {mark}; exec sleep 600'}}); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    end = time.monotonic() + 20
    while not (mark.exists() and mark.read_text().strip()):
        assert time.monotonic() < end
        time.sleep(0.02)
    process.kill()
    process.wait()
    while Path("/proc", mark.read_text().strip()).exists():
        assert time.monotonic() < end + 20
        time.sleep(0.02)


def test_lines_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="board has no serial console"):
        open_console("board", {})
    with pytest.raises(NodeUnreachableError, match=r"/nowhere of board cannot be opened: No such"):
        open_console("board", {"device": "/nowhere"})
    (tmp_path / "file").write_text("")
    with pytest.raises(NodeUnreachableError, match="is no serial port"):
        open_console("board", {"device": str(tmp_path / "file")})
    with pytest.raises(NodeUnreachableError, match="does not take the connection"):
        open_console("board", {"tcp": f"127.0.0.1:{closed_port()}"})


def test_a_command_that_fails_is_shown(tmp_path: Path) -> None:
    serial = {"command": "echo lab: no route to host >&2; exit 255"}
    shell = SerialShell(
        tmp_path / "none", tmp_path / "lock", 1, lambda: open_console("board", serial)
    )
    with pytest.raises(NodeUnreachableError, match="the console was closed"):
        shell.run("true")
