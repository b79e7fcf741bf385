"""docs/run.schema.json: records fit it, and what is no record does not."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from tests import samples
from tests.runschema import run_problems
from yoctovirt.base.record import RunRecord


@pytest.mark.parametrize(
    "name", ["green", "red", "boot_failed", "interrupted", "built", "pair", "sbom", "killed"]
)
def test_records_fit(name: str, tmp_path: Path) -> None:
    run = json.loads((getattr(samples, f"{name}_run")(tmp_path) / "run.json").read_text())
    assert run_problems(run) == []


def test_a_record_fits_from_its_first_moment(tmp_path: Path) -> None:
    assert run_problems(RunRecord(tmp_path, "x", "yoctovirt ci x").data) == []


@pytest.mark.parametrize("change", [
    {"schema": 2}, {"exit_code": 6}, {"result": "good"}, {"started": "yesterday"}, {"more": 1},
    {"phases": [{"name": "boot", "status": "not run", "seconds": None, "details": {}}]},
    {"phases": [{"name": "boot", "status": "ok", "seconds": 1, "details": {}}]},
    {"checks": [{"id": "a::b"}]}, {"pins": {}}, {"error": {"class": "BuildError"}},
    {"retries": [{"phase": "build"}]}, {"until": "smoke"},
])  # fmt: skip
def test_what_is_no_record_does_not_fit(tmp_path: Path, change: dict[str, Any]) -> None:
    run = copy.deepcopy(RunRecord(tmp_path, "x", "yoctovirt ci x").data)
    assert run_problems(run | change)


def test_each_key_is_needed(tmp_path: Path) -> None:
    run = RunRecord(tmp_path, "x", "yoctovirt ci x").data
    for key in run:
        assert run_problems({name: run[name] for name in run if name != key}), key
