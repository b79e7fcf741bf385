"""A build under observation: bitbake's event log, read while kas runs."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from yoctovirt.base.files import disk_error
from yoctovirt.base.process import CommandLog
from yoctovirt.base.screen import Screen
from yoctovirt.build.kas.events import EventReader
from yoctovirt.build.kas.trace import Trace
from yoctovirt.build.kas.user import BuildUser

#: In the run record: a line a task, written when the task is over.
TASKS_FILE = "tasks.jsonl"
_EVENTS = ".events-"


class Watch:
    """What is to be told about a running build, and what is known of it (*trace*)."""

    def __init__(
        self, events: Path, record: Path, user: BuildUser, log: CommandLog, screen: Screen
    ) -> None:
        self.events = events  #: where bitbake is to write its event log
        self.trace = Trace()
        self._tasks = record / TASKS_FILE
        self._written = 0
        self._screen = screen
        self._reader = EventReader(events, user, log)

    def line(self, text: str) -> None:
        """Take a line of the output of kas."""
        self.trace.line(text, time.time())

    def tick(self) -> None:
        """Take what bitbake has told since the last call; show and record it."""
        for event in self._reader.read():
            self.trace.add(event)
        self._write()
        stats = self.trace.stats
        if stats.total:
            names = ", ".join(self.trace.running)
            self._screen.status(f"{stats.completed} of {stats.total} tasks: {names}")

    def close(self) -> None:
        """Read the log to its end and close the trace: kas has ended."""
        try:
            for event in self._reader.finish():
                self.trace.add(event)
        finally:
            self._reader.stop()
        self.trace.finish(time.time())
        self._write()

    def _write(self) -> None:
        new = self.trace.done[self._written :]
        if not new:
            return
        try:
            with self._tasks.open("a", encoding="utf-8") as out:
                out.writelines(json.dumps(task.as_json()) + "\n" for task in new)
        except OSError as error:
            raise disk_error(error, self._tasks) from error
        self._written += len(new)


@contextmanager
def watched(
    build_dir: Path, record: Path, user: BuildUser, log: CommandLog, screen: Screen
) -> Iterator[Watch]:
    """Yield the watch of a build in *build_dir*; the event log is removed in the end.

    To be called with the lock of the build directory held: what a build that was killed has
    left of its event log goes, too.
    """
    for left in build_dir.glob(f"{_EVENTS}*"):
        left.unlink(missing_ok=True)
    watch = Watch(build_dir / f"{_EVENTS}{os.getpid()}", record, user, log, screen)
    try:
        yield watch
    finally:
        try:
            watch.close()
        finally:
            with suppress(OSError):
                watch.events.unlink(missing_ok=True)
