"""build.json: what a build did, in figures (docs/run-record.md has the fields)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from yoctovirt.base.files import tree_bytes, write_atomically
from yoctovirt.build.deploydir import DeployDir
from yoctovirt.build.kas.critical import critical_path
from yoctovirt.build.kas.trace import TaskRun, Trace

BUILD_FILE = "build.json"
SCHEMA = 1
#: So many of the slowest tasks and recipes are named.
SLOWEST = 20
_RUSAGE = re.compile(r"^(Child )?rusage (ru_utime|ru_stime|ru_maxrss): ([\d.]+)", re.MULTILINE)


def build_figures(trace: Trace, result: str) -> dict[str, Any]:
    """Return the figures that *trace* tells of a build that has ended."""
    ran = [task for task in trace.done if not task.setscene]
    stats = trace.stats
    begun = next((p.start for p in trace.phases if p.name in ("setscene", "tasks")), trace.started)
    end = trace.phases[-1].end or trace.phases[-1].start
    tasks_end = max((task.end or 0.0 for task in trace.done), default=begun)
    busy = sum(task.seconds for task in trace.done)
    path = critical_path(trace.graph, trace.done, begun) if trace.graph else []
    return {
        "schema": SCHEMA,
        "result": result,
        "started": round(trace.started, 3),
        "seconds": round(end - trace.started, 3),
        "targets": list(trace.targets),
        "bitbake": trace.variables.get("BB_VERSION"),
        "machine": trace.variables.get("MACHINE"),
        "distro": trace.variables.get("DISTRO"),
        "threads": _number(trace.variables.get("BB_NUMBER_THREADS")),
        "parallel_make": trace.variables.get("PARALLEL_MAKE"),
        "phases": [
            {"name": p.name, "start": round(p.start, 3),
             "seconds": round((p.end or p.start) - p.start, 3)}
            for p in trace.phases
        ],
        "recipes": None if trace.parsed is None else {
            "total": trace.parsed.total, "parsed": trace.parsed.parsed,
            "cached": trace.parsed.cached, "skipped": trace.parsed.skipped,
            "masked": trace.parsed.masked, "errors": trace.parsed.errors,
        },
        "tasks": {
            "total": stats.total,
            "run": len(ran),
            "failed": len(trace.failed),
            "cut": sum(task.outcome == "cut" for task in ran),
            "noexec": len(trace.noexec),
            "existing": trace.skipped["existing"],
            "covered": trace.skipped["covered"],
            "setscene": sum(task.setscene for task in trace.done),
        },
        "sstate": trace.sstate,
        "mean_running": round(busy / (tasks_end - begun), 2) if tasks_end > begun else None,
        "slowest_tasks": [_row(task) for task in _slowest(trace.done)],
        "slowest_recipes": slowest_recipes(trace.done),
        "critical_path": [step.as_json() for step in path],
        "failed_tasks": [_row(task) for task in trace.failed],
        "buildstats": buildstats(trace),
        "image": None,
    }  # fmt: skip


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() else None


def _row(task: TaskRun) -> dict[str, Any]:
    return {"recipe": task.recipe, "task": task.task, "seconds": round(task.seconds, 3),
            "file": task.file, "log": task.log}  # fmt: skip


def _slowest(tasks: Iterable[TaskRun]) -> list[TaskRun]:
    return sorted(tasks, key=lambda task: task.seconds, reverse=True)[:SLOWEST]


def slowest_recipes(tasks: Iterable[TaskRun]) -> list[dict[str, Any]]:
    """Return the recipes whose tasks took longest in all; tasks may have run side by side."""
    sums: dict[str, list[float]] = {}
    for task in tasks:
        sums.setdefault(task.recipe, []).append(task.seconds)
    order = sorted(sums.items(), key=lambda item: sum(item[1]), reverse=True)[:SLOWEST]
    return [
        {"recipe": recipe, "seconds": round(sum(seconds), 3), "tasks": len(seconds)}
        for recipe, seconds in order
    ]


def buildstats(trace: Trace) -> dict[str, Any] | None:
    """Return what OE's buildstats.bbclass has written of this build; None where it was not on.

    *cpu_seconds* is the processor time of all tasks, *largest_task* the one with the largest
    process (ru_maxrss, in bytes).
    """
    base, name = trace.variables.get("BUILDSTATS_BASE"), trace.variables.get("BUILDNAME")
    folder = Path(base, name) if base and name else None
    if folder is None or not folder.is_dir():
        return None
    cpu, largest = 0.0, (0, "")
    count = 0
    for path in folder.glob("*/do_*"):
        with suppress(OSError):
            text = path.read_text(errors="replace")
            count += 1
            for _, what, value in _RUSAGE.findall(text):
                if what == "ru_maxrss":
                    largest = max(largest, (int(value) * 1024, f"{path.parent.name}:{path.name}"))
                else:
                    cpu += float(value)
    return {
        "folder": str(folder), "tasks": count, "cpu_seconds": round(cpu, 2),
        "largest_task": {"name": largest[1], "bytes": largest[0]} if largest[0] else None,
    }  # fmt: skip


def write_figures(record: Path, figures: dict[str, Any]) -> None:
    """Write build.json into *record*; InfrastructureError where the disk is full."""
    write_atomically(record / BUILD_FILE, json.dumps(figures, indent=1) + "\n")


def add_image(record: Path, deploy: DeployDir) -> None:
    """Add the sizes of the image and of its deploy directory to build.json in *record*."""
    path = record / BUILD_FILE
    if not path.is_file():  # the build could not be followed, which was told
        return
    figures = json.loads(path.read_text(encoding="utf-8"))
    figures["image"] = {
        "name": deploy.image,
        "rootfs_bytes": deploy.rootfs.stat().st_size,
        "deploy_dir_bytes": tree_bytes(deploy.path),
    }
    write_figures(record, figures)
