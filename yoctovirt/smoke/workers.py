"""Workers of pytest-xdist: an interrupt reaches them, and they get to clean their nodes up.

Each worker has a file with its process in the run record for as long as it may have something
to clean up. Left alone, xdist would kill its workers 10 s after an interrupt.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

from yoctovirt.base.deadline import Deadline

#: Seconds for the clean-up after an interrupt, before the accelerator's factor.
GRACE = 15.0
_MARK = ".worker-"


class Workers:
    """In the process that is no worker."""

    def __init__(self, results: Path, scale: float) -> None:
        self._results = results
        self._seconds = GRACE * scale

    def pytest_keyboard_interrupt(self) -> None:
        """Pass the interrupt on, and wait until all workers have cleaned up."""
        for mark in self._marks():
            with suppress(ProcessLookupError, ValueError):
                os.kill(int(mark.name.removeprefix(_MARK)), signal.SIGINT)
        deadline = Deadline(self._seconds)
        while not deadline.expired and self._marks():
            time.sleep(0.1)

    def pytest_unconfigure(self) -> None:
        """Remove what a worker that was killed has left."""
        for mark in self._marks():
            mark.unlink(missing_ok=True)

    def _marks(self) -> list[Path]:
        return list(self._results.glob(f"{_MARK}*"))


class Worker:
    """In a worker."""

    def __init__(self, results: Path) -> None:
        self._mark = results / f"{_MARK}{os.getpid()}"
        self._mark.touch()

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """Say that the clean-up is over: fixtures end in hooks before this one."""
        self._mark.unlink(missing_ok=True)
