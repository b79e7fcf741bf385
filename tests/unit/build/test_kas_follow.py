"""What bitbake says of its progress, and how it is found and stopped."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.processes import SECONDS, wait_for, wait_until_gone
from yoctovirt.base.process import Guarded
from yoctovirt.base.screen import Screen
from yoctovirt.build.kas.follow import build_figures, children_of, follow, interrupt_bitbake

SUMMARY = (
    "Sstate summary: Wanted 53 Local 51 Mirrors 1 Missed 1 Current 7 (96% match, 97% complete)"
)
TASKS = "NOTE: Tasks Summary: Attempted 127 tasks of which 114 didn't need to be rerun and "


@pytest.mark.parametrize(
    "before",
    ["", "Initialising tasks...", "2026-11-20 23:58:01 - INFO     - ",
     "2026-11-20 23:58:01 - INFO     - Initialising tasks...done.\n"],
)  # fmt: skip
@pytest.mark.parametrize("end", ["all succeeded.", "1 failed."])
def test_the_figures_stand_anywhere_in_a_line(before: str, end: str) -> None:
    assert build_figures(f"x\n{before}{SUMMARY}\nNOTE: y\n{before}{TASKS}{end}\n") == {
        "sstate_wanted": 53, "sstate_local": 51, "sstate_mirrors": 1, "sstate_missed": 1,
        "sstate_current": 7, "tasks": 127, "tasks_not_rerun": 114,
    }  # fmt: skip


def test_the_last_summary_counts() -> None:
    first = SUMMARY.replace("53", "1")
    assert build_figures(f"{first}\n{SUMMARY}\n")["sstate_wanted"] == 53


@pytest.mark.parametrize("output", ["", "ERROR: Nothing PROVIDES 'x'\n", "Sstate summary: none"])
def test_an_output_without_figures_gives_none(output: str) -> None:
    assert build_figures(output) == {}


# A stand-in for kas: it starts a bitbake below it and waits for it.
KAS = """
import subprocess, sys
sys.exit(subprocess.run([sys.argv[1] + "/bin/bitbake", *sys.argv[1:]]).returncode)
"""
BITBAKE = """#!{python}
import pathlib, signal, sys, time, os
base = pathlib.Path(sys.argv[1])
hits = []
signal.signal(signal.SIGINT, lambda *_: hits.append(1))
with (base / "pids").open("a") as out:
    out.write(f"{{os.getppid()}}\\n{{os.getpid()}}\\n")
print("NOTE: Running setscene task 12 of 53 (virtual:native:/x/zlib_1.3.bb:do_populate_sysroot)",
      flush=True)
end = time.monotonic() + 30
while not hits and time.monotonic() < end and sys.argv[2] == "wait":
    time.sleep(0.02)
print("ended", len(hits), flush=True)
sys.exit(3)
"""


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "bin").mkdir()
    for name in ("bitbake", "bitbake-server"):
        path = tmp_path / "bin" / name
        path.write_text(BITBAKE.format(python=sys.executable))
        path.chmod(0o755)
    return tmp_path


def start(base: Path, what: str) -> tuple[Guarded, Path]:
    log = base / "log"
    with log.open("wb") as output:
        job = Guarded([sys.executable, "-c", KAS, str(base), what], output=output, grace=1.0)
    return job, log


class Watched(Screen):
    """A screen that keeps what it was told, and presses Ctrl-C once."""

    def __init__(self, interrupt_at: str = "") -> None:
        super().__init__(quiet=True)
        self.said: list[str] = []
        self._at = interrupt_at

    def status(self, text: str, more: Sequence[str] = ()) -> None:
        self.said.append(text)
        if self._at and self._at in text:
            self._at = ""
            signal.raise_signal(signal.SIGINT)

    def note(self, text: str) -> None:
        self.said.append(text)


def test_the_status_of_kas_comes_through_and_progress_is_shown(base: Path) -> None:
    job, log = start(base, "end")
    screen = Watched()
    assert follow(job, log, 0, screen) == 3
    assert "ended 0" in log.read_text()
    wait_until_gone(*wait_for(base / "pids", 2))


def test_an_interrupt_reaches_bitbake_alone_and_ends_as_one(base: Path) -> None:
    job, log = start(base, "wait")
    screen = Watched("setscene task 12 of 53: zlib_1.3 do_populate_sysroot")
    with pytest.raises(KeyboardInterrupt):
        follow(job, log, 0, screen)
    assert "ended 1" in log.read_text()
    assert any("Ctrl-C again" in text for text in screen.said)
    wait_until_gone(*wait_for(base / "pids", 2))


def test_without_a_bitbake_an_interrupt_stops_kas_at_once(base: Path) -> None:
    log = base / "log"
    with log.open("wb") as output:
        script = "import time; print('Cloning', flush=True); time.sleep(60)"
        job = Guarded([sys.executable, "-c", script], output=output, grace=0.2)
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        follow(job, log, 0, Watched("Cloning"))
    assert time.monotonic() - start < SECONDS / 2
    assert job.poll() is not None


def test_the_server_of_bitbake_is_left_alone(base: Path) -> None:
    log = base / "log"
    with log.open("wb") as output:
        job = Guarded([str(base / "bin" / "bitbake-server"), str(base), "wait"],
                      output=output, grace=0.2)  # fmt: skip
    wait_for(base / "pids", 2)
    assert not interrupt_bitbake(job.pid)
    (line,) = children_of(job.pid).values()
    assert "bitbake-server" in line
    job.stop()
