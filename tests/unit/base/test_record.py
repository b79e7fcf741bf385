"""The record is complete at each step, for a run may end at each step."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

import pytest

from yoctovirt.base.record import RunRecord, exit_code_of
from yoctovirt.errors import (
    BootError,
    BuildError,
    ChecksFailedError,
    InfrastructureError,
    InterruptedRunError,
    UsageError,
)


def read(record: RunRecord) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((record.path / "run.json").read_text())
    return data


def new(tmp_path: Path, name: str = "reference") -> RunRecord:
    return RunRecord(tmp_path / "runs", name, f"yoctovirt ci {name}", name)


def test_the_record_is_there_from_the_first_moment(tmp_path: Path) -> None:
    record = new(tmp_path)
    data = read(record)
    assert data["schema"] == 1
    assert data["id"] == record.path.name
    assert record.path.name.endswith("-reference")
    assert (data["result"], data["exit_code"], data["finished"]) == ("running", None, None)
    assert data["command"] == "yoctovirt ci reference"
    assert data["role"] == "reference"
    assert data["host"]["memory_mib"] > 0
    assert datetime.fromisoformat(data["started"]).tzinfo is not None


def test_each_step_of_a_phase_is_on_disk_when_it_is_taken(tmp_path: Path) -> None:
    record = new(tmp_path)
    with record.phase("build") as details:
        (phase,) = read(record)["phases"]
        assert (phase["name"], phase["status"], phase["seconds"]) == ("build", "running", None)
        details["builder"] = "debian"
    (phase,) = read(record)["phases"]
    assert phase["status"] == "ok"
    assert phase["seconds"] >= 0
    assert phase["details"] == {"builder": "debian"}
    assert record.finish() == 0
    data = read(record)
    assert (data["result"], data["exit_code"], data["error"]) == ("passed", 0, None)
    assert data["seconds"] >= phase["seconds"]
    assert datetime.fromisoformat(data["finished"]) >= datetime.fromisoformat(data["started"])


@pytest.mark.parametrize(
    ("error", "status", "result", "code"),
    [
        (ChecksFailedError("1 of 3"), "failed", "failed", 1),
        (UsageError("no check ran", "look"), "error", "error", 2),
        (InfrastructureError("disk full"), "error", "error", 3),
        (BuildError("no package"), "error", "error", 4),
        (BootError("no login"), "error", "error", 5),
        (InterruptedRunError("Ctrl-C"), "interrupted", "interrupted", 130),
        (KeyboardInterrupt(), "interrupted", "interrupted", 130),
        (ZeroDivisionError("a bug"), "error", "error", 70),
        (SystemExit(0), "error", "error", 70),
    ],
)
def test_an_error_ends_the_phase_and_the_run(
    tmp_path: Path, error: BaseException, status: str, result: str, code: int
) -> None:
    record = new(tmp_path)
    with pytest.raises(type(error)), record.phase("boot"):
        raise error
    assert read(record)["phases"][0]["status"] == status
    assert record.finish(error) == code == exit_code_of(error)
    data = read(record)
    assert (data["result"], data["exit_code"]) == (result, code)
    assert data["error"] == {
        "class": type(error).__name__,
        "message": str(error),
        "hint": getattr(error, "hint", ""),
    }


def test_a_phase_that_was_not_reached(tmp_path: Path) -> None:
    record = new(tmp_path)
    record.not_run("smoke", "boot failed")
    record.save()
    assert read(record)["phases"] == [
        {
            "name": "smoke",
            "status": "not run",
            "seconds": None,
            "details": {"reason": "boot failed"},
        }
    ]


def test_two_runs_in_one_second_have_a_folder_each(tmp_path: Path) -> None:
    paths = [new(tmp_path).path for _ in range(5)]
    assert len(set(paths)) == 5
    assert all((path / "run.json").is_file() for path in paths)
    assert sorted(paths) == sorted((tmp_path / "runs").iterdir())
    assert {read_id(path) for path in paths} == {path.name for path in paths}


def read_id(path: Path) -> str:
    return str(json.loads((path / "run.json").read_text())["id"])


KILLED = """
import os, signal, sys
from pathlib import Path
from yoctovirt.base.record import RunRecord
record = RunRecord(Path(sys.argv[1]), "reference", "yoctovirt ci reference", "reference")
with record.phase("build") as details:
    details["builder"] = "debian"
with record.phase("boot"):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_record_of_a_run_that_was_killed_is_whole_up_to_there(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "runs")])
    assert done.returncode == -9
    (folder,) = (tmp_path / "runs").iterdir()
    assert [path.name for path in folder.iterdir()] == ["run.json"]
    data = json.loads((folder / "run.json").read_text())
    assert data["result"] == "running"
    assert [(phase["name"], phase["status"]) for phase in data["phases"]] == [
        ("build", "ok"),
        ("boot", "running"),
    ]


def test_commands_are_noted_in_the_record(tmp_path: Path) -> None:
    record = new(tmp_path)
    shown: list[str] = []
    record.commands(shown.append).note(["mke2fs", "a b"], show=True)
    assert shown == ["mke2fs 'a b'"]
    assert (record.path / "commands.log").read_text().endswith(" mke2fs 'a b'\n")


def test_a_folder_that_cannot_be_made_is_an_error_of_the_host(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(InfrastructureError, match="runs"):
        new(tmp_path)


def test_a_clock_that_jumps_changes_no_duration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten years back in a phase: the times of day follow the clock, the durations do not."""

    class Jumping(datetime):
        year_now = 2026

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Jumping:
            return cls(cls.year_now, 11, 21, 12, tzinfo=tz)

    monkeypatch.setattr("yoctovirt.base.record.datetime", Jumping)
    record = new(tmp_path)
    with record.phase("build"):
        Jumping.year_now = 2016
        time.sleep(0.05)
    record.finish()
    data = read(record)
    assert data["started"] > data["finished"], "the clock was set back"
    assert 0.05 <= data["phases"][0]["seconds"] <= data["seconds"] < 60
