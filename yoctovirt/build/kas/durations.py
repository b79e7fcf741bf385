"""How long tasks took in earlier builds of a workspace, and how long a build will still take."""

from __future__ import annotations

import heapq
import json
import time
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import suppress
from pathlib import Path

from yoctovirt.base.files import Lock, write_atomically
from yoctovirt.build.kas.events import Graph
from yoctovirt.build.kas.trace import Trace

FILE = "task-times.json"
VERSION = 1
#: How much a new time counts against those before it.
WEIGHT = 0.5
#: Seconds between two estimates; an estimate takes at most this share of one core.
PERIOD, SHARE = 5.0, 0.005
#: An estimate is shown where this share of the tasks is over, or of them known from before.
ENOUGH_DONE, ENOUGH_KNOWN = 0.1, 0.5


class Durations:
    """Seconds of each ``recipe:task``, from a file that all builds of a workspace share.

    A file that is damaged or of another version counts as empty: it only helps to guess.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seconds = self._load()

    def _load(self) -> dict[str, float]:
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            data = json.loads(self.path.read_text(encoding="utf-8"))
            if isinstance(data, dict) and data.get("version") == VERSION:
                return {str(key): float(value) for key, value in data["tasks"].items()}
        return {}

    def merge(self, seen: Mapping[str, float]) -> None:
        """Let *seen* count, and write the file: two builds that end at once are both kept.

        Raises InfrastructureError where the disk is full.
        """
        if not seen:
            return
        lock = Lock(self.path.with_name(f".{self.path.name}.lock"))
        lock.acquire(wait=True)
        try:
            known = self._load()
            for name, seconds in seen.items():
                old = known.get(name)
                known[name] = round(seconds if old is None else old + WEIGHT * (seconds - old), 2)
            text = json.dumps({"version": VERSION, "tasks": known}, indent=0, sort_keys=True)
            write_atomically(self.path, text + "\n")
            self.seconds = known
        finally:
            lock.release()


def learned(trace: Trace) -> dict[str, float]:
    """Return what a build tells about its tasks: those that succeeded, and those with no work."""
    seen = dict.fromkeys(trace.noexec, 0.0)
    seen.update({task.name: task.seconds for task in trace.done if task.outcome == "succeeded"})
    return seen


class Estimate:
    """How many seconds a running build will still take.

    Its task graph is played through on as many threads as bitbake has, with the times of
    earlier builds (scaled by how this build compares with them); a task that was never seen
    takes as long as others of its name took.
    """

    def __init__(self, durations: Durations) -> None:
        self._known = durations.seconds
        self._by_task = _means(durations.seconds)
        self._next = 0.0
        self._value: float | None = None
        self._at = 0.0

    def remaining(self, trace: Trace, now: float) -> float | None:
        """Return the seconds that are left at *now*, None where nothing can be said."""
        if trace.graph is None or trace.phase != "tasks":
            return None
        if now >= self._next:
            begun = time.perf_counter()
            self._value, self._at = self._compute(trace, trace.graph, now), now
            self._next = now + max(PERIOD, (time.perf_counter() - begun) / SHARE)
        return None if self._value is None else max(0.0, self._value - (now - self._at))

    def _compute(self, trace: Trace, graph: Graph, now: float) -> float | None:
        here = _means({task.name: task.seconds for task in trace.done if not task.setscene})
        done = sum(task.seconds for task in trace.done if task.name in self._known)
        expected = sum(self._known[task.name] for task in trace.done if task.name in self._known)
        factor = min(3.0, max(0.33, done / expected)) if expected > 10 else 1.0
        wanted = _wanted(graph, trace.covered)
        todo = [i for i, name in enumerate(graph.tasks) if name not in trace.settled]
        known = 0
        costs: dict[int, float] = {}
        for i in todo:
            name = graph.tasks[i]
            task = name.rpartition(":")[2]
            cost = self._known.get(name)
            if i not in wanted:
                cost = 0.0
            known += cost is not None
            if cost is None:
                cost = here.get(task, self._by_task.get(task, here.get("", 0.0)))
            else:
                cost *= factor
            running = trace.running.get(name)
            if running is not None:
                cost = max(0.1 * cost, cost - (now - running.start))
            costs[i] = cost
        finished = len(graph.tasks) - len(todo)
        if finished < ENOUGH_DONE * len(graph.tasks) and known < ENOUGH_KNOWN * len(todo):
            return None
        threads = max(1, int(trace.variables.get("BB_NUMBER_THREADS") or 1))
        active = {i for i in todo if graph.tasks[i] in trace.running}
        return play(graph.needs, costs, threads, active.__contains__)


def _wanted(graph: Graph, covered: Set[str]) -> set[int]:
    """Return the tasks that must be run: what sstate gave (*covered*) is not built.

    Nor is what only such tasks need.
    """
    used = {need for needs in graph.needs for need in needs}
    todo = [i for i in range(len(graph.tasks)) if i not in used]
    wanted: set[int] = set()
    while todo:
        i = todo.pop()
        if i not in wanted and graph.tasks[i] not in covered:
            wanted.add(i)
            todo += graph.needs[i]
    return wanted


def _means(seconds: Mapping[str, float]) -> dict[str, float]:
    """Return the mean by the name of the task, and that of all as the empty name."""
    sums: dict[str, tuple[float, int]] = {}
    for name, value in seconds.items():
        for key in (name.rpartition(":")[2], ""):
            total, count = sums.get(key, (0.0, 0))
            sums[key] = (total + value, count + 1)
    return {key: total / count for key, (total, count) in sums.items()}


def play(
    needs: Sequence[Sequence[int]],
    costs: Mapping[int, float],
    threads: int,
    active: Callable[[int], bool] = lambda _: False,
) -> float:
    """Return the seconds that the tasks of *costs* take on *threads*, the longest way first.

    Tasks that are not in *costs* are over; those that are *active* have a thread already.
    """
    waiting = {i: sum(need in costs for need in needs[i]) for i in costs}
    users: dict[int, list[int]] = {}
    for i in costs:
        for need in needs[i]:
            if need in costs:
                users.setdefault(need, []).append(i)
    tail = _tails(costs, waiting, users)
    ready = [(not active(i), -tail[i], i) for i, count in waiting.items() if count == 0]
    heapq.heapify(ready)
    running: list[tuple[float, int]] = []
    now = 0.0
    while ready or running:
        while ready and len(running) < threads:
            i = heapq.heappop(ready)[2]
            heapq.heappush(running, (now + costs[i], i))
        now, i = heapq.heappop(running)
        for user in users.get(i, ()):
            waiting[user] -= 1
            if waiting[user] == 0:
                heapq.heappush(ready, (True, -tail[user], user))
    return now


def _tails(
    costs: Mapping[int, float], waiting: Mapping[int, int], users: Mapping[int, list[int]]
) -> dict[int, float]:
    """Return for each task the time from its start to the end of the last that needs it."""
    left = dict(waiting)
    order = [i for i, count in left.items() if count == 0]
    for i in order:  # grows while it is walked through
        for user in users.get(i, ()):
            left[user] -= 1
            if left[user] == 0:
                order.append(user)
    tail: dict[int, float] = {}
    for i in reversed(order):
        tail[i] = costs[i] + max((tail[user] for user in users.get(i, ())), default=0.0)
    return tail
