"""Read the event log that ``bitbake -w FILE`` writes, and print what matters as JSON lines.

A program of its own, started as ``python -I -S eventreader.py FILE``: nothing else of
yoctovirt ever unpickles anything. The log holds pickles of bitbake's objects. They are
taken apart without bitbake: whatever class or function a pickle names becomes an inert
object that only keeps its attributes, so that no code is imported or called for it, and
one reader serves the bitbake of every release (2.0 to 2.18 were tried).

It follows FILE while it grows, also where FILE comes late (kirkstone writes nothing before
BuildStarted) or is begun again; it ends when its standard input is closed and all is read.
A line that cannot be read is counted, never an error: the last one of a bitbake that was
killed is cut in the middle. The last line printed is ``{"event": "end", ...}``.
"""

import base64
import io
import json
import os
import pickle
import re
import resource
import select
import sys
import time
from collections.abc import Callable
from typing import Any

#: Seconds between two looks at the file.
PERIOD = 0.5
#: A longer line is left out: all variables are 2 MB, the graph of 11 000 tasks is 6 MB.
LINE_BYTES = 64 << 20
#: Address space, so that a damaged pickle cannot take the memory of the host.
MEMORY_BYTES = 1 << 30
TEXT_CHARACTERS = 4000
#: Variables of the configuration that are passed on.
VARIABLES = (
    "BB_NUMBER_THREADS", "BB_VERSION", "BUILDNAME", "BUILDSTATS_BASE", "DISTRO", "DL_DIR",
    "MACHINE", "PARALLEL_MAKE", "SSTATE_DIR", "TMPDIR",
)  # fmt: skip
_CLASS = re.compile(rb'\{"class": "([\w.]+)"')


class Inert(dict[str, Any]):
    """What stands for any object of a pickle: it keeps attributes, and does nothing."""

    def __init__(self, *args: Any, **_keywords: Any) -> None:
        super().__init__()
        self.args = args

    def __setstate__(self, state: Any) -> None:
        parts = state if isinstance(state, tuple) else (state,)
        for part in parts:
            if isinstance(part, dict):
                self.__dict__.update({str(key): value for key, value in part.items()})

    def append(self, _item: Any) -> None:
        """Take an item of a list, and drop it."""

    extend = add = append

    def __hash__(self) -> int:  # type: ignore[override]
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other


class InertUnpickler(pickle.Unpickler):
    """An unpickler that finds no class and no function at all."""

    def find_class(self, _module: str, _name: str) -> type[Inert]:
        """Return the inert class, whatever was asked for."""
        return Inert


class Reader:
    """From lines of the log to what is printed."""

    def __init__(self, emit: Callable[..., None]) -> None:
        self._emit = emit
        #: path of a recipe, with its variant -> PN
        self._recipes: dict[str, str] = {}
        self.counts = {"events": 0, "damaged": 0, "too_long": 0}

    def line(self, line: bytes) -> None:
        """Take one line of the log."""
        self.counts["events"] += 1
        try:
            if line.startswith(b'{"allvariables"'):
                self._variables(json.loads(line)["allvariables"])
                return
            match = _CLASS.match(line)
            known = _KINDS.get(match[1].decode()) if match else None
            if known is not None:
                pickled = base64.b64decode(json.loads(line)["vars"])
                known(self, InertUnpickler(io.BytesIO(pickled)).load())
            elif match is None:
                self.counts["damaged"] += 1
        except Exception:  # whatever a damaged pickle may cause
            self.counts["damaged"] += 1

    def _variables(self, found: dict[str, Any]) -> None:
        values = {name: found[name].get("v") for name in VARIABLES if name in found}
        self._emit("variables", values={k: str(v) for k, v in values.items() if v is not None})

    def _name(self, event: Any) -> str:
        """Return PN, with ``mc:<config>:`` before it, for an event of the run queue."""
        path = event.taskid.rpartition(":")[0]
        name: str = path.rpartition("/")[2].partition("_")[0].removesuffix(".bb")
        return self._recipes.get(path, name)

    def _task(self, kind: str, event: Any) -> None:
        multi = getattr(event, "_mc", None) or "default"
        prefix = "" if multi == "default" else f"mc:{multi}:"
        self._emit(
            kind, recipe=prefix + event.pn, version=event.pv, task=event._task,
            file=os.path.normpath(event.taskfile), log=event.logfile, time=event.time,
            pid=event.pid,
        )  # fmt: skip

    def _started(self, event: Any) -> None:
        self._recipes.setdefault(event._fn, event.pn)
        self._task("task-started", event)

    def _succeeded(self, event: Any) -> None:
        self._task("task-succeeded", event)

    def _failed(self, event: Any) -> None:
        self._task("task-failed", event)

    def _task_progress(self, event: Any) -> None:
        self._emit("task-progress", pid=event.pid, percent=event.progress, rate=event.rate)

    def _queue(self, kind: str, event: Any) -> None:
        self._emit(
            kind, recipe=self._name(event), task=event.taskname,
            reason=getattr(event, "reason", None), noexec=getattr(event, "noexec", False),
            stats=_stats(event.stats),
        )  # fmt: skip

    def _depends(self, event: Any) -> None:
        """Pass the task graph on: names, and for each task the places of what it waits for."""
        graph = event._depgraph
        for recipe, about in graph["pn"].items():
            self._recipes[about["filename"]] = recipe
        places: dict[str, int] = {}
        for task, needed in graph["tdepends"].items():
            for name in (task, *needed):
                places.setdefault(name, len(places))
        edges: list[list[int]] = [[] for _ in places]
        for task, needed in graph["tdepends"].items():
            edges[places[task]] = [places[name] for name in needed]
        names = [":".join(name.rsplit(".", 1)) for name in places]
        self._emit("graph", tasks=names, needs=edges)

    def _process(self, event: Any) -> None:
        current = getattr(event, "progress", 0)
        total = getattr(event, "total", None)
        self._emit("progress", what=event.processname, current=current, total=total)

    def _process_over(self, event: Any) -> None:
        self._emit("progress-over", what=event.processname)

    def _parsed(self, event: Any) -> None:
        keys = ("cached", "parsed", "skipped", "masked", "errors", "total")
        self._emit("parsed", **{key: getattr(event, key) for key in keys})

    def _message(self, record: Any) -> None:
        if record.levelno < 30:
            return
        # bitbake formats before it sends; arguments that are left belong into the text.
        text = str(record.msg)
        if isinstance(record.__dict__.get("args"), tuple) and record.args:
            try:
                text %= record.args
            except (TypeError, ValueError):
                text = f"{text} {record.args}"
        self._emit(
            "message", level=record.levelno, text=text[:TEXT_CHARACTERS], time=record.created
        )

    def _no_provider(self, event: Any) -> None:
        self._emit(
            "no-provider", item=event._item, runtime=bool(event._runtime),
            wanted_by=_strings(event._dependees), reasons=_strings(event._reasons),
            near=_strings(event._close_matches),
        )  # fmt: skip

    def _build_started(self, event: Any) -> None:
        self._emit("build-started", targets=_strings(event._pkgs))

    def _build_completed(self, event: Any) -> None:
        self._emit("build-completed", total=event.total, failures=event._failures)

    def _scene_over(self, event: Any) -> None:
        self._emit("setscene-over", stats=_stats(event.stats))

    def _disk_full(self, event: Any) -> None:
        self._emit("disk-full", device=str(event._dev), folder=str(event._mountpoint))


Kind = Callable[["Reader", Any], None]


def _strings(values: Any) -> list[str]:
    return [str(value) for value in values or ()]


def _stats(stats: Any) -> dict[str, int]:
    return {key: value for key, value in vars(stats).items() if isinstance(value, int)}


def _in_queue(kind: str) -> Kind:
    return lambda reader, event: reader._queue(kind, event)


def _in_progress(what: str) -> Kind:
    return lambda reader, event: reader._emit(
        "progress", what=what, current=getattr(event, "current", 0), total=event.total
    )


#: Which classes are looked at; all others are passed over without being unpickled.
_KINDS: dict[str, Kind] = {
    "bb.build.TaskStarted": Reader._started,
    "bb.build.TaskSucceeded": Reader._succeeded,
    "bb.build.TaskFailed": Reader._failed,
    "bb.build.TaskFailedSilent": Reader._failed,
    "bb.build.TaskProgress": Reader._task_progress,
    "bb.runqueue.runQueueTaskStarted": _in_queue("queue-started"),
    "bb.runqueue.runQueueTaskSkipped": _in_queue("queue-skipped"),
    "bb.runqueue.runQueueTaskCompleted": _in_queue("queue-completed"),
    "bb.runqueue.runQueueTaskFailed": _in_queue("queue-failed"),
    "bb.runqueue.sceneQueueTaskStarted": _in_queue("setscene-started"),
    "bb.runqueue.sceneQueueTaskCompleted": _in_queue("setscene-completed"),
    "bb.runqueue.sceneQueueTaskFailed": _in_queue("setscene-failed"),
    "bb.runqueue.sceneQueueComplete": Reader._scene_over,
    "bb.event.DepTreeGenerated": Reader._depends,
    "bb.event.CacheLoadStarted": _in_progress("cache"),
    "bb.event.CacheLoadProgress": _in_progress("cache"),
    "bb.event.ParseStarted": _in_progress("parse"),
    "bb.event.ParseProgress": _in_progress("parse"),
    "bb.event.ParseCompleted": Reader._parsed,
    "bb.event.ProcessStarted": Reader._process,
    "bb.event.ProcessProgress": Reader._process,
    "bb.event.ProcessFinished": Reader._process_over,
    "bb.event.BuildStarted": Reader._build_started,
    "bb.event.BuildCompleted": Reader._build_completed,
    "bb.event.DiskFull": Reader._disk_full,
    "bb.event.NoProvider": Reader._no_provider,
    "logging.LogRecord": Reader._message,
}


class Tail:
    """The lines of a growing file, one look at a time."""

    def __init__(self, path: str, reader: Reader) -> None:
        self._path, self._reader = path, reader
        self._fd: int | None = None
        self._inode = 0
        self._offset = 0
        self._rest = bytearray()
        self._skipping = False

    def look(self) -> None:
        """Hand all whole lines on that have come since the last look."""
        fd = self._open()
        while fd is not None and (block := os.pread(fd, 1 << 18, self._offset)):
            self._offset += len(block)
            self._take(block)

    def _open(self) -> int | None:
        """Open the file, anew where it was begun again; return None where it is not there."""
        try:
            seen = os.stat(self._path)  # noqa: PTH116
        except OSError:
            return self._fd
        if self._fd is not None and (
            seen.st_ino != self._inode or os.fstat(self._fd).st_size < self._offset
        ):
            os.close(self._fd)
            self._fd = None
        if self._fd is None:
            self._fd, self._inode = os.open(self._path, os.O_RDONLY), seen.st_ino
            self._offset, self._skipping = 0, False
            self._rest.clear()
        return self._fd

    def _take(self, block: bytes) -> None:
        *whole, rest = block.split(b"\n")
        for line in whole:
            if self._skipping:
                self._skipping = False
                self._reader.counts["too_long"] += 1
            else:
                self._rest += line
                self._reader.line(bytes(self._rest))
            self._rest.clear()
        if not self._skipping:
            self._rest += rest
            if len(self._rest) > LINE_BYTES:
                self._skipping = True
                self._rest.clear()

    def cut(self) -> int:
        """Return how many bytes of a line without an end are left."""
        return len(self._rest)


def main(path: str, source: int = 0) -> None:
    """Follow *path* until *source* (a descriptor) is closed."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))

    def emit(event: str, **values: Any) -> None:
        sys.stdout.write(json.dumps({"event": event, "seen": time.time(), **values}) + "\n")

    reader = Reader(emit)
    tail = Tail(path, reader)
    while not select.select([source], [], [], PERIOD)[0] or os.read(source, 64):
        tail.look()
        sys.stdout.flush()
    tail.look()
    emit("end", cut_bytes=tail.cut(), **reader.counts)
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except BrokenPipeError:
        # Nobody listens any more.
        os._exit(0)
