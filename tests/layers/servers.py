"""Servers of a team, for the time of a test."""

from __future__ import annotations

import base64
import http.server
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.httpserver import serving
from tests.integration.conftest import wait_for

USER = "ci"


class Handler(http.server.SimpleHTTPRequestHandler):
    """Files, for who knows the password (where there is one)."""

    protocol_version = "HTTP/1.1"
    secret: str | None = None

    def _refused(self) -> bool:
        wanted = base64.b64encode(f"{USER}:{self.secret}".encode()).decode()
        if self.secret is None or self.headers.get("Authorization") == f"Basic {wanted}":
            return False
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="mirror"')
        self.send_header("Content-Length", "0")
        self.end_headers()
        return True

    def do_GET(self) -> None:
        if not self._refused():
            super().do_GET()

    def do_HEAD(self) -> None:
        if not self._refused():
            super().do_HEAD()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def http_server(folder: Path, secret: str | None = None) -> Iterator[str]:
    """Serve *folder*; yield the URL."""
    asking = type("Asking", (Handler,), {"secret": secret})

    def handler(*arguments: Any) -> Handler:
        made: Handler = asking(*arguments, directory=str(folder))
        return made

    with serving(handler) as port:
        yield f"http://127.0.0.1:{port}"


def free_port() -> int:
    """Return a port of localhost at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextmanager
def hash_server(bitbake: Path, folder: Path) -> Iterator[str]:
    """Run the bitbake-hashserv of the layers; yield its address."""
    address = f"127.0.0.1:{free_port()}"
    server = subprocess.Popen(
        [str(bitbake / "bin/bitbake-hashserv"), "--bind", address, "--database",
         str(folder / "hashserv.db")],
        cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip

    def answers() -> bool:
        assert server.poll() is None, server.communicate()[1]
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", int(address.split(":")[1])), 1).close()
            return True
        return False

    try:
        wait_for(answers, 20, "bitbake-hashserv answers")
        yield address
    finally:
        server.terminate()
        server.communicate(timeout=60)
