"""The figures of builds, compared, and the time line that is drawn of their tasks."""

from __future__ import annotations

import json
import random
import re
import time
from pathlib import Path
from typing import Any

import pytest

from tests import samples
from tests.recorded import recorded, write_build
from yoctovirt.build.kas.trace import TaskRun, Trace
from yoctovirt.errors import UsageError
from yoctovirt.report.build import (
    changed_tasks,
    compare,
    facts,
    find_record,
    load_build,
    load_tasks,
    longest_steps,
)
from yoctovirt.report.html import render_html
from yoctovirt.report.timeline import KINDS, MAX_BARS, build_view, kind_of


def big_build(count: int, threads: int) -> Trace:
    """Return a build of *count* tasks on *threads*, most of them short, a few very long."""
    chance = random.Random(2)
    trace = Trace(started=1_795_000_000.0)
    ends = [trace.started + 60] * threads
    for number in range(count):
        slot = min(range(threads), key=ends.__getitem__)
        seconds = chance.expovariate(1 / 8) + (600 if number % 1500 == 7 else 0)
        name = chance.choice(["do_fetch", "do_compile", "do_package", "do_configure"])
        start, ends[slot] = ends[slot], ends[slot] + seconds
        trace.done.append(TaskRun(f"recipe-{number}", "1", name, start, "/x.bb", None, 1,
                                  ends[slot], "succeeded"))  # fmt: skip
    trace.finish(max(ends) + 1)
    return trace


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return samples.built_run(tmp_path / "runs")


def test_the_page_tells_the_build(folder: Path) -> None:
    html = render_html(folder)
    for text in (
        'id="timeline"', "51 of 53 wanted objects found (96 % match)", "do_rootfs",
        "What held it up", "bitbake 2.8.1", "largest process cc1plus, 900 MiB",
    ):  # fmt: skip
        assert text in html, text
    assert html.count("<script") == 1


def test_a_run_without_a_build_by_kas_has_no_such_part(tmp_path: Path) -> None:
    html = render_html(samples.green_run(tmp_path))
    assert 'id="timeline"' not in html
    assert 'href="#build"' not in html


@pytest.mark.parametrize("text", ["", "{", '{"schema": 99}'])
def test_damaged_figures_do_not_break_the_page(folder: Path, text: str) -> None:
    (folder / "build.json").write_text(text)
    assert 'id="timeline"' not in render_html(folder)
    with pytest.raises(UsageError, match=r"build\.json"):
        load_build(folder)


def test_figures_of_a_build_without_tasks(folder: Path) -> None:
    trace = Trace(started=5.0)
    trace.finish(9.0)
    write_build(folder, trace, "failed")
    html = render_html(folder)
    assert "failed in 4.0 s" in html
    assert 'id="timeline"' not in html


def test_half_a_line_of_a_killed_run_is_left_out(folder: Path) -> None:
    path = folder / "tasks.jsonl"
    whole = len(load_tasks(folder))
    path.write_text(path.read_text() + '{"recipe": "half')
    assert len(load_tasks(folder)) == whole > 20


@pytest.mark.parametrize(("threads", "count"), [(2, 11_000), (16, 11_000), (64, 11_000)])
def test_a_large_build_stays_a_page_that_can_be_read(
    folder: Path, threads: int, count: int
) -> None:
    trace = big_build(count, threads)
    failed = trace.done[4321]
    failed.outcome, failed.end = "failed", failed.start + 0.01
    write_build(folder, trace, "failed")
    begun = time.monotonic()
    html = render_html(folder)
    assert time.monotonic() - begun < 20
    view = build_view(folder)
    assert view is not None
    assert len(view["lanes"]) == threads
    assert view["bars"] <= MAX_BARS
    assert len(html.encode()) < 1_000_000
    bars = [bar for lane in view["lanes"] for bar in lane]
    assert [bar["title"] for bar in bars if bar["kind"] == "failed"], "no failure is hidden"
    # All tasks are in some bar: as many as the bars say.
    said = sum(int(m[1]) if (m := re.match(r"(\d+) tasks from", bar["title"])) else 1
               for bar in bars)  # fmt: skip
    assert said == count
    long = [bar for bar in bars if "do_" in bar["title"] and "tasks" not in bar["title"]]
    assert len(long) >= 7, "the long ones stand alone"
    for lane in view["lanes"]:
        for bar in lane:
            assert 0 <= bar["left"] <= bar["left"] + bar["width"] <= 100.01


def test_bars_stand_where_the_tasks_ran(folder: Path) -> None:
    trace = Trace(started=100.0)
    for name, start, end in (("a", 110, 160), ("b", 120, 130), ("c", 130, 190)):
        trace.done.append(TaskRun(name, "1", "do_compile", start, "/x", None, 1, end, "succeeded"))
    trace.finish(200.0)
    write_build(folder, trace)
    view = build_view(folder)
    assert view is not None
    shown = [[(b["label"], b["left"], b["width"]) for b in lane] for lane in view["lanes"]]
    assert shown == [
        [("a:do_compile", 10, 50)], [("b:do_compile", 20, 10), ("c:do_compile", 30, 60)],
    ]  # fmt: skip
    assert view["ticks"] == ["0 s", "25 s", "50 s", "75 s", "1 min 40 s"]


@pytest.mark.parametrize(
    ("task", "outcome", "kind"),
    [("do_compile", "succeeded", "compile"), ("do_compile", "failed", "failed"),
     ("do_package_write_ipk", "succeeded", "package"), ("do_image_ext4", "succeeded", "image"),
     ("do_populate_sysroot_setscene", "succeeded", "setscene"), ("do_x", "succeeded", "other")],
)  # fmt: skip
def test_the_kind_of_a_task(task: str, outcome: str, kind: str) -> None:
    assert kind_of({"task": task, "outcome": outcome}) == kind
    assert kind in KINDS


def test_two_builds_beside_each_other(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    trace = recorded("scarthgap")
    slow = next(task for task in trace.done if task.task == "do_rootfs")
    assert slow.end is not None
    slow.end += 100
    trace.phases[-1].end = (trace.phases[-1].end or 0) + 100
    write_build(other, trace)
    rows = {name: (one, two) for name, one, two in compare(load_build(folder), load_build(other))}
    assert rows["seconds"][1] - rows["seconds"][0] == pytest.approx(100)
    assert rows["tasks run"][0] == rows["tasks run"][1]
    assert rows["sstate match percent"] == (96, 96)
    changed = changed_tasks(load_tasks(folder), load_tasks(other))
    name, one, two = changed[0]
    assert name == "yoctovirt-quick-image:do_rootfs"
    assert (two or 0) - (one or 0) == pytest.approx(100)
    assert changed_tasks(load_tasks(folder), [])[0][2] is None


def test_records_are_found_by_id_by_path_and_by_age(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    runs.mkdir()
    with pytest.raises(UsageError, match="no record"):
        find_record(runs, None)
    first, second = samples.built_run(runs), samples.built_run(runs)
    assert find_record(runs, None) == second
    assert find_record(runs, first.name) == first
    assert find_record(tmp_path, str(first)) == first
    with pytest.raises(UsageError, match="no run record 'nonsense'"):
        find_record(runs, "nonsense")
    plain = samples.green_run(runs)
    with pytest.raises(UsageError, match=r"has no build\.json"):
        load_build(find_record(runs, plain.name))


def test_the_longest_steps_keep_their_order() -> None:
    steps: list[dict[str, Any]] = [
        {"seconds": seconds, "waited": waited}
        for seconds, waited in ((1, 0), (9, 0), (2, 0), (1, 7), (3, 0))
    ]
    assert [step["seconds"] for step in longest_steps(steps, 3)] == [9, 1, 3]


def test_facts_name_what_was_killed_for_lack_of_memory(folder: Path) -> None:
    build = load_build(folder)
    assert "killed" not in dict(facts(build))["memory"]
    build["memory"]["oom_kills"] = 2
    assert "2 killed for lack of memory" in dict(facts(build))["memory"]
    json.dumps(build)
