"""What it costs to follow a build of 11 000 tasks: processor time and memory.

The event log is generated, as large as that of the OpenStack controller, with bitbake's own
classes where its ``lib`` is named on the command line. First half of it comes at once, then a
window at the rate of a build that takes an hour on 16 threads, drawn on a terminal; then the
rest. Goals: below 2 % of one core in the window, below 150 MB in both processes together.
"""

from __future__ import annotations

import os
import pty
import resource
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

from yoctovirt.base.process import CommandLog
from yoctovirt.base.screen import Screen
from yoctovirt.build.kas.user import BuildUser
from yoctovirt.build.kas.watch import Watch

TASKS = 11_000
RATE = TASKS / 3600  #: tasks a second
WINDOW = 60.0  #: seconds
TICK = 0.3  #: as follow() does it
GENERATOR = Path(__file__).resolve().parents[1] / "tests" / "eventlog.py"


class Generator:
    """The process that writes the log."""

    def __init__(self, log: Path, lib: list[str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(GENERATOR), str(log), str(TASKS), *lib],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
        )  # fmt: skip
        self._answer()

    def _answer(self) -> None:
        assert self._process.stdout is not None
        assert self._process.stdout.readline(), "the generator has ended"

    def write(self, tasks: int) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{tasks}\n")
        self._answer()

    def close(self) -> None:
        self._process.communicate()


def reader_cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def reader_peak(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def catch_up(watch: Watch, completed: int) -> None:
    while watch.trace.stats.completed < completed:
        watch.tick()
        time.sleep(TICK)


def drain(master: int) -> None:
    """Be the terminal: read what is drawn, and forget it."""
    with suppress(OSError):  # the other end was closed
        while os.read(master, 1 << 16):
            pass


def main() -> None:
    os.environ["TERM"] = "xterm"
    master, slave = pty.openpty()
    threading.Thread(target=drain, args=(master,), daemon=True).start()
    screen = Screen(os.fdopen(slave, "w"))
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        log = base / "events"
        generator = Generator(log, sys.argv[1:2])
        user = BuildUser(None, os.getuid(), os.getgid(), Path.home())
        watch = Watch(log, base, user, CommandLog(), screen, base)
        watch.root = os.getpid()
        pid = watch.reader_pid
        try:
            with screen.step("build"):
                begun = time.monotonic()
                generator.write(TASKS // 2)
                catch_up(watch, TASKS // 2)
                before = time.process_time(), reader_cpu(pid)
                start = time.monotonic()
                written = 0
                while (age := time.monotonic() - start) < WINDOW:
                    due = int(age * RATE) - written
                    if due:
                        generator.write(due)
                        written += due
                    watch.tick()
                    time.sleep(TICK)
                ours = time.process_time() - before[0]
                theirs = reader_cpu(pid) - before[1]
                generator.write(TASKS)
                generator.close()
                catch_up(watch, TASKS)
            total = reader_cpu(pid)
            size, peak = log.stat().st_size, reader_peak(pid)
            watch.close()
            peaks = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, peak)
        finally:
            watch.stop()
        tasks = len(watch.trace.done)
    share = 100 * (ours + theirs) / age
    print(f"{tasks} tasks followed in {time.monotonic() - begun:.0f} s; log of {size >> 20} MiB")
    print(f"window of {age:.0f} s, {RATE:.1f} tasks a second: {share:.2f} % of one core "
          f"(ours {ours:.2f} s, reader {theirs:.2f} s)")  # fmt: skip
    print(f"reader, whole log: {total:.1f} s of processor time")
    print(f"memory at most: ours {peaks[0] >> 20} MiB, reader {peaks[1] >> 20} MiB, "
          f"together {sum(peaks) >> 20} MiB")  # fmt: skip
    good = share < 2 and sum(peaks) < 150_000_000
    print("goals (2 %, 150 MB):", "met" if good else "MISSED")


if __name__ == "__main__":
    main()
