"""Which tasks held a build up: the way back from its last task along real dependencies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from yoctovirt.build.kas.events import Graph
from yoctovirt.build.kas.trace import TaskRun


@dataclass(frozen=True)
class Step:
    """A task on that way, and how long it stood before it was run.

    *waited* is the time from the end of the task before it (of all that it needs the last to
    end) to its own start: with all threads busy, a task waits for one.
    """

    task: TaskRun
    waited: float

    def as_json(self) -> dict[str, Any]:
        """Return the step for build.json, times in seconds."""
        return {
            "recipe": self.task.recipe, "task": self.task.task,
            "start": round(self.task.start, 3), "seconds": round(self.task.seconds, 3),
            "waited": round(self.waited, 3),
        }  # fmt: skip


def critical_path(graph: Graph, tasks: Sequence[TaskRun], begin: float) -> list[Step]:
    """Return the tasks that each ended last of what the next one needed, first task first.

    *begin* is when the first task could be run. Tasks that had nothing to run (their stamp
    was current, sstate covers them) are passed through to what they need themselves.
    """
    ran = {task.name: task for task in tasks if task.end is not None}
    last = max(ran.values(), key=lambda task: task.end or 0.0, default=None)
    if last is None:
        return []
    places = {name: place for place, name in enumerate(graph.tasks)}
    before: dict[int, TaskRun | None] = {}
    steps: list[Step] = []
    task: TaskRun | None = last
    seen: set[str] = set()
    while task is not None and task.name not in seen:
        seen.add(task.name)
        place = places.get(task.name)
        # A setscene task needs no other one.
        found = None if place is None else _last_before(graph, ran, place, before)
        since = begin if found is None or found.end is None else found.end
        steps.append(Step(task, max(0.0, task.start - since)))
        task = found
    return steps[::-1]


def _last_before(
    graph: Graph, ran: dict[str, TaskRun], place: int, known: dict[int, TaskRun | None]
) -> TaskRun | None:
    """Return the task that ended last of all that the one at *place* needed."""
    # Not recursive: such a chain is longer than Python's stack.
    todo = [place]
    open_: set[int] = set()
    while todo:
        here = todo[-1]
        if here in known:
            todo.pop()
            continue
        through = [n for n in graph.needs[here] if _run_of(graph, ran, n) is None]
        missing = [n for n in through if n not in known and n not in open_]
        if missing and here not in open_:
            open_.add(here)
            todo += missing
            continue
        found = [_run_of(graph, ran, n) or known.get(n) for n in graph.needs[here]]
        known[here] = max(
            (task for task in found if task is not None), key=lambda t: t.end or 0.0, default=None
        )
        todo.pop()
    return known[place]


def _run_of(graph: Graph, ran: dict[str, TaskRun], place: int) -> TaskRun | None:
    """Return what was run for a task: the task itself, or its setscene variant."""
    name = graph.tasks[place]
    return ran.get(name) or ran.get(f"{name}_setscene")
