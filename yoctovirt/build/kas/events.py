"""Events of bitbake, typed, from the JSON lines of :mod:`yoctovirt.build.kas.eventreader`."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yoctovirt.base.process import CommandLog
from yoctovirt.build.kas.user import BuildUser

_READER = Path(__file__).with_name("eventreader.py")
#: Seconds that the reader has to read what is left after the build.
DRAIN_SECONDS = 60.0


@dataclass(frozen=True)
class Variables:
    """What the configuration says: ``BB_NUMBER_THREADS``, ``TMPDIR``, ``BUILDNAME``."""

    values: dict[str, str]


@dataclass(frozen=True)
class Progress:
    """How far something is that bitbake does before it runs tasks.

    *what* is ``cache``, ``parse``, or bitbake's own words (``Initialising tasks``, which is
    in percent: *total* is None then).
    """

    seen: float
    what: str
    current: float
    total: int | None


@dataclass(frozen=True)
class Parsed:
    """The recipes are known (bb.event.ParseCompleted)."""

    seen: float
    cached: int
    parsed: int
    skipped: int
    masked: int
    errors: int
    total: int


@dataclass(frozen=True)
class BuildStarted:
    """bitbake begins with these targets."""

    seen: float
    targets: tuple[str, ...]


@dataclass(frozen=True)
class Graph:
    """All tasks of the build as ``recipe:task``; ``needs[i]`` are those that task i waits for."""

    tasks: tuple[str, ...]
    needs: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Stats:
    """The counters of the run queue (bb.runqueue.RunQueueStats).

    *completed* holds failed ones not, and skipped ones yes.
    """

    total: int = 0
    completed: int = 0
    skipped: int = 0
    failed: int = 0
    active: int = 0
    setscene_total: int = 0
    setscene_covered: int = 0
    setscene_notcovered: int = 0
    setscene_active: int = 0


@dataclass(frozen=True)
class Queued:
    """The run queue has done something with a task.

    *kind* is ``queue-`` or ``setscene-``, and ``started``, ``skipped`` (*reason* says why:
    ``existing``, ``covered``), ``completed`` or ``failed``. A *noexec* task has nothing to run.
    """

    seen: float
    kind: str
    recipe: str
    task: str
    reason: str | None
    noexec: bool
    stats: Stats


@dataclass(frozen=True)
class SetsceneOver:
    """All is taken from sstate that will be."""

    seen: float
    stats: Stats


@dataclass(frozen=True)
class TaskEvent:
    """A task (``do_x`` or ``do_x_setscene``) has ``started``, ``succeeded`` or ``failed``.

    *recipe* is PN, *version* PV, *file* the path of the recipe, *log* that of the task's log,
    *time* bitbake's own time of it, in seconds since 1970.
    """

    kind: str
    recipe: str
    version: str
    task: str
    file: str
    log: str | None
    time: float
    pid: int


@dataclass(frozen=True)
class TaskProgress:
    """How far the task of process *pid* is: 0 to 100, below 0 where it is not known."""

    pid: int
    percent: float
    rate: str | None


@dataclass(frozen=True)
class Message:
    """A warning (level 30) or an error (40 and more) of bitbake."""

    level: int
    text: str
    time: float


@dataclass(frozen=True)
class NoProvider:
    """Nothing provides *item*; *near* are names like it."""

    item: str
    runtime: bool
    wanted_by: tuple[str, ...]
    reasons: tuple[str, ...]
    near: tuple[str, ...]


@dataclass(frozen=True)
class DiskFull:
    """bitbake's disk monitor (BB_DISKMON_DIRS) stops the build."""

    device: str
    folder: str


@dataclass(frozen=True)
class BuildCompleted:
    """bitbake has ended; *failures* tasks failed."""

    seen: float
    total: int
    failures: int


@dataclass(frozen=True)
class End:
    """The log is read: how many events it had, and how many could not be read."""

    events: int
    damaged: int
    too_long: int
    cut_bytes: int


Event = (
    Variables | Progress | Parsed | BuildStarted | Graph | Queued | SetsceneOver | TaskEvent
    | TaskProgress | Message | NoProvider | DiskFull | BuildCompleted | End
)  # fmt: skip


def _strings(data: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}


def _with_stats(data: dict[str, Any]) -> dict[str, Any]:
    known = {key: value for key, value in data["stats"].items() if key in _STATS}
    return {**data, "stats": Stats(**known)}


_STATS = frozenset(Stats.__dataclass_fields__)
_MAKERS: dict[str, Callable[[dict[str, Any]], Event]] = {
    "variables": lambda data: Variables(data["values"]),
    "progress": lambda data: Progress(**data),
    "parsed": lambda data: Parsed(**data),
    "build-started": lambda data: BuildStarted(**_strings(data)),
    "graph": lambda data: Graph(tuple(data["tasks"]), tuple(map(tuple, data["needs"]))),
    "setscene-over": lambda data: SetsceneOver(**_with_stats(data)),
    "task-progress": lambda data: TaskProgress(data["pid"], data["percent"], data["rate"]),
    "message": lambda data: Message(data["level"], data["text"], data["time"]),
    "no-provider": lambda data: NoProvider(**_strings(_unseen(data))),
    "disk-full": lambda data: DiskFull(data["device"], data["folder"]),
    "build-completed": lambda data: BuildCompleted(**data),
    "end": lambda data: End(**_unseen(data)),
}


def _unseen(data: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if key != "seen"}


def parse_event(line: str | bytes) -> Event | None:
    """Return the event of a line of the reader; None for a kind that is not known.

    Raises ValueError, KeyError, TypeError or AttributeError for a line of somebody else.
    """
    data = json.loads(line)
    kind = data.pop("event")
    if kind in ("task-started", "task-succeeded", "task-failed"):
        data.update(kind=kind.removeprefix("task-"), time=float(data["time"]))
        return TaskEvent(**_unseen(data))
    if kind.startswith(("queue-", "setscene-")) and kind != "setscene-over":
        return Queued(kind=kind, **_with_stats(data))
    make = _MAKERS.get(kind)
    return make(data) if make else None


class EventReader:
    """The process that reads an event log, and what it has found so far.

    It runs as the build user, ends when we end, and is never waited for: :meth:`read` takes
    what is there.
    """

    def __init__(self, path: Path, user: BuildUser, log: CommandLog) -> None:
        argv = user.argv([sys.executable, "-I", "-S", str(_READER), str(path)])
        log.note(argv)
        self._process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={},
            # The terminal's Ctrl-C is for bitbake; the reader ends when we close its input.
            start_new_session=True,
        )
        self.pid = self._process.pid
        assert self._process.stdout is not None
        self._out = self._process.stdout.fileno()
        os.set_blocking(self._out, False)
        self._rest = b""
        #: Lines that were no event: a reader that was killed leaves one, a bug more.
        self.unreadable = 0

    def read(self) -> list[Event]:
        """Return the events that have come since the last call; do not wait for any."""
        events: list[Event] = []
        while block := self._block():
            *lines, self._rest = (self._rest + block).split(b"\n")
            for line in lines:
                try:
                    event = parse_event(line)
                except (ValueError, KeyError, TypeError, AttributeError):
                    self.unreadable += 1
                    continue
                if event is not None:
                    events.append(event)
        return events

    def _block(self) -> bytes:
        with suppress(BlockingIOError):
            return os.read(self._out, 1 << 18)
        return b""

    def finish(self, seconds: float = DRAIN_SECONDS) -> list[Event]:
        """Let the reader come to the end of the log; return the events that were left.

        A reader that does not get there in *seconds* is stopped.
        """
        events: list[Event] = []
        end = time.monotonic() + seconds
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        with selectors.DefaultSelector() as selector:
            selector.register(self._out, selectors.EVENT_READ)
            while self._process.poll() is None and time.monotonic() < end:
                selector.select(0.05)
                events += self.read()
        events += self.read()
        self.stop()
        return events

    def stop(self) -> None:
        """Stop the reader at once; nothing happens where it has ended."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()
