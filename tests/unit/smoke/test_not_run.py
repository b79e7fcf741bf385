"""A check that its node cannot be put to: neither passed nor failed, and never all there was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from yoctovirt.errors import ChecksFailedError, UsageError
from yoctovirt.smoke.runner import judge
from yoctovirt.smoke.verdicts import REASON, VerdictWriter

REPORT: dict[str, Any] = {
    "nodeid": "test_acme.py::test_it", "location": ("test_acme.py", 1, "test_it"), "keywords": {},
    "start": 1.0, "duration": 1.0,
}  # fmt: skip


def verdict(outcome: str, message: str = "") -> dict[str, Any]:
    return {"id": f"acme::{outcome}", "outcome": outcome, "message": message}


def write(folder: Path, teardown: str) -> dict[str, Any]:
    """Return the verdict on a check that is not run, and whose clean-up has the given outcome."""
    writer = VerdictWriter(folder)
    phases: list[tuple[Any, Any, Any]] = [
        ("setup", "passed", None),
        ("call", "skipped", ("test_acme.py", 0, "not run: no CPU for it")),
        ("teardown", teardown, "clean-up broke" if teardown == "failed" else None),
    ]
    for when, outcome, longrepr in phases:
        told = [(REASON, "no CPU for it")] if when == "call" else []
        writer.add(
            pytest.TestReport(**REPORT, when=when, outcome=outcome, longrepr=longrepr,
                              user_properties=told)
        )  # fmt: skip
    (line,) = (folder / "checks.jsonl").read_text().splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


def test_the_reason_is_kept(tmp_path: Path) -> None:
    found = write(tmp_path, "passed")
    assert (found["outcome"], found["message"]) == ("not run", "no CPU for it")


def test_a_clean_up_that_fails_is_an_error(tmp_path: Path) -> None:
    found = write(tmp_path, "failed")
    assert (found["outcome"], found["message"]) == ("error", "clean-up broke")


def test_it_fails_no_run() -> None:
    judge([verdict("passed"), verdict("not run", "no CPU for it")])
    with pytest.raises(ChecksFailedError, match=r"1 of 2 checks failed: acme::failed$"):
        judge([verdict("failed"), verdict("not run", "no CPU for it")])


def test_a_run_of_nothing_else_is_an_error() -> None:
    with pytest.raises(UsageError, match=r"no check ran: acme::not run: no CPU for it"):
        judge([verdict("not run", "no CPU for it")])
