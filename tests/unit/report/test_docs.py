"""docs/run-record.md names every key that a record has."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests import samples

DOCS = Path(__file__).resolve().parents[3] / "docs" / "run-record.md"
#: Keys below these are names of something else: packages, layers, phases of a boot.
OPEN = {"packages", "layers"}


def keys(value: Any) -> set[str]:
    if isinstance(value, list):
        return set().union(*(keys(item) for item in value))
    if not isinstance(value, dict):
        return set()
    below = (keys(item) for key, item in value.items() if key not in OPEN)
    return set(value).union(*below)


@pytest.mark.parametrize(
    "make",
    [samples.green_run, samples.red_run, samples.boot_failed_run, samples.killed_run,
     samples.built_run],
)  # fmt: skip
def test_every_key_is_documented(tmp_path: Path, make: samples.Maker) -> None:
    named = set(re.findall(r"`([^`\n]+)`", DOCS.read_text(encoding="utf-8")))
    folder = make(tmp_path)
    found = keys(json.loads((folder / "run.json").read_text()))
    commands = folder / "node-commands.jsonl"
    if commands.exists():
        found |= keys([json.loads(line) for line in commands.read_text().splitlines()])
    if (folder / "build.json").exists():
        found |= keys(json.loads((folder / "build.json").read_text()))
        tasks = (folder / "tasks.jsonl").read_text().splitlines()
        found |= keys([json.loads(line) for line in tasks])
    assert len(found) > 30
    assert found <= named, found - named
