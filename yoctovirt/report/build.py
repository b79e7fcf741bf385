"""The figures of a build, read back from its record, and compared with those of another."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from yoctovirt.base.files import human_bytes
from yoctovirt.base.screen import human_seconds
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
            if key.startswith("free"):  # of the host, not of the build
                continue
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


def facts(build: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the figures in words: name, text."""
    yield "phases", ", ".join(f"{p['name']} {_short(p['seconds'])}" for p in build["phases"])
    tasks = build["tasks"]
    cut = f", {tasks['cut']} cut short" if tasks["cut"] else ""
    yield (
        "tasks",
        f"{tasks['total']}: {tasks['run']} run, {tasks['noexec']} with nothing to run, "
        f"{tasks['covered']} covered, {tasks['existing']} current, {tasks['failed']} failed{cut}; "
        f"{tasks['setscene']} outputs taken from sstate",
    )
    sstate = build["sstate"]
    if sstate:
        yield (
            "sstate",
            f"{sstate['local'] + sstate['mirrors']} of {sstate['wanted']} wanted objects found "
            f"({sstate['match_percent']} % match): {sstate['local']} local, "
            f"{sstate['mirrors']} from mirrors; {sstate['current']} current "
            f"({sstate['complete_percent']} % complete)",
        )
    if build["mean_running"] is not None:
        yield "running", f"{build['mean_running']} tasks at a time on average"
    got = build["downloads"]
    size = human_bytes(got["bytes"])
    yield "downloads", f"{got['files']} files and {got['repositories']} repositories, {size}"
    image = build["image"]
    if image:
        yield (
            "image",
            f"{image['name']}: root file system {human_bytes(image['rootfs_bytes'])}, deploy "
            f"directory {human_bytes(image['deploy_dir_bytes'])} on disk",
        )
    disk = build["disk"]
    yield (
        "disk",
        f"{human_bytes(disk['free_before'])} free before, {human_bytes(disk['free_after'])} after, "
        f"at least {human_bytes(disk['free_least'])} at any time",
    )
    memory = build["memory"]
    yield (
        "memory",
        f"at most {human_bytes(memory['host_used_peak'])} of "
        f"{human_bytes(memory['host_total'])} in use on the host, "
        f"{human_bytes(memory['build_peak'])} by the build"
        + _largest("process", memory["largest_process"])
        + (f"; {memory['oom_kills']} killed for lack of memory" if memory["oom_kills"] else ""),
    )
    stats = build["buildstats"]
    if stats:
        cpu = human_seconds(stats["cpu_seconds"])
        yield "buildstats", f"{cpu} of processor time" + _largest("task", stats["largest_task"])


def _largest(what: str, found: dict[str, Any] | None) -> str:
    return f"; largest {what} {found['name']}, {human_bytes(found['bytes'])}" if found else ""


def _short(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 10 else human_seconds(seconds)


def longest_steps(steps: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """Return the steps of a critical path that took most, in the order in which they came."""
    cost = sorted(range(len(steps)), key=lambda i: -steps[i]["seconds"] - steps[i]["waited"])
    return [steps[i] for i in sorted(cost[:count])]
