"""Read a run record back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from yoctovirt.base.record import RUN_FILE, SCHEMA
from yoctovirt.errors import UsageError


def load_run(folder: Path) -> dict[str, Any]:
    """Return what run.json in *folder* says; UsageError where it is no run record."""
    path = folder / RUN_FILE
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{folder} is no run record: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{path} is damaged: {error}") from error
    if data.get("schema") != SCHEMA:
        raise UsageError(
            f"{path} has schema {data.get('schema')!r}, expected {SCHEMA}",
            "use the yoctovirt that made this record",
        )
    return data


def load_node_commands(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the commands that ran on nodes, by the check that ran them."""
    found: dict[str, list[dict[str, Any]]] = {}
    path = folder / "node-commands.jsonl"
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            found.setdefault(row["check"], []).append(row)
    return found


def tail(path: Path, limit: int) -> str:
    """Return the last *limit* bytes of a log as text that can be shown: no control codes."""
    import re

    if not path.is_file():
        return ""
    with path.open("rb") as log:
        size = log.seek(0, 2)
        log.seek(max(0, size - limit))
        text = log.read().decode("utf-8", errors="replace")
    text = re.sub(r"\x1b(\[[0-?]*[ -/]*[@-~]|[@-Z\\-_])", "", text.replace("\r", ""))
    text = re.sub(r"[^\t\n\x20-\x7e\u00a0-\uffff]", "", text)
    cut = f"[… {size - limit} bytes before]\n" if size > limit else ""
    return cut + text
