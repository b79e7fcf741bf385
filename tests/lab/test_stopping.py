"""Whatever ends the one who started the lab, nothing of it is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import PATIENCE, wait_for
from tests.lab.lab import HOST_CARD, cache_folder, cgroup_mount

pytestmark = pytest.mark.timeout(3600)


def left() -> list[str]:
    """Return what of a lab is on this machine: processes, network card, mounts, folders."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            groups = (entry / "cgroup").read_text()
        except OSError:
            continue
        if "tests/lab/inside.py" in line or "yoctovirt-lab-" in groups:
            found.append(f"process {entry.name} {line[:80]}")
    if Path("/sys/class/net", HOST_CARD).exists():
        found.append(f"network card {HOST_CARD}")
    found += [
        line for line in Path("/proc/mounts").read_text().splitlines() if "yoctovirt-lab-" in line
    ]
    found += map(str, cgroup_mount().glob("yoctovirt-lab-*"))
    found += map(str, cache_folder().glob("yoctovirt-lab-*"))
    found += map(str, cache_folder().glob(".tmp-*"))
    return found


@pytest.fixture
def started(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Start the lab with one node, as a program of its own."""
    assert left() == []
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.lab", str(tmp_path), "controller"],
        stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert "controller: up after" in line
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        # The fixture's end is the proof: whatever ended the program, all of the lab goes.
        wait_for(lambda: left() == [], 15, "nothing of the lab is left")


@pytest.mark.parametrize("word", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left(started: subprocess.Popen[str], word: signal.Signals) -> None:
    assert any(line.startswith("process") for line in left())
    assert f"network card {HOST_CARD}" in left()
    started.send_signal(word)
    status = started.wait(60 * PATIENCE)
    assert status == (-signal.SIGKILL if word == signal.SIGKILL else 130)


def test_one_at_a_time(started: subprocess.Popen[str], tmp_path: Path) -> None:
    second = subprocess.run(
        [sys.executable, "-m", "tests.lab", str(tmp_path / "second"), "controller"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert second.returncode == 3
    assert "the lab is in use" in second.stderr
    assert "Traceback" not in second.stderr
