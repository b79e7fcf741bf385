"""A port of a node through its SSH server: a real one, in this process."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from tests.integration.conftest import wait_for
from tests.unit.boot.sshd import Place
from yoctovirt.boot.tunnel import open_tunnel
from yoctovirt.errors import BootError


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path, "/bin/sh", 10)
    yield made
    made.close()


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[socket.socket], None]], int]]:
    """Have connections to a port, which is returned, served by a function."""
    listeners: list[socket.socket] = []

    def begin(function: Callable[[socket.socket], None]) -> int:
        listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        listeners.append(listener)

        def one(line: socket.socket) -> None:
            with line, suppress(OSError):
                function(line)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    line, _ = listener.accept()
                    threading.Thread(target=one, args=(line,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        return int(listener.getsockname()[1])

    yield begin
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


Serve = Callable[[Callable[[socket.socket], None]], int]


def all_of(line: socket.socket) -> bytes:
    found = b""
    while data := line.recv(65536):
        found += data
    return found


def ask(port: int, said: bytes) -> bytes:
    """Say *said* and that this was all, and return what comes until the other end has said all."""
    with socket.create_connection(("127.0.0.1", port), 20) as line:
        line.sendall(said)
        with suppress(OSError):  # the other end may have refused us and be gone already
            line.shutdown(socket.SHUT_WR)
        return all_of(line)


def reverse(line: socket.socket) -> None:
    """Answer when all was said, and not before."""
    line.sendall(all_of(line)[::-1])


def test_what_was_said_last_is_answered(place: Place, serve: Serve) -> None:
    with open_tunnel(place.shell, serve(reverse)) as tunnel:
        assert ask(tunnel.port, b"abc") == b"cba"
        said = os.urandom(3_000_000)
        assert ask(tunnel.port, said) == said[::-1]
        assert place.shell.run("echo meanwhile").output == "meanwhile\n"
    assert tunnel.refused == []


def test_several_at_once(place: Place, serve: Serve) -> None:
    """None is answered before all have come."""
    barrier = threading.Barrier(12)

    def together(line: socket.socket) -> None:
        said = all_of(line)
        if said:  # the first connection only shows that there can be one
            barrier.wait(20)
            line.sendall(said * 2)

    with open_tunnel(place.shell, serve(together)) as tunnel, ThreadPoolExecutor(12) as pool:
        words = [f"word {number}".encode() for number in range(12)]
        answers = list(pool.map(lambda word: ask(tunnel.port, word), words))
    assert answers == [word * 2 for word in words]


def test_the_node_ends_first(place: Place, serve: Serve) -> None:
    """What one still says then is lost, and nothing waits for it."""

    def greet(line: socket.socket) -> None:
        line.sendall(b"go away\n")

    with (
        open_tunnel(place.shell, serve(greet)) as tunnel,
        socket.create_connection(("127.0.0.1", tunnel.port), 20) as line,
    ):
        assert all_of(line) == b"go away\n"
        line.sendall(b"x")


def test_nobody_listens(place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    before = threading.active_count()
    said = rf"node cannot be connected to its 127.0.0.1:{port}"
    with pytest.raises(BootError, match=said), open_tunnel(place.shell, port):
        pytest.fail("there is a tunnel to nothing")
    assert place.shell.run("echo and on").output == "and on\n"
    # Those of the SSH connection stay; the server's of the command have to see that it ended.
    wait_for(lambda: threading.active_count() <= before + 3, 20, "the end of the threads")


def test_the_server_forwards_nothing(place: Place, serve: Serve) -> None:
    place.server.forwards = False
    port = serve(reverse)
    said = "SSH server makes no connection to 127"
    with pytest.raises(BootError, match=said) as caught, open_tunnel(place.shell, port):
        pytest.fail("there is a tunnel")
    assert "AllowTcpForwarding" in caught.value.hint


def test_it_is_refused_later(place: Place, serve: Serve) -> None:
    with open_tunnel(place.shell, serve(reverse)) as tunnel:
        assert ask(tunnel.port, b"ab") == b"ba"
        place.server.forwards = False
        with suppress(ConnectionError):
            assert ask(tunnel.port, b"ab") == b""
        assert len(tunnel.refused) == 1
        assert "SSH server makes no connection" in tunnel.refused[0]


def test_the_ssh_connection_breaks(place: Place, serve: Serve) -> None:
    with open_tunnel(place.shell, serve(reverse)) as tunnel:
        place.shell.close()
        with suppress(ConnectionError):
            assert ask(tunnel.port, b"ab") == b""
        assert len(tunnel.refused) == 1
        assert "no SSH connection" in tunnel.refused[0]


def test_nothing_is_left(place: Place, serve: Serve) -> None:
    """Its end ends connections on which nobody says anything, or nobody reads."""
    gone = threading.Event()

    def silent(line: socket.socket) -> None:
        first = line.recv(1)
        with suppress(OSError):
            if first == b"w":
                while True:
                    line.sendall(b"x" * 65536)
            all_of(line)
        if first:
            gone.set()

    port = serve(silent)
    place.shell.connect()
    place.shell.run("true")
    before = set(threading.enumerate())
    with open_tunnel(place.shell, port) as tunnel:
        lines = [socket.create_connection(("127.0.0.1", tunnel.port), 20) for _ in range(3)]
        lines[1].sendall(b"r")
        lines[2].sendall(b"w")
        time.sleep(0.5)
        begun = time.monotonic()
    assert time.monotonic() - begun < 5
    assert gone.wait(20)
    ours = [one.name for one in set(threading.enumerate()) - before if "_carry" in one.name]
    assert ours == []
    for line in lines:
        line.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", tunnel.port), 5)
