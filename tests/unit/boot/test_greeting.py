"""Does an sshd still greet?"""

from __future__ import annotations

import socket
import threading

import pytest

from yoctovirt.boot.greeting import no_greeting


@pytest.mark.parametrize(
    ("said", "expected"),
    [(b"SSH-2.0-x\r\n", None), (b"", "it closes the connection"), (None, "timed out")],
)
def test_greetings(said: bytes | None, expected: str | None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        over = threading.Event()

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                if said:
                    connection.sendall(said)
                if said != b"":
                    over.wait(30)

        thread = threading.Thread(target=serve)
        thread.start()
        found = no_greeting("127.0.0.1", server.getsockname()[1], 1.0)
        over.set()
        thread.join()
    assert (found is None) == (expected is None)
    assert expected is None or expected in str(found)


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert "refused" in str(no_greeting("127.0.0.1", port, 1.0))
