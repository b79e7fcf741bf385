"""What is said of a running build."""

from __future__ import annotations

import pytest

from tests.recorded import SUMMARY, recorded
from yoctovirt.build.kas.events import (
    Parsed,
    Progress,
    Queued,
    SetsceneOver,
    Stats,
    TaskEvent,
    TaskProgress,
)
from yoctovirt.build.kas.progress import BAR, News, Rate, bar, board, head, named, rest
from yoctovirt.build.kas.trace import Trace


def started(trace: Trace, recipe: str, task: str, time: float, pid: int = 1) -> None:
    trace.add(TaskEvent("started", recipe, "1", task, "/x.bb", "/log", time, pid))


def test_before_the_tasks() -> None:
    trace = Trace(started=0)
    assert head(trace) == "layers and bitbake's server"
    trace.add(Progress(1, "cache", 0, 100))
    assert head(trace) == "loading the cache of recipes 0 of 100"
    trace.add(Progress(2, "parse", 1200, 2915))
    assert head(trace) == "parsing recipes 1200 of 2915"
    trace.add(Parsed(3, 0, 2915, 80, 37, 0, 2915))
    assert head(trace) == "preparing the tasks"
    trace.add(Progress(4, "Initialising tasks", 42.6, None))
    assert head(trace) == "initialising tasks 43 %"


def test_while_tasks_run() -> None:
    trace = Trace(started=0)
    stats = Stats(total=11023, completed=3412, setscene_total=30, setscene_covered=20,
                  setscene_notcovered=5)  # fmt: skip
    trace.add(Queued(5, "queue-started", "a", "do_x", None, False, stats))
    started(trace, "a", "do_x", 10)
    assert (head(trace), rest(trace, None, None)) == (
        "tasks 3412 of 11023 (30 %)", "sstate 25 of 30, 1 running",
    )  # fmt: skip
    trace.add(SetsceneOver(6, stats))
    assert rest(trace, 3000, 41.7) == "about 50 min 00 s left, 1 running, 42 a minute"
    assert rest(trace, 3, None) == "1 running", "what is over at once is not announced"
    trace.add(TaskEvent("failed", "a", "1", "do_x", "/x.bb", "/log", 12, 1))
    assert head(trace).endswith(", 1 FAILED")


def test_running_tasks_with_their_age_the_oldest_first() -> None:
    trace = Trace(started=0)
    trace.add(Queued(5, "queue-started", "a", "do_x", None, False, Stats(total=100, completed=50)))
    for number in range(20):
        started(trace, f"recipe-{number}", "do_compile", 100 - number, pid=number)
    trace.add(TaskProgress(19, 45, None))
    trace.add(TaskProgress(18, -1, None))
    lines = board(trace, 200, "20 running")
    assert lines[0].strip() == f"{bar(50, 100)}  20 running"
    assert lines[1].split() == ["1", "min", "59", "s", "recipe-19", "do_compile", "45", "%"]
    assert lines[2].split()[-1] == "do_compile"
    assert lines[-1].strip() == "and 8 more"
    assert named(trace, 200).startswith("recipe-19:do_compile 1 min 59 s, ")
    assert named(trace, 200).endswith(", 17 more")


@pytest.mark.parametrize(("done", "filled"), [(0, 0), (1, 0), (50, 12), (99, 23), (100, 24)])
def test_the_bar(done: int, filled: int) -> None:
    drawn = bar(done, 100)
    assert len(drawn) == BAR
    assert len(drawn.rstrip("░-")) == filled


def test_the_rate_is_that_of_the_last_minutes() -> None:
    rate = Rate()
    assert rate.add(0, 0) is None
    assert rate.add(5, 100) is None
    assert rate.add(60, 120) == 120
    for second in range(65, 1000, 5):
        found = rate.add(second, 120 + second)
    assert found == pytest.approx(60, rel=0.05)


def test_each_piece_of_news_comes_once() -> None:
    trace = recorded("wrynose")
    news = News()
    lines = news.lines(trace)
    assert any("sstate has 51 of 53 wanted objects (0 of them on mirrors)" in x for x in lines)
    assert news.lines(trace) == []
    trace.done[0].task, trace.done[0].outcome = "do_compile", "failed"
    (failed,) = news.lines(trace)
    assert failed.startswith(f"FAILED  {trace.done[0].recipe}:do_compile after ")
    assert news.lines(trace) == []


def test_the_phases_are_news() -> None:
    trace, news, told = Trace(started=0), News(), []
    for second, text in ((3, "Loading cache...done."), (9, "Parsing of 1 .bb files complete"),
                         (10, SUMMARY), (11, "NOTE: Executing Tasks")):  # fmt: skip
        trace.line(text, second)
        told += news.lines(trace)
    trace.add(SetsceneOver(20, Stats(total=136, completed=130)))
    told += news.lines(trace)
    assert [line.split("  ")[-1] for line in told] == [
        "parsing recipes", "preparing the tasks",
        "sstate has 51 of 53 wanted objects (0 of them on mirrors), 0 are current",
        "taking from sstate what is there", "running tasks: 130 of 136 are done",
    ]  # fmt: skip
    assert told[0].split()[:2] == ["3", "s"]
