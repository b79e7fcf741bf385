"""A running build in words: a line for a log, a few more for a terminal."""

from __future__ import annotations

import sys
from collections import deque

from yoctovirt.base.screen import human_seconds
from yoctovirt.build.kas.trace import TaskRun, Trace

#: So many running tasks are named on a terminal, and in a line of a log.
SHOWN, NAMED = 12, 3
BAR = 24
#: The rate is that of the last so many seconds.
RATE_SECONDS = 300.0
_WORDS = {"cache": "loading the cache of recipes", "parse": "parsing recipes"}


class Rate:
    """Tasks a minute."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, int]] = deque()

    def add(self, now: float, completed: int) -> float | None:
        """Take the number of tasks that are over; return the rate, None in the first seconds."""
        if not self._points or now - self._points[-1][0] >= 5:
            self._points.append((now, completed))
        while len(self._points) > 2 and now - self._points[0][0] > RATE_SECONDS:
            self._points.popleft()
        begun, before = self._points[0]
        return 60 * (completed - before) / (now - begun) if now - begun >= 10 else None


def head(trace: Trace) -> str:
    """Return how far the build is, in a few words."""
    stats, progress = trace.stats, trace.progress
    if trace.phase in ("start", "parse", "prepare"):
        words = {"start": "layers and bitbake's server", "parse": "parsing recipes"}
        text = words.get(trace.phase, "preparing the tasks")
        if progress is not None:
            text = _WORDS.get(progress.what, progress.what.lower())
            if progress.total:
                text += f" {progress.current:.0f} of {progress.total}"
            elif progress.what not in _WORDS:
                text += f" {progress.current:.0f} %"
        return text
    if trace.phase == "end":
        return "bitbake writes its caches"
    share = 100 * stats.completed // stats.total if stats.total else 0
    text = f"tasks {stats.completed} of {stats.total} ({share} %)"
    failed = len(trace.failed)
    return f"{text}, {failed} FAILED" if failed else text


def rest(trace: Trace, left: float | None, rate: float | None) -> str:
    """Return what else there is to say while tasks run; *left* is the estimate in seconds."""
    if trace.phase not in ("setscene", "tasks"):
        return ""
    # What matters most comes first: a narrow terminal shows the begin of it.
    parts = []
    if left is not None and left >= 5:
        parts.append(f"about {human_seconds(left)} left")
    stats = trace.stats
    if trace.phase == "setscene" and stats.setscene_total:
        settled = stats.setscene_covered + stats.setscene_notcovered
        parts.append(f"sstate {settled} of {stats.setscene_total}")
    parts.append(f"{len(trace.running)} running")
    if rate is not None:
        parts.append(f"{rate:.0f} a minute")
    return ", ".join(parts)


def named(trace: Trace, now: float) -> str:
    """Return the tasks that have run longest, for a line of a log."""
    tasks = _oldest(trace)[:NAMED]
    more = len(trace.running) - len(tasks)
    names = [f"{task.name} {human_seconds(now - task.start)}" for task in tasks]
    return ", ".join([*names, *([f"{more} more"] if more else [])])


def board(trace: Trace, now: float, more: str) -> list[str]:
    """Return the lines below the first for a terminal: a bar with *more*, what runs how long."""
    if not trace.stats.total or trace.phase == "end":
        return []
    tasks = _oldest(trace)
    width = max((len(task.recipe) for task in tasks[:SHOWN]), default=0)
    lines = [f"    {bar(trace.stats.completed, trace.stats.total)}  {more}".rstrip()]
    for task in tasks[:SHOWN]:
        percent = f"  {task.percent:.0f} %" if task.percent is not None else ""
        age = human_seconds(now - task.start)
        lines.append(f"    {age:>12}  {task.recipe:{width}}  {task.task}{percent}")
    if len(tasks) > SHOWN:
        lines.append(f"    {'':12}  and {len(tasks) - SHOWN} more")
    return lines


def bar(done: int, total: int) -> str:
    """Return a bar, of ASCII where the terminal knows no more."""
    full, empty = "█░" if "utf" in (sys.stderr.encoding or "").lower() else "#-"
    filled = BAR * done // total if total else 0
    return full * filled + empty * (BAR - filled)


def _oldest(trace: Trace) -> list[TaskRun]:
    return sorted(trace.running.values(), key=lambda task: task.start)


class News:
    """What is worth a line of its own, each thing once."""

    def __init__(self) -> None:
        self._phase = "start"
        self._failed = 0
        self._sstate: dict[str, int] = {}

    def lines(self, trace: Trace) -> list[str]:
        """Return the news since the last call."""
        news = []
        failed = trace.failed
        for task in failed[self._failed :]:
            news.append(f"FAILED  {task.name} after {human_seconds(task.seconds)}")
        self._failed = len(failed)
        if trace.sstate != self._sstate:
            self._sstate = trace.sstate
            news.append(f"{'':12}  {sstate_words(trace.sstate)}")
        if trace.phase != self._phase:
            self._phase = trace.phase
            text = self._entered(trace)
            if text:
                news.append(f"{human_seconds(trace.phases[-1].start - trace.started):>12}  {text}")
        return news

    def _entered(self, trace: Trace) -> str:
        parsed = trace.parsed
        if trace.phase == "parse":
            return "parsing recipes"
        if trace.phase == "prepare":
            told = ""
            if parsed is not None:
                told = f" ({parsed.total} recipes, {parsed.parsed} parsed, {parsed.errors} errors)"
            return f"preparing the tasks{told}"
        if trace.phase == "setscene":
            return "taking from sstate what is there"
        if trace.phase == "tasks":
            return f"running tasks: {trace.stats.completed} of {trace.stats.total} are done"
        return ""


def sstate_words(sstate: dict[str, int]) -> str:
    """Return bitbake's summary of sstate in words."""
    found = sstate["local"] + sstate["mirrors"]
    return (
        f"sstate has {found} of {sstate['wanted']} wanted objects ({sstate['mirrors']} of them on "
        f"mirrors), {sstate['current']} are current"
    )
