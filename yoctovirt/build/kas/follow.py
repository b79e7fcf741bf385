"""Follow kas while it runs, and stop bitbake in its own way."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

from yoctovirt.base.process import Guarded
from yoctovirt.base.screen import Screen
from yoctovirt.build.kas.watch import Watch

#: Seconds that a bitbake that was told twice to stop has before it is killed.
STOP_SECONDS = 60.0


def children_of(root: int) -> dict[int, str]:
    """Return all processes below *root* with their command lines."""
    parents: dict[int, int] = {}
    lines: dict[int, str] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError):
            fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
            parents[int(entry.name)] = int(fields[1])
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ")
            lines[int(entry.name)] = line.decode(errors="replace")
    below: dict[int, str] = {}
    todo = [root]
    while todo:
        parent = todo.pop()
        for pid, its_parent in parents.items():
            if its_parent == parent and pid not in below:
                below[pid] = lines.get(pid, "")
                todo.append(pid)
    return below


def interrupt_bitbake(guard: int) -> bool:
    """Send SIGINT to bitbake's user interface below *guard*; return whether there is one.

    kas would send SIGTERM to its whole group and leave at the second Ctrl-C;
    bitbake itself lets running tasks finish at the first and ends them at the second.
    """
    import os

    found = False
    for pid, line in children_of(guard).items():
        if re.search(r"/bin/bitbake( |$)", line) and "bitbake-server" not in line:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGINT)
                found = True
    return found


def follow(job: Guarded, log: Path, start: int, screen: Screen, watch: Watch | None = None) -> int:
    """Wait for kas, showing what bitbake does; Ctrl-C once is graceful, twice is now.

    *watch* is told the lines of the output, and shows what bitbake's events say.
    Raises KeyboardInterrupt when all has ended after an interrupt.
    """
    try:
        with log.open("rb") as lines:
            lines.seek(start)
            return _follow(job, lines, screen, watch)
    except BaseException:
        job.stop()
        raise


def _follow(job: Guarded, lines: IO[bytes], screen: Screen, watch: Watch | None) -> int:
    output = _Output(lines, screen, watch)
    if watch is not None:
        watch.root = job.pid
    interrupted = 0
    while True:
        try:
            status = _wait(job, output, STOP_SECONDS if interrupted > 1 else None)
            break
        except KeyboardInterrupt:
            interrupted += 1
            if interrupted > 2 or not interrupt_bitbake(job.pid):
                raise
            screen.note(
                "bitbake lets the running tasks finish; Ctrl-C again stops them now"
                if interrupted == 1
                else "bitbake stops its tasks"
            )
        except subprocess.TimeoutExpired:
            screen.note("bitbake does not end; it is stopped")
            raise KeyboardInterrupt from None
    job.close()
    if interrupted:
        raise KeyboardInterrupt
    return status


def _wait(job: Guarded, output: _Output, limit: float | None) -> int:
    waited = 0.0
    while True:
        with suppress(subprocess.TimeoutExpired):
            status = job.wait(0.3)
            output.look()
            return status
        waited += 0.3
        output.look()
        if limit is not None and waited > limit:
            raise subprocess.TimeoutExpired("kas", limit)


class _Output:
    """The output of kas, handed on line by line."""

    def __init__(self, lines: IO[bytes], screen: Screen, watch: Watch | None) -> None:
        self._lines, self._screen, self._watch = lines, screen, watch
        self._rest = b""

    def look(self) -> None:
        """Take the whole lines that have come since the last look."""
        *whole, self._rest = (self._rest + self._lines.read()).split(b"\n")
        for line in whole:
            text = line.decode(errors="replace")
            if self._watch is not None:
                self._watch.line(text)
            else:
                _progress(text, self._screen.status)
        if self._watch is not None:
            self._watch.tick()


def _progress(line: str, show: Callable[[str], None]) -> None:
    match = re.search(
        r"Running (setscene )?task (\d+) of (\d+) \((?:[^()]*/)?([^:/()]+):(do_\w+)\)", line
    )
    if match:
        recipe = match[4].removesuffix(".bb")
        show(f"{match[1] or ''}task {match[2]} of {match[3]}: {recipe} {match[5]}")
    elif "Parsing" in line or "Initialising tasks" in line or "Cloning" in line:
        show(line.rpartition(" - ")[2].strip()[:80])


def build_figures(output: str) -> dict[str, int]:
    """Return what bitbake says of its work: sstate summary and number of tasks."""
    figures: dict[str, int] = {}
    for match in re.finditer(
        r"Sstate summary: Wanted (\d+) Local (\d+) Mirrors (\d+) Missed (\d+) Current (\d+)", output
    ):
        names = ("wanted", "local", "mirrors", "missed", "current")
        figures.update(
            {f"sstate_{name}": int(n) for name, n in zip(names, match.groups(), strict=True)}
        )
    for match in re.finditer(
        r"Tasks Summary: Attempted (\d+) tasks of which (\d+) didn't need to be rerun", output
    ):
        figures.update(tasks=int(match[1]), tasks_not_rerun=int(match[2]))
    return figures
