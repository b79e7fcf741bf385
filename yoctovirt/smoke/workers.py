"""Workers of pytest-xdist: an interrupt reaches them, and they get to clean their nodes up."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from yoctovirt.base.deadline import Deadline

#: Seconds for the clean-up after an interrupt, before the accelerator's factor.
GRACE = 15.0


def _mark(results: Path, pid: int) -> Path:
    return results / f".worker-{pid}"


class Workers:
    """In the process that is no worker. Left alone, xdist kills its workers after 10 s."""

    def __init__(self, results: Path, scale: float) -> None:
        self._results = results
        self._seconds = GRACE * scale
        self._pids: list[int] = []

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodeready(self, node: Any) -> None:
        """Remember the process of a worker."""
        self._pids.append(int(node.workerinfo["pid"]))

    def pytest_keyboard_interrupt(self) -> None:
        """Pass the interrupt on, and wait until all workers have cleaned up."""
        for pid in self._pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGINT)
        deadline = Deadline(self._seconds)
        while not deadline.expired and not all(
            _mark(self._results, pid).exists() for pid in self._pids
        ):
            time.sleep(0.1)

    def pytest_unconfigure(self) -> None:
        """Remove the marks."""
        for pid in self._pids:
            _mark(self._results, pid).unlink(missing_ok=True)


class Worker:
    """In a worker."""

    def __init__(self, results: Path) -> None:
        self._results = results

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """Say that the clean-up is over."""
        _mark(self._results, os.getpid()).touch()
