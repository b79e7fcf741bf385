"""The figures of a build, read back from its record, and compared with those of another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from yoctovirt.errors import UsageError

BUILD_FILE, TASKS_FILE = "build.json", "tasks.jsonl"
SCHEMA = 1
#: So many tasks are named whose times differ most.
CHANGED = 15


def load_build(folder: Path) -> dict[str, Any]:
    """Return build.json of the record *folder*; UsageError where there is none to be read."""
    path = folder / BUILD_FILE
    try:
        data: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(
            f"{folder.name} has no {BUILD_FILE}: no build by kas came to its end there",
            "yoctovirt build-stats without RUN takes the newest record that has one",
        ) from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise UsageError(f"{path} is of another version: expected schema {SCHEMA}")
    return data


def load_tasks(folder: Path) -> list[dict[str, Any]]:
    """Return the tasks of the record *folder* that were run, in the order of their ends.

    The last line of a run that was killed may be half there: it is left out.
    """
    rows = []
    path = folder / TASKS_FILE
    if path.is_file():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if isinstance(row, dict) and {"recipe", "task", "start", "end"} <= row.keys():
                rows.append(row)
    return rows


def find_record(runs: Path, named: str | None) -> Path:
    """Return the record *named* (its id, or the path of its folder), or the newest of a build.

    Raises UsageError where there is none.
    """
    if named is None:
        found = sorted(path.parent for path in runs.glob(f"*/{BUILD_FILE}"))
        if not found:
            raise UsageError(f"no record in {runs} is of a build by kas", "yoctovirt build ROLE")
        return max(found, key=lambda path: (path / BUILD_FILE).stat().st_mtime_ns)
    for path in (runs / named, Path(named)):
        if path.is_dir():
            return path
    from yoctovirt.base.suggest import did_you_mean

    known = [path.parent.name for path in runs.glob(f"*/{BUILD_FILE}")]
    raise UsageError(f"there is no run record {named!r} in {runs}", did_you_mean(named, known))


def compare(first: dict[str, Any], second: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """Return name, value in *first*, value in *second* of each figure that both have."""
    a, b = _flat(first), _flat(second)
    return [(name, a[name], b[name]) for name in a if name in b]


def _flat(build: dict[str, Any]) -> dict[str, Any]:
    """Return the figures that can be compared, with one name each."""
    phases = {phase["name"]: phase["seconds"] for phase in build["phases"]}
    found: dict[str, Any] = {"result": build["result"], "seconds": build["seconds"]}
    found.update({f"phase {name} seconds": value for name, value in phases.items()})
    for part in ("tasks", "sstate", "downloads", "disk", "image"):
        for key, value in (build.get(part) or {}).items():
            found[f"{part} {key}".replace("_", " ")] = value
    found["mean running"] = build.get("mean_running")
    memory = build.get("memory") or {}
    found["memory build peak bytes"] = memory.get("build_peak")
    stats = build.get("buildstats") or {}
    if "cpu_seconds" in stats:
        found["cpu seconds"] = stats["cpu_seconds"]
    return {key: value for key, value in found.items() if value is not None}


def changed_tasks(first: list[dict[str, Any]], second: list[dict[str, Any]]) -> list[
    tuple[str, float | None, float | None]
]:  # fmt: skip
    """Return the tasks whose times differ most: name, seconds in each; None where not run."""
    a, b = _seconds(first), _seconds(second)
    rows = [(name, a.get(name), b.get(name)) for name in a.keys() | b.keys()]
    rows.sort(key=lambda row: (-abs((row[1] or 0.0) - (row[2] or 0.0)), row[0]))
    return rows[:CHANGED]


def _seconds(tasks: list[dict[str, Any]]) -> dict[str, float]:
    return {
        f"{task['recipe']}:{task['task']}": task["end"] - task["start"]
        for task in tasks
        if task["end"] is not None
    }
