"""What is known of a build, from the recorded events of three bitbakes."""

from __future__ import annotations

import pytest

from tests.recorded import RELEASES, recorded
from yoctovirt.build.kas.critical import critical_path
from yoctovirt.build.kas.events import BuildCompleted, Graph, Queued, Stats, TaskEvent
from yoctovirt.build.kas.figures import build_figures
from yoctovirt.build.kas.trace import TaskRun, Trace

TOTALS = {"kirkstone": 125, "scarthgap": 136, "wrynose": 136}


@pytest.mark.parametrize("release", RELEASES)
def test_a_build_from_sstate_of_each_release(release: str) -> None:
    trace = recorded(release)
    assert trace.log_end is not None
    assert trace.log_end.damaged == 0
    assert trace.graph is not None
    assert len(trace.graph.tasks) == trace.stats.total == TOTALS[release]
    assert trace.settled == set(trace.graph.tasks), "the graph and the run queue use one name"
    assert {task.name.removesuffix("_setscene") for task in trace.done} <= trace.settled
    assert trace.failed == []
    figures = build_figures(trace, "succeeded")
    tasks = figures["tasks"]
    assert tasks["total"] == (
        tasks["run"] + tasks["noexec"] + tasks["covered"] + tasks["existing"]
    ), tasks
    assert tasks["setscene"] > 20
    slowest = figures["slowest_tasks"][0]
    assert (slowest["recipe"], slowest["task"]) == ("yoctovirt-quick-image", "do_rootfs")
    assert figures["slowest_recipes"][0]["recipe"] == "yoctovirt-quick-image"


@pytest.mark.parametrize("release", RELEASES)
def test_what_held_up_a_build_from_sstate_is_its_image(release: str) -> None:
    trace = recorded(release)
    assert trace.graph is not None
    steps = critical_path(trace.graph, trace.done, trace.started)
    names = [step.task.name for step in steps]
    assert "yoctovirt-quick-image:do_rootfs" in names
    assert names[0].endswith("_setscene"), "the way begins with what sstate gave"
    ends = [step.task.end for step in steps]
    assert ends == sorted(ends, key=lambda end: end or 0.0)
    known = set(trace.graph.tasks)
    assert all(name.removesuffix("_setscene") in known for name in names)
    # All the time from the begin to the last end is told, as running or as waiting.
    told = sum(step.waited + step.task.seconds for step in steps)
    last = max(task.end or 0.0 for task in trace.done)
    assert told == pytest.approx(last - trace.started, abs=0.5)


def run(name: str, start: float, end: float | None, outcome: str = "succeeded") -> TaskRun:
    recipe, _, task = name.partition(":")
    return TaskRun(recipe, "1", task, start, "/x.bb", None, 1, end, outcome)


def test_the_way_goes_through_tasks_that_had_nothing_to_run() -> None:
    graph = Graph(("a:do_x", "b:do_noexec", "c:do_x", "d:do_x"), ((), (0,), (1, 3), ()))
    tasks = [run("a:do_x", 10, 30), run("d:do_x", 10, 20), run("c:do_x", 32, 40)]
    steps = critical_path(graph, tasks, 8)
    assert [(s.task.name, s.waited) for s in steps] == [("a:do_x", 2), ("c:do_x", 2)]


def test_the_way_through_a_chain_longer_than_the_stack() -> None:
    count = 20_000
    graph = Graph(tuple(f"r{i}:do_x" for i in range(count)),
                  tuple((i - 1,) if i else () for i in range(count)))  # fmt: skip
    steps = critical_path(graph, [run("r0:do_x", 0, 1), run(f"r{count - 1}:do_x", 2, 3)], 0)
    assert [step.task.recipe for step in steps] == ["r0", f"r{count - 1}"]


def test_nothing_ran() -> None:
    assert critical_path(Graph((), ()), [], 0) == []


def test_a_task_without_an_end_is_cut_where_bitbake_is_killed() -> None:
    trace = Trace(started=0)
    trace.add(TaskEvent("started", "a", "1", "do_x", "/a.bb", "/log", 5.0, 7))
    trace.finish(9.0)
    assert [(task.outcome, task.seconds) for task in trace.done] == [("cut", 0.0)]
    assert build_figures(trace, "interrupted")["tasks"]["cut"] == 1


def test_a_setscene_task_that_fails_does_not_fail_the_build() -> None:
    trace = Trace(started=0)
    for task in ("do_x", "do_y_setscene"):
        trace.add(TaskEvent("failed", "a", "1", task, "/a.bb", f"/log.{task}", 5.0, 7))
    assert [task.task for task in trace.failed] == ["do_x"]
    assert trace.failed[0].log == "/log.do_x"


def test_phases_follow_the_output_where_the_events_come_late() -> None:
    """kirkstone: of what comes before BuildStarted only the output tells in time."""
    trace = Trace(started=100)
    for second, text in (
        (104, "INFO - __main__.py 5.5 started"),
        (110, "2026-11-21 07:21:54 - INFO     - Loading cache...done."),
        (130, "Parsing of 11 .bb files complete (0 cached, 11 parsed)."),
        (131, "Sstate summary: Wanted 42 Local 40 Mirrors 1 Missed 1 Current 3 (97% match, 9% c"),
        (131, "Initialising tasks...Sstate summary: Wanted 42 Local 40 Mirrors 1 Missed 1 "
              "Current 3 (97% match, 91% complete)"),
        (132, "NOTE: Executing Tasks"),
        (190, "NOTE: Tasks Summary: Attempted 125 tasks of which 4 didn't need to be rerun"),
        (191, "Parsing recipes of an echo"),
    ):  # fmt: skip
        trace.line(text, second)
    trace.finish(195)
    assert [(p.name, p.start, p.end) for p in trace.phases] == [
        ("start", 100, 110), ("parse", 110, 130), ("prepare", 130, 132), ("setscene", 132, 190),
        ("end", 190, 195),
    ]  # fmt: skip
    assert trace.sstate == {"wanted": 42, "local": 40, "mirrors": 1, "missed": 1, "current": 3,
                            "match_percent": 97, "complete_percent": 91}  # fmt: skip


def test_late_events_do_not_turn_the_phases_back() -> None:
    trace = Trace(started=0)
    trace.line("NOTE: Executing Tasks", 50)
    trace.add(Queued(51, "queue-started", "a", "do_x", None, True, Stats(total=1)))
    trace.add(BuildCompleted(60, 1, 0))
    trace.line("NOTE: Executing Tasks", 61)
    assert [phase.name for phase in trace.phases] == ["start", "setscene", "end"]
    assert trace.noexec == {"a:do_x"}


def test_the_figures_of_a_build_that_ended_before_its_first_task() -> None:
    trace = Trace(started=10)
    trace.finish(12)
    figures = build_figures(trace, "failed")
    assert figures["seconds"] == 2
    assert figures["tasks"]["total"] == 0
    assert figures["mean_running"] is None
    assert figures["critical_path"] == figures["slowest_tasks"] == []
