"""What the user sees while work goes on: timed steps on standard error."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO


class Screen:
    """Plain lines, fit for a terminal and for a CI log; no control codes in a log.

    On a terminal the running step shows its age; elsewhere a line comes once a minute,
    so that a CI service that ends silent jobs sees work.
    """

    def __init__(self, stream: TextIO | None = None, quiet: bool = False) -> None:
        self._stream = stream or sys.stderr
        self._quiet = quiet
        self._live = not quiet and self._stream.isatty()
        self._lock = threading.Lock()
        self._status = ""

    def line(self, text: str = "") -> None:
        """Print a line."""
        if self._quiet:
            return
        with self._lock:
            self._clear()
            self._stream.write(text + "\n")
            self._stream.flush()

    def command(self, text: str) -> None:
        """Print an external command in the form that a person can paste."""
        self.line(f"    $ {text}")

    def note(self, text: str) -> None:
        """Print a remark below the running step."""
        self.line(f"    {text}")

    def status(self, text: str) -> None:
        """Say what the running step is doing now (shown where the screen is live)."""
        self._status = text

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Print *title*, show its age while it runs, and its time when it ends."""
        self.line(f"==> {title}")
        start = time.monotonic()
        over = threading.Event()
        self._status = ""
        ticker = threading.Thread(target=self._tick, args=(title, start, over), daemon=True)
        ticker.start()
        outcome = "failed"
        try:
            yield
            outcome = "done"
        except KeyboardInterrupt:
            outcome = "interrupted"
            raise
        finally:
            over.set()
            ticker.join()
            self.line(f"    {outcome} ({time.monotonic() - start:.1f} s)")

    def _columns(self) -> int:
        try:
            return os.get_terminal_size(self._stream.fileno()).columns or 80
        except OSError:
            return 80

    def _clear(self) -> None:
        if self._live:
            self._stream.write("\r\x1b[K")

    def _tick(self, title: str, start: float, over: threading.Event) -> None:
        period = 0.5 if self._live else 60.0
        while not over.wait(period):
            age = time.monotonic() - start
            text = f"    {title}: {age:.0f} s  {self._status}"
            if self._live:
                with self._lock:
                    self._stream.write("\r\x1b[K" + text[: self._columns() - 1])
                    self._stream.flush()
            else:
                self.line(text.rstrip())
