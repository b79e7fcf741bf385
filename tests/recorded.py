"""Builds that were recorded: tests/data/bitbake has the events, and says how they came."""

from __future__ import annotations

import json
from pathlib import Path

from yoctovirt.build.kas.events import parse_event
from yoctovirt.build.kas.figures import build_figures, write_figures
from yoctovirt.build.kas.trace import Trace
from yoctovirt.build.kas.watch import TASKS_FILE

DATA = Path(__file__).with_name("data") / "bitbake"
RELEASES = ("kirkstone", "scarthgap", "wrynose")
SUMMARY = "Sstate summary: Wanted 53 Local 51 Mirrors 0 Missed 2 Current 0 (96% match, 0% complete)"


def recorded(release: str) -> Trace:
    """Return the trace of the recorded build of *release*."""
    lines = (DATA / f"{release}-shared.jsonl").read_text().splitlines()
    seen = [json.loads(line)["seen"] for line in lines]
    trace = Trace(started=0.0)
    for line in lines:
        event = parse_event(line)
        assert event is not None
        trace.add(event)
    # The recorder read a finished log: the times are those of the tasks alone.
    trace.started = trace.phases[0].start = min(task.start for task in trace.done) - 5
    for phase in trace.phases[1:]:
        phase.start = trace.started + 4
    trace.finish(max(task.end or 0.0 for task in trace.done) + 2)
    for phase in trace.phases[:-1]:
        phase.end = trace.started + 4
    assert len(seen) == len(lines)
    trace.line(SUMMARY, 0.0)
    return trace


def built_record(folder: Path, release: str = "scarthgap") -> None:
    """Write build.json and tasks.jsonl of the recorded build into *folder*."""
    write_build(folder, recorded(release))


def write_build(folder: Path, trace: Trace, result: str = "succeeded") -> None:
    """Write build.json and tasks.jsonl of *trace* into *folder*."""
    disk = {"free_before": 9 << 30, "free_after": 8 << 30, "free_least": 7 << 30, "used": 1 << 30}
    memory = {
        "host_total": 24 << 30, "host_used_before": 1 << 30, "host_used_peak": 2 << 30,
        "swap_used_peak": 0, "build_peak": 1 << 30, "oom_kills": 0,
        "largest_process": {"name": "cc1plus", "bytes": 900 << 20},
    }  # fmt: skip
    figures = build_figures(trace, result)
    figures.update(disk=disk, memory=memory, events={"events": 1},
                   downloads={"files": 2, "repositories": 1, "bytes": 5 << 20})  # fmt: skip
    write_figures(folder, figures)
    rows = "".join(json.dumps(task.as_json()) + "\n" for task in trace.done)
    (folder / TASKS_FILE).write_text(rows)
