"""What the user sees while work goes on: timed steps on standard error."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from rich.live import Live

#: Seconds between two pictures on a terminal.
LIVE_PERIOD = 0.5
#: In a log: up to this age of a step (seconds) a line comes after so many seconds.
LOG_PERIODS = ((600.0, 60.0), (3600.0, 120.0), (float("inf"), 300.0))


class Groups(Protocol):
    """Who wants to know which lines of a log belong together (a CI service)."""

    def begin(self, title: str) -> None:
        """Begin a group."""

    def end(self) -> None:
        """End the group that was begun last."""


class Screen:
    """Plain lines, fit for a terminal and for a CI log; no control codes in a log.

    On a terminal the running step shows its age and what it does; elsewhere a line comes
    once a minute, later every five, so that a CI service that ends silent jobs sees work. A
    terminal that can do nothing (``TERM=dumb``) gets what a log gets.
    """

    def __init__(
        self, stream: TextIO | None = None, quiet: bool = False, groups: Groups | None = None
    ) -> None:
        self._stream = stream or sys.stderr
        self._groups = groups
        self._quiet = quiet
        able = os.environ.get("TERM", "dumb") not in ("", "dumb", "unknown")
        #: Whether the running step is shown in pictures; if not, news are worth a line.
        self.live = not quiet and able and self._stream.isatty()
        self._lock = threading.Lock()
        self._status = ""
        self._more: tuple[str, ...] = ()
        self._display: Live | None = None

    def line(self, text: str = "") -> None:
        """Print a line."""
        if self._quiet:
            return
        with self._lock:
            if self._display is not None:
                self._fit(self._display)
                self._display.console.print(
                    text, soft_wrap=True, markup=False, highlight=False, emoji=False
                )
            else:
                self._stream.write(text + "\n")
            self._stream.flush()

    def command(self, text: str) -> None:
        """Print an external command in the form that a person can paste."""
        self.line(f"    $ {text}")

    def note(self, text: str) -> None:
        """Print a remark below the running step."""
        self.line(f"    {text}")

    def status(self, text: str, more: Sequence[str] = ()) -> None:
        """Say what the running step is doing now; *more* are lines for a live screen only."""
        self._status, self._more = text, tuple(more)

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Print *title*, show its age while it runs, and its time when it ends."""
        if self._groups is not None:
            self._groups.begin(title)
        self.line(f"==> {title}")
        start = time.monotonic()
        over = threading.Event()
        self.status("")
        tick = self._draw if self.live else self._log
        ticker = threading.Thread(target=tick, args=(title, start, over), daemon=True)
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
            if self._groups is not None:
                self._groups.end()

    def _text(self, title: str, start: float) -> str:
        return f"    {title}: {human_seconds(time.monotonic() - start)}  {self._status}".rstrip()

    def _log(self, title: str, start: float, over: threading.Event) -> None:
        while not over.wait(next(p for age, p in LOG_PERIODS if time.monotonic() - start < age)):
            self.line(self._text(title, start))

    def _draw(self, title: str, start: float, over: threading.Event) -> None:
        # 50 ms, which a log need not pay for.
        from rich.console import Console, Group
        from rich.live import Live
        from rich.text import Text

        class Visible(Console):
            """A console whose cursor stays: nobody would bring it back after a kill -9."""

            def show_cursor(self, show: bool = True) -> bool:
                return False

        console = Visible(file=self._stream)
        display = Live(console=console, auto_refresh=False, transient=True,
                       redirect_stdout=False, redirect_stderr=False)  # fmt: skip
        with self._lock:
            self._fit(display)
            display.start()
            self._display = display
        try:
            while not over.wait(LIVE_PERIOD):
                lines = (self._text(title, start), *self._more)
                with self._lock:
                    height = self._fit(display)
                    cut = lines[: max(1, height - 2)]
                    texts = [Text(line, no_wrap=True, overflow="ellipsis") for line in cut]
                    display.update(Group(*texts), refresh=True)
        finally:
            with self._lock:
                self._display = None
                display.stop()

    def _fit(self, display: Live) -> int:
        """Let *display* know how large the terminal is now; return its height."""
        try:
            columns, lines = os.get_terminal_size(self._stream.fileno())
        except OSError:
            columns = lines = 0
        # One column less: a full line makes some terminals wrap.
        display.console.size = (max(10, (columns or 80) - 1), lines or 24)
        return lines or 24


def human_seconds(seconds: float) -> str:
    """Return a time as a person reads it: ``48 s``, ``12 min 04 s``, ``3 h 07 min``."""
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return (
        f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"
    )
