"""Task times of a workspace, and the estimate that is made of them."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest

from tests.recorded import recorded
from yoctovirt.build.kas.durations import Durations, Estimate, learned, play
from yoctovirt.build.kas.events import Graph, Queued, SetsceneOver, Stats, TaskEvent, Variables
from yoctovirt.build.kas.trace import Trace
from yoctovirt.errors import InfrastructureError


def test_times_are_kept_and_a_new_one_counts_half(tmp_path: Path) -> None:
    path = tmp_path / "task-times.json"
    Durations(path).merge({"a:do_x": 10.0, "b:do_y": 4.0})
    known = Durations(path)
    known.merge({"a:do_x": 20.0})
    assert known.seconds == Durations(path).seconds == {"a:do_x": 15.0, "b:do_y": 4.0}


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"version": 2, "tasks": {"a:b": 1}}', '{"version": 1}',
             '{"version": 1, "tasks": {"a:b": "x"}}', '{"version": 1, "tasks": [1]}'],
)  # fmt: skip
def test_a_damaged_file_counts_as_empty_and_is_written_anew(tmp_path: Path, text: str) -> None:
    path = tmp_path / "task-times.json"
    path.write_text(text)
    known = Durations(path)
    assert known.seconds == {}
    known.merge({"a:do_x": 1.0})
    assert Durations(path).seconds == {"a:do_x": 1.0}


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InfrastructureError, match="file"):
        Durations(tmp_path / "file" / "task-times.json").merge({"a:do_x": 1.0})


def _merge(path: Path, number: int) -> None:
    for i in range(20):
        Durations(path).merge({f"r{number}:do_{i}": 1.0})


def test_builds_that_end_at_once_are_all_kept(tmp_path: Path) -> None:
    path = tmp_path / "task-times.json"
    context = multiprocessing.get_context("spawn")
    jobs = [context.Process(target=_merge, args=(path, number)) for number in range(3)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
        assert job.exitcode == 0
    assert len(json.loads(path.read_text())["tasks"]) == 60


def test_only_what_succeeded_is_learned() -> None:
    trace = Trace(started=0)
    for kind, task, second in (("started", "do_x", 1.0), ("succeeded", "do_x", 4.0),
                               ("started", "do_y", 4.0), ("failed", "do_y", 5.0),
                               ("started", "do_z", 5.0)):  # fmt: skip
        trace.add(TaskEvent(kind, "a", "1", task, "/a.bb", None, second, 1))
    trace.add(Queued(1, "queue-started", "a", "do_build", None, True, Stats(total=4)))
    trace.finish(9)
    assert learned(trace) == {"a:do_x": 3.0, "a:do_build": 0.0}


@pytest.mark.parametrize(("threads", "seconds"), [(1, 30.0), (2, 16.0), (8, 14.0)])
def test_the_time_of_a_graph_on_threads(threads: int, seconds: float) -> None:
    #  0 (4) -> 1 (10);  2 (5), 3 (5), 4 (6) -> 5 (0)
    needs = [(), (0,), (), (), (), (4,)]
    costs = dict(enumerate((4.0, 10.0, 5.0, 5.0, 6.0, 0.0)))
    assert play(needs, costs, threads) == seconds


def test_a_task_that_runs_has_its_thread() -> None:
    # Without it the long way (1) would have been begun first.
    needs: list[tuple[int, ...]] = [(), ()]
    assert play(needs, {0: 3.0, 1: 10.0}, 1, lambda i: i == 0) == 13.0


def begin(tasks: list[str], threads: int = 1) -> Trace:
    trace = Trace(started=0)
    trace.add(Variables({"BB_NUMBER_THREADS": str(threads)}))
    needs = tuple((i - 1,) if i else () for i in range(len(tasks)))
    trace.add(Graph(tuple(tasks), needs))
    trace.add(SetsceneOver(0, Stats(total=len(tasks))))
    return trace


def test_the_estimate_comes_from_earlier_builds(tmp_path: Path) -> None:
    known = Durations(tmp_path / "x")
    known.seconds = {"a:do_x": 100.0, "a:do_y": 50.0}
    trace = begin(["a:do_x", "a:do_y"])
    estimate = Estimate(known)
    assert estimate.remaining(trace, 0.0) == 150.0
    assert estimate.remaining(trace, 2.0) == 148.0, "it runs down between two computations"
    trace.add(TaskEvent("started", "a", "1", "do_x", "/a", None, 10.0, 1))
    assert estimate.remaining(trace, 40.0) == 120.0


def test_a_slower_host_is_taken_into_account(tmp_path: Path) -> None:
    known = Durations(tmp_path / "x")
    known.seconds = {"a:do_x": 100.0, "a:do_y": 50.0}
    trace = begin(["a:do_x", "a:do_y"])
    trace.add(TaskEvent("started", "a", "1", "do_x", "/a", None, 0.0, 1))
    trace.add(TaskEvent("succeeded", "a", "1", "do_x", "/a", None, 200.0, 1))
    trace.add(Queued(200, "queue-completed", "a", "do_x", None, False, Stats(total=2)))
    assert Estimate(known).remaining(trace, 200.0) == 100.0


def test_nothing_is_said_where_nothing_is_known(tmp_path: Path) -> None:
    trace = begin([f"r{i}:do_x" for i in range(100)])
    assert Estimate(Durations(tmp_path / "x")).remaining(trace, 10.0) is None


def test_a_first_build_is_estimated_by_its_own_tasks(tmp_path: Path) -> None:
    trace = begin([f"r{i}:do_x" for i in range(100)])
    for i in range(10):
        trace.add(TaskEvent("started", f"r{i}", "1", "do_x", "/a", None, 3.0 * i, 1))
        trace.add(TaskEvent("succeeded", f"r{i}", "1", "do_x", "/a", None, 3.0 * i + 3, 1))
        trace.add(Queued(0, "queue-completed", f"r{i}", "do_x", None, False, Stats(total=100)))
    assert Estimate(Durations(tmp_path / "x")).remaining(trace, 30.0) == pytest.approx(270.0)


def test_what_sstate_gave_is_not_built_nor_what_only_that_needs(tmp_path: Path) -> None:
    known = Durations(tmp_path / "x")
    known.seconds = {"a:do_x": 100.0, "a:do_p": 10.0, "b:do_y": 50.0}
    trace = begin(["a:do_x", "a:do_p", "b:do_y"])
    assert Estimate(known).remaining(trace, 0.0) == 160.0
    trace.add(Queued(0, "setscene-completed", "a", "do_p_setscene", None, False, Stats(total=3)))
    assert Estimate(known).remaining(trace, 0.0) == 50.0


def test_the_estimate_of_a_recorded_build(tmp_path: Path) -> None:
    """With the times of that very build the estimate at its begin is about what it took."""
    trace = recorded("scarthgap")
    known = Durations(tmp_path / "x")
    known.seconds = learned(trace)
    fresh = Trace(started=trace.started)
    assert trace.graph is not None
    fresh.add(trace.graph)
    fresh.add(Variables(trace.variables))
    fresh.covered = set(trace.covered)
    start = next(task.start for task in trace.done if task.name.endswith("image:do_rootfs"))
    fresh.add(SetsceneOver(start, Stats(total=136)))
    got = Estimate(known).remaining(fresh, start)
    took = max(task.end or 0.0 for task in trace.done) - start
    assert got == pytest.approx(took, rel=0.25)
