"""Waiting for processes and files: conditions with a generous limit, no fixed sleeps."""

from __future__ import annotations

import os
import time
from pathlib import Path

#: A generous limit: the machine may be busy with something else.
SECONDS = 60.0


def wait_for(path: Path, count: int = 1) -> list[int]:
    """Wait until *count* process ids stand in *path*, one a line, and return them."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        if path.exists():
            text = path.read_text()
            if text.endswith("\n") and len(text.split()) >= count:
                return [int(word) for word in text.split()]
        time.sleep(0.01)
    raise AssertionError(f"{path} did not get {count} lines")


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def wait_until_gone(*pids: int, seconds: float = SECONDS) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not any(alive(pid) for pid in pids):
            return
        time.sleep(0.01)
    raise AssertionError(f"still there: {[pid for pid in pids if alive(pid)]}")


def wait_until_absent(*paths: Path) -> None:
    end = time.monotonic() + SECONDS
    while any(os.path.lexists(path) for path in paths):
        assert time.monotonic() < end, f"still there: {paths}"
        time.sleep(0.01)
