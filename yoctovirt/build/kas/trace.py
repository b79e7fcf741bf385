"""What is known of a build: phases, tasks, failures, gathered from bitbake's events."""

from __future__ import annotations

import re
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import singledispatchmethod
from typing import Any

from yoctovirt.build.kas.events import (
    BuildCompleted,
    BuildStarted,
    DiskFull,
    End,
    Event,
    Graph,
    Message,
    NoProvider,
    Parsed,
    Progress,
    Queued,
    SetsceneOver,
    Stats,
    TaskEvent,
    TaskProgress,
    Variables,
)

#: The phases of a build by kas, in their order.
PHASES = ("start", "parse", "prepare", "setscene", "tasks", "end")
#: What stands in a line of the output of kas and bitbake when a phase begins. kirkstone's
#: event log begins with BuildStarted: of the phases before only the output tells.
_MARKS = (
    ("Loading cache", "parse"),
    ("Parsing recipes", "parse"),
    ("Parsing of ", "prepare"),
    ("NOTE: Executing Tasks", "setscene"),
    ("NOTE: Tasks Summary", "end"),
)
#: The figures of that line of sstate.bbclass, in all releases; it stands anywhere in a line.
SSTATE_KEYS = (
    "wanted", "local", "mirrors", "missed", "current", "match_percent", "complete_percent",
)  # fmt: skip
_SSTATE = re.compile(
    r"Sstate summary: Wanted (\d+) Local (\d+) Mirrors (\d+) Missed (\d+) Current (\d+) "
    r"\((\d+)% match, (\d+)% complete\)"
)
#: So many warnings and errors are kept.
MAX_MESSAGES = 500


@dataclass
class Phase:
    """A part of the build; *end* is None while it goes on. Seconds since 1970."""

    name: str
    start: float
    end: float | None = None


@dataclass
class TaskRun:
    """A task that was run: one of *recipe* itself, or its setscene variant.

    *outcome* is ``running``, ``succeeded``, ``failed``, or ``cut`` where no end was seen.
    """

    recipe: str
    version: str
    task: str
    start: float
    file: str
    log: str | None
    pid: int
    end: float | None = None
    outcome: str = "running"
    percent: float | None = None  #: how far it is, where it tells

    @property
    def name(self) -> str:
        """``recipe:task``."""
        return f"{self.recipe}:{self.task}"

    @property
    def setscene(self) -> bool:
        """Whether it takes the output of a task from sstate."""
        return self.task.endswith("_setscene")

    @property
    def seconds(self) -> float:
        """How long it ran, 0 where no end was seen."""
        return max(0.0, self.end - self.start) if self.end is not None else 0.0

    def as_json(self) -> dict[str, Any]:
        """Return the line of ``tasks.jsonl``."""
        return {
            "recipe": self.recipe, "version": self.version, "task": self.task,
            "start": round(self.start, 3), "end": self.end and round(self.end, 3),
            "outcome": self.outcome, "file": self.file, "log": self.log,
        }  # fmt: skip


@dataclass
class Trace:
    """A build as far as it was seen. :meth:`add` takes events, :meth:`line` lines of output."""

    started: float = field(default_factory=time.time)
    phases: list[Phase] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)
    targets: tuple[str, ...] = ()
    graph: Graph | None = None
    parsed: Parsed | None = None
    progress: Progress | None = None  #: of what goes on before tasks are run
    stats: Stats = field(default_factory=Stats)
    running: dict[str, TaskRun] = field(default_factory=dict)
    done: list[TaskRun] = field(default_factory=list)
    #: ``existing`` (the stamp is current), ``covered`` (by sstate) -> number of tasks
    skipped: Counter[str] = field(default_factory=Counter)
    noexec: set[str] = field(default_factory=set)  #: tasks with nothing to run
    settled: set[str] = field(default_factory=set)  #: tasks with nothing left to do
    covered: set[str] = field(default_factory=set)  #: tasks whose output came from sstate
    messages: list[Message] = field(default_factory=list)
    missing: list[NoProvider] = field(default_factory=list)
    disk_full: list[DiskFull] = field(default_factory=list)
    sstate: dict[str, int] = field(default_factory=dict)  #: bitbake's "Sstate summary"
    completed: BuildCompleted | None = None
    log_end: End | None = None

    def __post_init__(self) -> None:
        self.phases.append(Phase("start", self.started))

    @property
    def phase(self) -> str:
        """The name of the phase that goes on."""
        return self.phases[-1].name

    @property
    def failed(self) -> list[TaskRun]:
        """The tasks that failed the build: recipe, task, log (a setscene task never does)."""
        return [task for task in self.done if task.outcome == "failed" and not task.setscene]

    def enter(self, name: str, now: float) -> None:
        """Begin the phase *name*, unless it or a later one has begun."""
        if PHASES.index(name) > PHASES.index(self.phase):
            self.phases[-1].end = max(now, self.phases[-1].start)
            self.phases.append(Phase(name, self.phases[-1].end))

    def line(self, text: str, now: float) -> None:
        """Take a line of the output of kas."""
        for mark, phase in _MARKS:
            if mark in text:
                self.enter(phase, now)
        match = _SSTATE.search(text)
        if match:
            self.sstate = {
                name: int(value) for name, value in zip(SSTATE_KEYS, match.groups(), strict=True)
            }

    def finish(self, now: float) -> None:
        """Close what is open: kas has ended."""
        self.phases[-1].end = max(now, self.phases[-1].start)
        for task in self.running.values():
            task.outcome = "cut"
            self.done.append(task)
        self.running.clear()

    @singledispatchmethod
    def add(self, event: Event) -> None:
        """Take an event."""
        raise TypeError(event)

    @add.register
    def _(self, event: Variables) -> None:
        self.variables = event.values

    @add.register
    def _(self, event: Progress) -> None:
        self.progress = event
        self.enter("parse" if event.what in ("cache", "parse") else "prepare", event.seen)

    @add.register
    def _(self, event: Parsed) -> None:
        self.parsed = event
        self.progress = None
        self.enter("prepare", event.seen)

    @add.register
    def _(self, event: BuildStarted) -> None:
        self.targets = event.targets
        self.progress = None
        self.enter("prepare", event.seen)

    @add.register
    def _(self, event: Graph) -> None:
        self.graph = event
        self.progress = None

    @add.register
    def _(self, event: Queued) -> None:
        self.stats = event.stats
        name = f"{event.recipe}:{event.task}"
        if event.kind.startswith("setscene"):
            self.enter("setscene", event.seen)
            if event.kind == "setscene-completed":
                self.covered.add(name.removesuffix("_setscene"))
            return
        if event.kind == "queue-skipped":
            self.skipped[event.reason or "skipped"] += 1
        elif event.kind == "queue-started":
            self.enter("setscene", event.seen)
            if event.noexec:
                self.noexec.add(name)
            return
        self.settled.add(name)

    @add.register
    def _(self, event: SetsceneOver) -> None:
        self.stats = event.stats
        self.enter("tasks", event.seen)

    @add.register
    def _(self, event: TaskEvent) -> None:
        name = f"{event.recipe}:{event.task}"
        task = self.running.pop(name, None)
        if task is None:
            task = TaskRun(
                event.recipe, event.version, event.task, event.time, event.file, event.log,
                event.pid,
            )  # fmt: skip
        if event.kind == "started":
            self.running[name] = task
            return
        task.end, task.outcome = event.time, event.kind
        task.log = event.log or task.log
        self.done.append(task)

    @add.register
    def _(self, event: TaskProgress) -> None:
        for task in self.running.values():
            if task.pid == event.pid:
                task.percent = event.percent if event.percent >= 0 else None

    @add.register
    def _(self, event: Message) -> None:
        if len(self.messages) < MAX_MESSAGES:
            self.messages.append(event)

    @add.register
    def _(self, event: NoProvider) -> None:
        self.missing.append(event)

    @add.register
    def _(self, event: DiskFull) -> None:
        self.disk_full.append(event)

    @add.register
    def _(self, event: BuildCompleted) -> None:
        self.completed = event
        self.enter("end", event.seen)

    @add.register
    def _(self, event: End) -> None:
        self.log_end = event
