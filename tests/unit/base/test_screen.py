"""What a log gets and what a terminal gets; the terminal is a real one (a pty, and an emulator)."""

from __future__ import annotations

import fcntl
import io
import os
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from typing import TextIO

import pyte
import pytest

from yoctovirt.base import screen as module
from yoctovirt.base.screen import Screen, human_seconds

COLUMNS, LINES = 60, 12


class Terminal:
    """The two ends of a pty, and what a person would see on it."""

    def __init__(self) -> None:
        self.master, slave = os.openpty()
        self.stream: TextIO = os.fdopen(slave, "w")
        self.raw = ""
        self._screen = pyte.Screen(COLUMNS, LINES)
        self._feed = pyte.Stream(self._screen)
        self.resize(COLUMNS)

    def resize(self, columns: int) -> None:
        size = struct.pack("HHHH", LINES, columns, 0, 0)
        fcntl.ioctl(self.stream.fileno(), termios.TIOCSWINSZ, size)
        self._screen.resize(LINES, columns)

    def look(self) -> list[str]:
        """Return the lines that are seen now."""
        while select.select([self.master], [], [], 0)[0]:
            text = os.read(self.master, 65536).decode()
            self.raw += text
            self._feed.feed(text)
        return [line.rstrip() for line in self._screen.display if line.strip()]

    def until(self, wanted: Callable[[list[str]], bool], seconds: float = 60.0) -> list[str]:
        end = time.monotonic() + seconds
        while not wanted(lines := self.look()):
            assert time.monotonic() < end, lines
            time.sleep(0.02)
        return lines

    def until_seen(self, text: str) -> list[str]:
        return self.until(lambda lines: any(text in line for line in lines))


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr(module, "LIVE_PERIOD", 0.05)
    made = Terminal()
    yield made
    made.stream.close()
    os.close(made.master)


def test_a_log_gets_plain_lines() -> None:
    out = io.StringIO()
    screen = Screen(out)
    with screen.step("build reference"):
        screen.status("unpacking", ["a line for a terminal"])
        screen.command("mke2fs image")
        screen.note("taken from the cache")
    text = out.getvalue()
    assert "\x1b" not in text
    assert "\r" not in text
    lines = text.splitlines()
    assert lines[:3] == ["==> build reference", "    $ mke2fs image", "    taken from the cache"]
    assert lines[3].startswith("    done (")
    assert len(lines) == 4


def test_a_log_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOG_PERIODS", ((0.3, 0.05), (float("inf"), 60.0)))
    out = io.StringIO()
    screen = Screen(out)
    with screen.step("build"):
        screen.status("tasks 3 of 9", ["a line for a terminal"])
        time.sleep(1)
    lines = out.getvalue().splitlines()[1:-1]
    assert 1 <= len(lines) <= 7, "often at first, seldom later"
    assert set(lines) <= {f"    build: {age} s  tasks 3 of 9" for age in (0, 1)}


@pytest.mark.parametrize("term", ["dumb", "unknown", "", None])
def test_a_terminal_that_can_do_nothing_gets_what_a_log_gets(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, term: str | None
) -> None:
    if term is None:
        monkeypatch.delenv("TERM")
    else:
        monkeypatch.setenv("TERM", term)
    screen = Screen(terminal.stream)
    assert not screen.live
    with screen.step("boot"):
        screen.status("waiting", ["more"])
        time.sleep(0.2)
    terminal.until_seen("done (")
    assert "\x1b" not in terminal.raw
    assert "waiting" not in terminal.raw


def test_no_color_is_heard(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    screen = Screen(terminal.stream)
    with screen.step("build"):
        screen.status("tasks 1 of 2")
        terminal.until_seen("tasks 1 of 2")
    terminal.until_seen("done (")
    assert "\x1b[3" not in terminal.raw, "no colour"
    assert "\x1b[1" not in terminal.raw.replace("\x1b[1A", "")


def test_a_step_that_fails_says_so_and_passes_the_error_on() -> None:
    out = io.StringIO()
    with pytest.raises(ValueError, match="broken"), Screen(out).step("boot"):
        raise ValueError("broken")
    assert "    failed (" in out.getvalue()
    assert "done" not in out.getvalue()


def test_a_step_that_is_interrupted_says_so(terminal: Terminal) -> None:
    for stream in (io.StringIO(), terminal.stream):
        with pytest.raises(KeyboardInterrupt), Screen(stream).step("boot"):
            raise KeyboardInterrupt
    lines = terminal.until_seen("interrupted (")
    assert lines[0] == "==> boot"
    assert len(lines) == 2


def test_quiet_prints_nothing(terminal: Terminal) -> None:
    for stream in (io.StringIO(), terminal.stream):
        screen = Screen(stream, quiet=True)
        with screen.step("boot"):
            screen.note("x")
    print("end", file=terminal.stream, flush=True)
    assert terminal.until_seen("end") == ["end"]


def test_a_terminal_shows_the_age_of_the_step_and_what_it_does(terminal: Terminal) -> None:
    screen = Screen(terminal.stream)
    with screen.step("boot node"):
        screen.status("waiting for login", ["    first", "    second"])
        assert terminal.until_seen("second") == [
            "==> boot node", "    boot node: 0 s  waiting for login", "    first", "    second",
        ]  # fmt: skip
        screen.line("a line between")
        lines = terminal.until_seen("a line between")
        assert lines[:2] == ["==> boot node", "a line between"]
        screen.status("logged in")
        lines = terminal.until_seen("logged in")
        assert "    first" not in lines, "fewer lines leave nothing behind"
    lines = terminal.until_seen("done (")
    assert lines[:2] == ["==> boot node", "a line between"]
    assert len(lines) == 3, "nothing is left of what was live"


def test_a_second_step_starts_anew(terminal: Terminal) -> None:
    screen = Screen(terminal.stream)
    for name in ("build", "boot"):
        with screen.step(name):
            screen.status(f"status of {name}")
            terminal.until_seen(f"status of {name}")
    lines = terminal.until(lambda seen: sum("done (" in line for line in seen) == 2)
    assert [line.split(" (")[0].strip() for line in lines] == [
        "==> build", "done", "==> boot", "done",
    ]  # fmt: skip


def test_long_lines_are_cut_and_follow_the_size_of_the_terminal(terminal: Terminal) -> None:
    # A line that wraps cannot be wiped: every picture would leave a piece of it.
    screen = Screen(terminal.stream)
    with screen.step("boot node"):
        screen.status("a very long status " * 10, ["x" * 500])
        lines = terminal.until_seen("xxx")
        assert len(lines) == 3
        assert len(lines[1]) == COLUMNS - 1
        assert lines[1].endswith("…")
        terminal.resize(30)
        terminal.until(lambda seen: len(seen[1]) == 29)
        terminal.resize(100)
        terminal.until(lambda seen: any(len(line) == 99 for line in seen))
    terminal.until_seen("done (")


def test_a_low_terminal_gets_the_first_lines(terminal: Terminal) -> None:
    screen = Screen(terminal.stream)
    with screen.step("build"):
        screen.status("tasks", [f"    task {number}" for number in range(50)])
        lines = terminal.until_seen("task 1")
        assert lines[0] == "==> build", "it does not scroll away"
        assert len(lines) == LINES - 1
    assert len(terminal.until_seen("done (")) == 2


def test_a_command_is_not_torn_apart(terminal: Terminal) -> None:
    screen = Screen(terminal.stream)
    word = "abcdefghij" * 20
    with screen.step("build"):
        screen.status("x")
        terminal.until_seen("  x")
        screen.command(word)
        terminal.until_seen("abc")
    terminal.until_seen("done (")
    assert f"$ {word}" in terminal.raw, "no line break of ours: it can be copied"


def test_markup_and_names_are_text(terminal: Terminal) -> None:
    screen = Screen(terminal.stream)
    with screen.step("build"):
        screen.line("[red]a[/] :smile: {x} http://x")
        screen.status("[bold]b[/bold]")
        terminal.until_seen("[bold]b[/bold]")
    assert "[red]a[/] :smile: {x} http://x" in terminal.until_seen("done (")


def test_the_cursor_is_never_hidden(terminal: Terminal) -> None:
    """After a kill -9 nobody would bring it back."""
    script = (
        "import sys, time; from yoctovirt.base.screen import Screen\n"
        "screen = Screen()\n"
        "with screen.step('build'):\n    screen.status('at work')\n    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stderr=terminal.stream) as job:
        terminal.until_seen("at work")
        job.send_signal(signal.SIGKILL)
    terminal.look()
    assert "\x1b[?25l" not in terminal.raw


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.6, "60 s"), (99.4, "99 s"), (100, "1 min 40 s"), (3599, "59 min 59 s"),
     (3600, "1 h 00 min"), (11_220, "3 h 07 min")],
)  # fmt: skip
def test_times_are_read_by_people(seconds: float, text: str) -> None:
    assert human_seconds(seconds) == text
