"""The verdict of each check, put together of the reports that pytest makes of its phases."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from yoctovirt.smoke.suitefile import suite_of

CHECKS_FILE = "checks.jsonl"

#: Names of what a check's process tells the one that writes the verdicts.
TITLE, EVIDENCE, RETRY, REASON = "yv-title", "yv-evidence", "yv-retry", "yv-not-run"
ATTACHED = "yv-attached"
#: Outcome of a check that its node cannot be put to.
NOT_RUN = "not run"


def check_id(nodeid: str) -> str:
    """Return ``suite::check`` for a pytest node id."""
    module, _, rest = nodeid.partition("::")
    return f"{suite_of(Path(module))}::{rest.replace('::', '.').removeprefix('test_')}"


class VerdictWriter:
    """Collects the phases of checks and writes ``checks.jsonl``, a line a check that is over."""

    def __init__(self, results: Path) -> None:
        self._path = results / CHECKS_FILE
        self._open: dict[str, dict[str, Any]] = {}
        self._again: set[str] = set()

    def add(self, report: pytest.TestReport) -> None:
        """Take what *report* says; write the verdict where it is the last one of its check."""
        identity = check_id(report.nodeid)
        entry = self._open.setdefault(
            report.nodeid,
            {"id": identity, "suite": identity.partition("::")[0], "outcome": "passed",
             "title": "", "started": _moment(report.start), "seconds": 0.0, "message": "",
             "detail": ""},
        )  # fmt: skip
        entry["seconds"] = round(entry["seconds"] + report.duration, 3)
        told = dict(report.user_properties)
        entry["title"] = told.get(TITLE, entry["title"])
        if EVIDENCE in told:
            entry["evidence"] = told[EVIDENCE]
        if ATTACHED in told:
            entry["attached"] = told[ATTACHED]
        outcome: str = report.outcome
        if report.when == "setup":
            self._again.discard(report.nodeid)
        if outcome == "rerun":  # by pytest-rerunfailures: the attempt failed, another one follows
            entry["outcome"] = "passed"
            entry.setdefault("attempts", []).append(_message(report))
            self._again.add(report.nodeid)
        elif report.failed and entry["outcome"] in ("passed", NOT_RUN):
            entry["outcome"] = "failed" if report.when == "call" else "error"
            entry["message"] = _message(report)
            entry["detail"] = report.longreprtext[-20000:]
        elif REASON in told:
            entry["outcome"], entry["message"] = NOT_RUN, told[REASON]
        elif report.skipped:
            entry["outcome"], entry["message"] = "skipped", report.longreprtext[-2000:]
        # The clean-up of an attempt that is followed by another one ends nothing.
        if report.when == "teardown" and report.nodeid not in self._again:
            self._write(self._open.pop(report.nodeid), str(told.get(RETRY, "")))

    def _write(self, entry: dict[str, Any], why: str) -> None:
        attempts = entry.get("attempts", [])
        if attempts and entry["outcome"] == "passed":
            entry["outcome"] = "flaky"
            entry["message"] = (
                f"passed at attempt {len(attempts) + 1} (tried again because {why}); "
                f"before that: {attempts[-1]}"
            )
        with self._path.open("a", encoding="utf-8") as out:
            out.write(json.dumps(entry) + "\n")


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds")


def _message(report: pytest.TestReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    said = report.longrepr if isinstance(report.longrepr, str) else report.longreprtext
    text = str(crash.message) if crash is not None else said
    for prefix in ("AssertionError: ", "Failed: "):
        text = text.removeprefix(prefix)
    # What is raised under yoctovirt's own names is written for users; the module is not.
    head, _, rest = text.partition(": ")
    if head.startswith("yoctovirt.") and "\n" not in head:
        text = rest
    return text[:4000]
