"""What a log gets and what a terminal gets; the terminal is a real one (a pty)."""

from __future__ import annotations

import fcntl
import io
import os
import select
import struct
import termios
import time
from collections.abc import Iterator
from typing import TextIO

import pytest

from yoctovirt.base.screen import Screen

COLUMNS = 60


class Terminal:
    """The two ends of a pty."""

    def __init__(self) -> None:
        self.master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
        self.stream: TextIO = os.fdopen(slave, "w")
        self.seen = ""

    def read_until(self, wanted: str, seconds: float = 60.0) -> str:
        end = time.monotonic() + seconds
        while wanted not in self.seen:
            assert time.monotonic() < end, f"{wanted!r} did not come: {self.seen!r}"
            if select.select([self.master], [], [], 1.0)[0]:
                self.seen += os.read(self.master, 65536).decode()
        return self.seen


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    made = Terminal()
    yield made
    made.stream.close()
    os.close(made.master)


def test_a_log_gets_plain_lines() -> None:
    out = io.StringIO()
    screen = Screen(out)
    with screen.step("build reference"):
        screen.status("unpacking")
        screen.command("mke2fs image")
        screen.note("taken from the cache")
    text = out.getvalue()
    assert "\x1b" not in text
    assert "\r" not in text
    lines = text.splitlines()
    assert lines[:3] == ["==> build reference", "    $ mke2fs image", "    taken from the cache"]
    assert lines[3].startswith("    done (")


def test_a_step_that_fails_says_so_and_passes_the_error_on() -> None:
    out = io.StringIO()
    with pytest.raises(ValueError, match="broken"), Screen(out).step("boot"):
        raise ValueError("broken")
    assert "    failed (" in out.getvalue()
    assert "done" not in out.getvalue()


def test_a_step_that_is_interrupted_says_so() -> None:
    out = io.StringIO()
    with pytest.raises(KeyboardInterrupt), Screen(out).step("boot"):
        raise KeyboardInterrupt
    assert "    interrupted (" in out.getvalue()


def test_quiet_prints_nothing(terminal: Terminal) -> None:
    for stream in (io.StringIO(), terminal.stream):
        screen = Screen(stream, quiet=True)
        with screen.step("boot"):
            screen.note("x")
    print("end", file=terminal.stream, flush=True)
    assert terminal.read_until("end") == "end\r\n"


def test_a_terminal_shows_the_age_of_the_step_and_what_it_does(terminal: Terminal) -> None:
    screen = Screen(terminal.stream)
    with screen.step("boot node"):
        screen.status("waiting for login")
        terminal.read_until("waiting for login")
        screen.line("a line between")
    text = terminal.read_until("done (")
    assert "boot node: " in text
    # The live line is wiped before another one is printed over it.
    before, _, _ = text.partition("a line between")
    assert before.endswith("\r\x1b[K")


def test_the_live_line_fits_the_terminal(terminal: Terminal) -> None:
    # A line that wraps cannot be wiped: every tick would leave a piece of it.
    screen = Screen(terminal.stream)
    with screen.step("boot node"):
        screen.status("a very long status " * 10)
        terminal.read_until("a very long")
    text = terminal.read_until("done (")
    live = [part for part in text.split("\r\x1b[K") if part.startswith("    boot node: ")]
    assert live
    assert max(len(part) for part in live) < COLUMNS
