"""Which restarts of a node count, and what is said of them."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from yoctovirt.boot.restarts import Restarts, Since
from yoctovirt.boot.results import NodeRestartedError


@pytest.fixture
def restarts(tmp_path: Path) -> Restarts:
    return Restarts("node", tmp_path, tmp_path / "events.jsonl")


def reset(folder: Path, **more: object) -> None:
    entry = {"time": 0, "event": "RESET", "data": {"reason": "guest-reset"}, **more}
    with (folder / "events.jsonl").open("a") as out:
        out.write(json.dumps(entry) + "\n")


def test_a_reset_that_qemu_told_of(restarts: Restarts, tmp_path: Path) -> None:
    reset(tmp_path)  # before anybody watched
    restarts.watch()
    restarts.check("it is well")
    reset(tmp_path)
    with pytest.raises(NodeRestartedError, match=r"a reset \(guest-reset\) at .* while x ran"):
        restarts.check("x ran")


def test_nothing_counts_where_nobody_watches(restarts: Restarts, tmp_path: Path) -> None:
    reset(tmp_path)
    restarts.met("another")
    restarts.check("")
    restarts.watch(Since("one"))
    restarts.forget()
    reset(tmp_path)
    restarts.met("another")
    restarts.check("")


def test_what_was_announced_does_not_count(restarts: Restarts, tmp_path: Path) -> None:
    restarts.watch(Since("one"))
    with restarts.announced():
        assert restarts.expected()
        before = restarts.now()
        assert not restarts.restarting(before)
        reset(tmp_path, expected=True)
        assert restarts.restarting(before)
        restarts.met("two")
    assert not restarts.expected()
    restarts.check("")


def test_whoever_was_killed_expects_nothing(restarts: Restarts, tmp_path: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    with restarts.announced():
        (marker,) = tmp_path.iterdir()
        marker.write_text(str(gone.pid))
        assert not restarts.expected()
        marker.write_text(str(os.getpid()))
        assert restarts.expected()
    marker.write_text("")
    assert not restarts.expected()


def test_another_process_announced_it(restarts: Restarts, tmp_path: Path) -> None:
    restarts.watch(Since("one"))
    Restarts("node", tmp_path, tmp_path / "events.jsonl").announce("two")
    restarts.met("two")
    with pytest.raises(NodeRestartedError, match="its boot id was two and is three"):
        restarts.met("three")


def test_another_boot_is_never_forgiven(restarts: Restarts) -> None:
    """Whoever goes on afterwards meets the same error."""
    restarts.watch(Since("one"))
    restarts.met("one")
    for _ in range(2):
        with pytest.raises(NodeRestartedError, match="its boot id was one and is two"):
            restarts.met("two")
    with pytest.raises(NodeRestartedError, match="its boot id was one and is two"):
        restarts.check("")


def test_the_first_boot_that_is_met(restarts: Restarts) -> None:
    restarts.watch()
    restarts.met("")
    restarts.met("one")
    with pytest.raises(NodeRestartedError):
        restarts.met("two")


def test_a_line_that_is_being_written(restarts: Restarts, tmp_path: Path) -> None:
    restarts.watch()
    log = tmp_path / "events.jsonl"
    log.write_text('{"time": 0, "event": "RE')
    restarts.check("")
    log.write_text('{"time": 0, "event": "RESET"}\n')
    with pytest.raises(NodeRestartedError, match="no reason given"):
        restarts.check("")
