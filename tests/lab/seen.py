"""The table of what the smoke checks came to on the lab, docs/lab-seen.md."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

_HEAD = """\
# The OpenStack lab: what each check came to

`make test-lab` on {day}, on two cores: the lab stood {start:.0f} s after it was started from saved
layers; `yoctovirt smoke controller compute compute2` took {took:.0f} s for {count} checks, of which
{passed} passed{tempest}. The seconds are those of the check, with others beside it.

"""


def table(verdicts: Sequence[Mapping[str, Any]], start: float, took: float) -> str:
    """Return the page of *verdicts*; *start* and *took* are seconds."""
    passed = [verdict for verdict in verdicts if verdict["outcome"] == "passed"]
    tempest = [verdict for verdict in passed if verdict["suite"] == "tempest"]
    head = _HEAD.format(
        day=time.strftime("%Y-%m-%d", time.gmtime()), start=start, took=took,
        count=len(verdicts), passed=len(passed),
        tempest=f" ({len(tempest)} of them tests of tempest's)" if tempest else "",
    )  # fmt: skip
    rows = [
        f"| `{verdict['id']}` | {_cell(verdict['title'])} | {_outcome(verdict)} "
        f"| {verdict['seconds']:.1f} |\n"
        for verdict in verdicts
    ]
    return (
        head
        + "| check | what it says | outcome | seconds |\n| --- | --- | --- | --- |\n"
        + ("".join(rows))
    )


def _outcome(verdict: Mapping[str, Any]) -> str:
    said = str(verdict["outcome"])
    first = next(iter(str(verdict.get("message") or "").splitlines()), "")
    return said if said == "passed" or not first else f"{said}: {_cell(first)}"


def _cell(text: str) -> str:
    return " ".join(str(text).split()).replace("|", "\\|").replace("<", "&lt;")
