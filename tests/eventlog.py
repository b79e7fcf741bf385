"""Event logs as ``bitbake -w`` writes them, of any size.

Their classes are bitbake's own where its ``lib`` is named, else empty ones of the same names:
the pickle of an object holds the name of its class and its attributes, nothing more. As a
program: ``python tests/eventlog.py FILE TASKS [LIB]``; it then waits for numbers on standard
input and writes the events of so many more tasks for each, until the end of it.
"""

from __future__ import annotations

import base64
import importlib
import json
import logging
import pickle
import random
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

NAMES = {
    "bb.build": ("TaskStarted", "TaskSucceeded", "TaskFailed", "TaskProgress"),
    "bb.event": (
        "BuildStarted", "BuildCompleted", "DepTreeGenerated", "ParseStarted", "ParseProgress",
        "ParseCompleted", "HeartbeatEvent", "ProcessProgress", "NoProvider", "DiskFull",
    ),
    "bb.runqueue": (
        "RunQueueStats", "runQueueTaskStarted", "runQueueTaskCompleted", "runQueueTaskSkipped",
        "runQueueTaskFailed", "sceneQueueTaskStarted", "sceneQueueTaskCompleted",
        "sceneQueueComplete",
    ),
}  # fmt: skip
#: The tasks of each recipe, in their order, and their seconds.
TASKS = {
    "do_fetch": 8, "do_unpack": 2, "do_patch": 1, "do_prepare_recipe_sysroot": 2,
    "do_configure": 20, "do_compile": 60, "do_install": 8, "do_populate_sysroot": 3,
    "do_package": 9, "do_packagedata": 1, "do_package_write_ipk": 5, "do_package_qa": 3,
    "do_build": 0,
}  # fmt: skip
THREADS = 16

Make = Callable[..., Any]


def maker(lib: str | None = None) -> Make:
    """Return what makes an object of a class by its name, with attributes."""
    if lib is not None:
        sys.path.insert(0, lib)
    for module, names in NAMES.items():
        if lib is not None:
            importlib.import_module(module)
        elif module not in sys.modules:
            made = sys.modules.setdefault("bb", types.ModuleType("bb"))
            sys.modules[module] = inner = types.ModuleType(module)
            setattr(made, module.partition(".")[2], inner)
            for name in names:
                setattr(inner, name, type(name, (), {"__module__": module}))

    def make(name: str, **attributes: Any) -> Any:
        module, _, kind = name.rpartition(".")
        thing = object.__new__(getattr(sys.modules[module], kind))
        thing.__dict__.update(attributes)
        return thing

    return make


def line(event: Any) -> str:
    """Return the line of the log for an event."""
    kind = type(event)
    pickled = base64.encodebytes(pickle.dumps(event)).decode()
    return json.dumps({"class": f"{kind.__module__}.{kind.__name__}", "vars": pickled}) + "\n"


def variables(**values: str) -> str:
    """Return the line with the configuration, as long as a real one (1.8 MB)."""
    found = {name: {"v": value, "history": []} for name, value in values.items()}
    for number in range(2000):
        found[f"do_filler_{number}"] = {"v": "x" * 600, "history": [{"variable": "y" * 200}]}  # type: ignore[list-item]
    return json.dumps({"allvariables": found}) + "\n"


def record(text: str, level: int = logging.INFO) -> str:
    """Return the line of a log record, which bitbake sends as an event, too."""
    return line(logging.makeLogRecord({"msg": text, "levelno": level, "name": "BitBake"}))


class Build:
    """A build of *count* tasks of invented recipes, each of which needs some before it."""

    def __init__(self, make: Make, count: int, begin: float) -> None:
        self.make, self.begin = make, begin
        chance = random.Random(1)
        self.needs: dict[str, list[str]] = {}
        names = list(TASKS)
        for number in range(count):
            recipe, task = f"recipe-{number // len(names)}", number % len(names)
            needed = [f"{recipe}.{names[task - 1]}"] if task else []
            if names[task] == "do_prepare_recipe_sysroot" and number > 100:
                some = {chance.randrange(number // len(names)) for _ in range(12)}
                needed += [f"recipe-{other}.do_populate_sysroot" for other in sorted(some)]
            self.needs[f"{recipe}.{names[task]}"] = needed
        self.stats = {"total": count, "completed": 0, "skipped": 0, "failed": 0, "active": 0,
                      "setscene_active": 0, "setscene_covered": 0,
                      "setscene_notcovered": count // 3, "setscene_total": count // 3}  # fmt: skip
        self._todo = list(self.needs)
        self._running: list[str] = []
        self.now = begin

    @staticmethod
    def path(recipe: str) -> str:
        return f"/srv/workspace/layers/scarthgap/meta-some-layer/recipes-{recipe}/{recipe}_1.0.bb"

    def head(self) -> Iterator[str]:
        """Yield the lines before the first task."""
        make = self.make
        yield variables(BB_NUMBER_THREADS=str(THREADS), BB_VERSION="2.8.1", BUILDNAME="1")
        yield line(make("bb.event.ParseStarted", total=2900, msg=""))
        for done in range(0, 2900, 29):
            yield line(make("bb.event.ParseProgress", current=done, total=2900, msg=""))
        parsed = {"cached": 0, "parsed": 2900, "skipped": 80, "masked": 37, "errors": 0}
        yield line(make("bb.event.ParseCompleted", total=2900, **parsed))
        yield line(make("bb.event.BuildStarted", _pkgs=["an-image:do_build"], _failures=0))
        recipes = {name.partition(".")[0] for name in self.needs}
        known = {recipe: {"filename": self.path(recipe)} for recipe in sorted(recipes)}
        graph = {"pn": known, "tdepends": self.needs, "filler": ["z" * 60 for _ in range(40000)]}
        yield line(make("bb.event.DepTreeGenerated", _depgraph=graph))
        yield line(make("bb.runqueue.sceneQueueComplete", stats=self._stats()))

    def _stats(self) -> Any:
        return self.make("bb.runqueue.RunQueueStats", **self.stats)

    def more(self, count: int) -> Iterator[str]:
        """Yield the lines of *count* more tasks: as many begin and end."""
        for _ in range(count):
            while self._todo and len(self._running) < THREADS:
                name = self._todo.pop(0)
                self._running.append(name)
                yield from self._queue("runQueueTaskStarted", name, noexec=False)
                yield self._task("TaskStarted", name, taskflags={})
            if not self._running:
                return
            name = self._running.pop(0)
            self.now += TASKS[name.partition(".")[2]] / THREADS
            for _ in range(4):
                yield record("DEBUG: " + "a line of the log of a task " * 20)
            yield self._task("TaskSucceeded", name)
            self.stats["completed"] += 1
            yield from self._queue("runQueueTaskCompleted", name)
            yield line(self.make("bb.event.HeartbeatEvent", time=self.now))

    def _queue(self, kind: str, name: str, **more: Any) -> Iterator[str]:
        recipe, _, task = name.partition(".")
        self.stats["active"] = len(self._running)
        taskid = f"{self.path(recipe)}:{task}"
        yield line(self.make(f"bb.runqueue.{kind}", taskid=taskid, taskstring=taskid, taskname=task,
                             taskfile=self.path(recipe), taskhash="0" * 64, stats=self._stats(),
                             pid=1, **more))  # fmt: skip

    def _task(self, kind: str, name: str, **more: Any) -> str:
        recipe, _, task = name.partition(".")
        log = f"/srv/workspace/build-x/tmp/work/core2-64-poky-linux/{recipe}/1.0/temp/log.{task}.1"
        return line(self.make(f"bb.build.{kind}", _task=task, _fn=self.path(recipe), _mc="default",
                              _package=f"{recipe}-1.0-r0", taskfile=self.path(recipe),
                              taskname=task, logfile=log, time=self.now, pn=recipe, pv="1.0",
                              pid=hash(recipe) % 60000, _message=f"recipe {recipe}: {task}",
                              **more))  # fmt: skip

    def tail(self) -> Iterator[str]:
        """Yield the line after the last task."""
        yield line(self.make("bb.event.BuildCompleted", total=self.stats["total"], _failures=0,
                             _pkgs=["an-image"]))  # fmt: skip


def main(path: str, count: str, lib: str | None = None) -> None:
    build = Build(maker(lib), int(count), 1_795_000_000.0)
    with Path(path).open("w") as out:
        out.writelines(build.head())
        out.flush()
        print("head", flush=True)
        for asked in sys.stdin:
            out.writelines(build.more(int(asked)))
            out.flush()
            print(build.stats["completed"], flush=True)
        out.writelines(build.tail())


if __name__ == "__main__":
    main(*sys.argv[1:])
