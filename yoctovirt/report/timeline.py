"""The tasks of a build on a time line, drawn from its record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from yoctovirt.base.screen import human_seconds
from yoctovirt.errors import UsageError
from yoctovirt.report.build import facts, load_build, load_tasks, longest_steps

#: At most so many bars: a page with more is slow, and no eye tells them apart.
MAX_BARS = 1200
#: Widths in percent below which neighbours become one bar, tried in this order.
_WIDTHS = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0)
#: A bar of this width (percent) has its name in it.
_LABELLED = 7.0
_TICKS = 4
#: The longest tasks in a table, and the steps that held the build up.
ROWS, STEPS = 40, 15

#: Kind of a task (a class of the style sheet) -> its words, and the tasks that it covers.
KINDS = {
    "fetch": ("fetch", ("do_fetch",)),
    "source": ("unpack, patch, sysroot", ("do_unpack", "do_patch", "do_prepare_recipe_sysroot",
                                          "do_symlink_kernsrc", "do_kernel_checkout")),
    "configure": ("configure", ("do_configure", "do_kernel_configme", "do_kernel_metadata")),
    "compile": ("compile", ("do_compile", "do_compile_kernelmodules", "do_compile_ptest_base")),
    "package": ("install, package", ("do_install", "do_package", "do_packagedata", "do_deploy",
                                     "do_package_qa", "do_populate_sysroot")),
    "image": ("image", ("do_rootfs", "do_flush_pseudodb", "do_bootimg")),
    "setscene": ("taken from sstate", ()),
    "other": ("other", ()),
    "failed": ("failed", ()),
}  # fmt: skip
_KIND_OF = {task: kind for kind, (_, tasks) in KINDS.items() for task in tasks}


def kind_of(task: dict[str, Any]) -> str:
    """Return the kind of a task, a key of KINDS."""
    name = task["task"]
    if task.get("outcome") == "failed":
        return "failed"
    if name.endswith("_setscene"):
        return "setscene"
    if name.startswith("do_package_write"):
        return "package"
    if name.startswith("do_image"):
        return "image"
    return _KIND_OF.get(name, "other")


def build_view(folder: Path) -> dict[str, Any] | None:
    """Return what the page shows of the build in the record *folder*; None where there is none."""
    try:
        build = load_build(folder)
    except UsageError:
        return None
    begin, seconds = build["started"], max(build["seconds"], 0.001)
    tasks = [task for task in load_tasks(folder) if task["end"] is not None]
    held = {f"{step['recipe']}:{step['task']}" for step in build["critical_path"]}
    lanes, bars = _drawn(tasks, held, begin, seconds)
    steps = build["critical_path"]
    return {
        "build": build,
        "facts": list(facts(build)),
        "phases": [
            _place(phase["start"], phase["start"] + phase["seconds"], begin, seconds)
            | {"name": phase["name"], "seconds": phase["seconds"]}
            for phase in build["phases"]
        ],
        "lanes": lanes,
        "bars": bars,
        "kinds": [(kind, KINDS[kind][0]) for kind in KINDS if any(
            bar["kind"] == kind for lane in lanes for bar in lane)],
        "ticks": [human_seconds(seconds * i / _TICKS) for i in range(_TICKS + 1)],
        "tasks": [
            {**task, "seconds": task["end"] - task["start"], "after": task["start"] - begin}
            for task in sorted(tasks, key=lambda t: t["start"] - t["end"])[:ROWS]
        ],
        "count": len(tasks),
        "steps": longest_steps(steps, STEPS),
        "chain": {
            "count": len(steps),
            "seconds": sum(step["seconds"] for step in steps),
            "waited": sum(step["waited"] for step in steps),
        },
    }  # fmt: skip


def _place(start: float, end: float, begin: float, seconds: float) -> dict[str, Any]:
    left = min(max(100 * (start - begin) / seconds, 0.0), 99.9)
    width = min(max(100 * (end - start) / seconds, 0.05), 100 - left)
    return {"left": round(left, 3), "width": round(width, 3)}


def _drawn(
    tasks: list[dict[str, Any]], held: set[str], begin: float, seconds: float
) -> tuple[list[list[dict[str, Any]]], int]:
    """Return the bars of each lane, merged until they are few enough, and their number."""
    rows = _lanes(tasks)
    lanes: list[list[dict[str, Any]]] = []
    for width in _WIDTHS:
        lanes = [_bars(row, held, begin, seconds, width) for row in rows]
        if sum(map(len, lanes)) <= MAX_BARS:
            break
    return lanes, sum(map(len, lanes))


def _lanes(tasks: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Return the tasks in as few rows as were running side by side, each in order of time."""
    rows: list[list[dict[str, Any]]] = []
    for task in sorted(tasks, key=lambda t: (t["start"], t["end"])):
        for row in rows:
            if row[-1]["end"] <= task["start"]:
                row.append(task)
                break
        else:
            rows.append([task])
    return rows


def _bars(
    row: list[dict[str, Any]], held: set[str], begin: float, seconds: float, least: float
) -> list[dict[str, Any]]:
    """Return the bars of a lane; neighbours narrower than *least* percent become one."""
    groups: list[list[dict[str, Any]]] = []
    limit = seconds * least / 100
    for task in row:
        narrow = task["end"] - task["start"] < limit
        last = groups[-1] if groups else None
        if (
            narrow
            and last is not None
            and all(t["end"] - t["start"] < limit for t in last[-1:])
            and task["start"] - last[-1]["end"] < limit
            and task["end"] - last[0]["start"] < 20 * limit
            and "failed" not in (kind_of(task), kind_of(last[-1]))
        ):
            last.append(task)
        else:
            groups.append([task])
    return [_bar(group, held, begin, seconds) for group in groups]


def _bar(
    group: list[dict[str, Any]], held: set[str], begin: float, seconds: float
) -> dict[str, Any]:
    longest = max(group, key=lambda t: t["end"] - t["start"])
    name = f"{longest['recipe']}:{longest['task']}"
    took = human_seconds(longest["end"] - longest["start"])
    after = human_seconds(group[0]["start"] - begin)
    if len(group) > 1:
        title = f"{len(group)} tasks from {after} on, the longest {name} ({took})"
    else:
        title = f"{name}, {took}, from {after} on"
    place = _place(group[0]["start"], group[-1]["end"], begin, seconds)
    # One that failed is never hidden in a crowd: it has a bar of its own.
    return place | {
        "kind": kind_of(longest),
        "many": len(group) > 1,
        "held": any(f"{t['recipe']}:{t['task']}" in held for t in group),
        "title": title,
        "label": name if place["width"] >= _LABELLED and len(group) == 1 else "",
    }
