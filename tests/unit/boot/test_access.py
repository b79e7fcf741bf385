"""SSH that is tried while the node still starts, against a real SSH server."""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import paramiko
import pytest
from paramiko import common

from yoctovirt.boot.access import EarlySsh
from yoctovirt.boot.results import NodeRefusedError, NodeUnreachableError
from yoctovirt.boot.ssh import SshShell
from yoctovirt.boot.sshlogin import SshAddress
from yoctovirt.build.debian.overlay import Keys, make_keys


class _AnyKey(paramiko.ServerInterface):
    def __init__(self, accepts: bool, asked: Callable[[], None]) -> None:
        self.accepts, self.asked = accepts, asked

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        self.asked()
        return common.AUTH_SUCCESSFUL if self.accepts else common.AUTH_FAILED

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"


class Server:
    """A listening port that speaks SSH from the moment it is told to; silent before.

    *asked* is called when somebody shows a key, before the answer.
    """

    def __init__(
        self, keys: Keys, accepts: bool = True, asked: Callable[[], None] = lambda: None
    ) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.speaks = threading.Event()
        self.attempts = 0
        self._key = paramiko.Ed25519Key.from_private_key(io.StringIO(keys.host_private))
        self._accepts, self._asked = accepts, asked
        self._open: list[Any] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.attempts += 1
            self._open.append(connection)
            if self.speaks.is_set():
                transport = paramiko.Transport(connection)
                transport.add_server_key(self._key)
                # A client that was in the middle of this may be gone.
                with suppress(OSError, EOFError, paramiko.SSHException):
                    transport.start_server(server=_AnyKey(self._accepts, self._asked))
                self._open.append(transport)

    def cut(self) -> None:
        """Close the connections that there are."""
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.close()
        for one in self._open:
            one.close()


@pytest.fixture
def keys() -> Keys:
    return make_keys()


@pytest.fixture
def server(keys: Keys) -> Iterator[Server]:
    server = Server(keys)
    yield server
    server.close()


def early(folder: Path, server: Server, keys: Keys, host_public: str | None) -> EarlySsh:
    """Attempts on a node of which only what they need is there."""
    client_key = folder / "client"
    client_key.write_text(keys.client_private)
    state = SimpleNamespace(ssh_key="", ssh_host_key="")

    def address() -> SshAddress:
        return SshAddress("127.0.0.1", server.port, "root", Path(state.ssh_key), state.ssh_host_key)

    class Node:
        def __init__(self) -> None:
            self.folder, self.state, self.address = folder, state, address
            self._shell: SshShell | None = None

        @property
        def ssh(self) -> SshShell:
            self._shell = self._shell or SshShell(address())
            return self._shell

        def save(self) -> None:
            pass

    deploy = SimpleNamespace(client_key=client_key if host_public else None, host_key=host_public)
    node: Any = Node()
    known: Any = deploy
    return EarlySsh(node, known, 5.0)


def until(condition: Any, seconds: float = 15.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def test_an_attempt_that_hangs_does_not_hold_up_the_next(
    tmp_path: Path, server: Server, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("yoctovirt.boot.access._EARLY_ANSWER", 0.3)
    attempts = early(tmp_path, server, keys, keys.host_public)
    assert until(lambda: server.attempts >= 2)
    assert not attempts.connected
    server.speaks.set()
    assert until(lambda: attempts.connected)
    assert attempts.finish()


def test_finish_without_an_answer(tmp_path: Path, server: Server, keys: Keys) -> None:
    attempts = early(tmp_path, server, keys, keys.host_public)
    assert until(lambda: server.attempts >= 1)
    server.close()
    assert not attempts.finish()


def test_no_attempt_where_the_keys_are_not_known(
    tmp_path: Path, server: Server, keys: Keys
) -> None:
    attempts = early(tmp_path, server, keys, None)
    time.sleep(0.5)
    assert server.attempts == 0
    assert not attempts.finish()


def test_another_host_key_is_never_accepted(tmp_path: Path, server: Server, keys: Keys) -> None:
    server.speaks.set()
    attempts = early(tmp_path, server, keys, make_keys().host_public)
    assert until(lambda: server.attempts >= 1)
    assert not attempts.finish()
    assert not attempts.connected


def test_a_refused_key_is_no_connection(tmp_path: Path, keys: Keys) -> None:
    server = Server(keys, accepts=False)
    server.speaks.set()
    try:
        attempts = early(tmp_path, server, keys, keys.host_public)
        assert until(lambda: server.attempts >= 1)
        assert not attempts.finish()
    finally:
        server.close()


def shell_for(server: Server, keys: Keys, folder: Path, scale: float = 1.0) -> SshShell:
    key = folder / "client"
    key.write_text(keys.client_private)
    return SshShell(SshAddress("127.0.0.1", server.port, "root", key, keys.host_public), scale)


def test_a_refused_key_is_told_at_once(tmp_path: Path, keys: Keys) -> None:
    server = Server(keys, accepts=False)
    server.speaks.set()
    try:
        with pytest.raises(NodeRefusedError, match="refuses our key") as caught:
            shell_for(server, keys, tmp_path).connect(60)
        assert server.attempts == 1
        assert "authorized_keys" in caught.value.hint
    finally:
        server.close()


def test_a_login_without_an_answer_is_no_refusal(tmp_path: Path, keys: Keys) -> None:
    """An sshd that takes the key and does not go on: tried again, and told as what it is."""
    over = threading.Event()

    def asked() -> None:
        over.wait()

    server = Server(keys, asked=asked)
    server.speaks.set()
    try:
        with pytest.raises(NodeUnreachableError) as caught:
            shell_for(server, keys, tmp_path, scale=0.1).connect(2.5)
        assert not isinstance(caught.value, NodeRefusedError)
        assert "answers, but within 2 s no login came to its end" in caught.value.message
        assert "(last: no answer to our key within" in caught.value.message
        assert "our key was not refused" in caught.value.hint
        assert server.attempts > 1
    finally:
        over.set()
        server.close()


def test_a_login_that_is_cut_is_no_refusal(tmp_path: Path, keys: Keys) -> None:
    """An sshd that restarts in the middle of the first login: the next one succeeds."""
    cut: list[Server] = []

    def asked() -> None:
        if not cut:
            cut.append(cutting)
            cutting.cut()

    cutting = Server(keys, asked=asked)
    cutting.speaks.set()
    try:
        shell = shell_for(cutting, keys, tmp_path)
        shell.connect(30)
        assert shell.alive
        assert cutting.attempts == 2
        shell.close()
    finally:
        cutting.close()
