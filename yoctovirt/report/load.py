"""Read a run record back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from yoctovirt.base.record import RUN_FILE, SCHEMA
from yoctovirt.errors import UsageError
from yoctovirt.report.text import plain

COMMANDS_FILE = "node-commands.jsonl"


def load_run(folder: Path) -> dict[str, Any]:
    """Return what run.json in *folder* says; UsageError where it is no run record."""
    path = folder / RUN_FILE
    try:
        data: Any = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{folder} is no run record: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{path} is damaged: {error}") from error
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise UsageError(
            f"{path} is of another version: expected schema {SCHEMA}",
            "use the yoctovirt that made this record",
        )
    return dict(data)


def load_node_commands(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the commands that ran on nodes, by the check that ran them.

    The last line of a run that was killed may be half there: it is left out.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    path = folder / COMMANDS_FILE
    if path.is_file():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                continue
            found.setdefault(row["check"], []).append(row)
    return found


def tail(path: Path, limit: int) -> str:
    """Return the last *limit* bytes of a log as text that can be shown: no control codes."""
    if not path.is_file():
        return ""
    with path.open("rb") as log:
        size = log.seek(0, 2)
        log.seek(max(0, size - limit))
        text = plain(log.read().decode("utf-8", errors="replace"))
    cut = f"[… {size - limit} bytes before]\n" if size > limit else ""
    return cut + text
