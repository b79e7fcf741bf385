"""The serial console as pexpect sees it: a UNIX socket, always drained."""

from __future__ import annotations

import codecs
import queue
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pexpect.exceptions import EOF, TIMEOUT
from pexpect.spawnbase import SpawnBase

from yoctovirt.boot.qmp import short_path
from yoctovirt.boot.results import NodeUnreachableError

if TYPE_CHECKING:  # generic in its stubs only
    _Spawn = SpawnBase[str]
else:
    _Spawn = SpawnBase


#: Characters at the end of what came in which pexpect looks for a pattern.
_WINDOW = 16384
#: Characters that are handed over at once. Each piece must lie in the window whole, with room
#: for a pattern that begins in the piece before: what lies outside of it is never looked at.
_PIECE = _WINDOW // 2


class Console(_Spawn):
    """A pexpect spawn on a console socket.

    A thread reads all that comes: a guest must never wait for somebody to read
    (a full socket stops its serial port). Text is UTF-8; what is not is replaced.
    A console that is no UNIX socket comes *connected*; *on_close* ends what stands behind it.
    """

    def __init__(
        self,
        path: Path,
        timeout: float = 30.0,
        connected: socket.socket | None = None,
        on_close: Callable[[], None] | None = None,
    ) -> None:
        # searchwindowsize bounds the cost of a pattern on a flood of output.
        super().__init__(
            timeout=timeout, searchwindowsize=_WINDOW, encoding="utf-8", codec_errors="replace"
        )
        self.path = path
        self._text = codecs.getincrementaldecoder("utf-8")("replace")
        self._on_close = on_close
        self._socket = connected or self._connect(path)
        self.child_fd = self._socket.fileno()
        self.closed = False  # what SpawnBase starts with says closed
        self._chunks: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._held = ""
        self._ended = False
        #: Whether anything at all came, and when (monotonic seconds).
        self.first_output: float | None = None
        self._reader = threading.Thread(target=self._drain, daemon=True)
        self._reader.start()

    @staticmethod
    def _connect(path: Path) -> socket.socket:
        found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with short_path(path) as address:
                found.connect(address)
        except OSError as error:
            found.close()
            raise NodeUnreachableError(
                f"the console {path} cannot be opened: {error.strerror}"
            ) from error
        return found

    def _drain(self) -> None:
        while True:
            try:
                chunk = self._socket.recv(65536)
            except OSError:
                chunk = b""
            if chunk and self.first_output is None:
                self.first_output = time.monotonic()
            self._chunks.put(chunk)
            if not chunk:
                return

    def read_nonblocking(self, size: int = 1, timeout: float | None = None) -> str:
        """Return what came, as pexpect asks for it; at most a piece that it looks at whole.

        *size* is no bound: pexpect asks for less than its window can hold.
        """
        if not self._held:
            self._held = self._next(timeout)
        piece, self._held = self._held[:_PIECE], self._held[_PIECE:]
        return piece

    def _next(self, timeout: float | None) -> str:
        """Return all that came since the last call; wait for it until *timeout*."""
        if self._ended:
            self.flag_eof = True
            raise EOF("the console is closed")
        try:
            data = self._chunks.get(timeout=max(0.0, timeout) if timeout is not None else None)
        except queue.Empty as error:
            raise TIMEOUT("nothing came on the console") from error
        while data and not self._chunks.empty() and len(data) < 1 << 20:
            more = self._chunks.get()
            if not more:
                self._ended = True
                break
            data += more
        if not data:
            self._ended = True
            self.flag_eof = True
            raise EOF("the console is closed")
        return self._text.decode(data)

    def send(self, text: str) -> None:
        """Send *text* as it is; NodeUnreachableError where the console is gone."""
        try:
            self._socket.sendall(text.encode())
        except OSError as error:
            raise NodeUnreachableError(
                f"the console {self.path} is closed: {error.strerror}"
            ) from error

    def sendline(self, text: str = "") -> None:
        """Send *text* and a line end."""
        self.send(text + "\n")

    def close(self) -> None:
        """Leave the console to the next client."""
        if not self.closed:
            self.closed = True
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()
            self._reader.join(timeout=5)
            if self._on_close is not None:
                self._on_close()
