"""A build under observation: bitbake's event log, read while kas runs."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from yoctovirt.base.files import disk_error
from yoctovirt.base.process import CommandLog
from yoctovirt.base.screen import Screen
from yoctovirt.build.kas import progress
from yoctovirt.build.kas.durations import FILE as TIMES_FILE
from yoctovirt.build.kas.durations import Durations, Estimate, learned
from yoctovirt.build.kas.events import EventReader
from yoctovirt.build.kas.figures import build_figures, write_figures
from yoctovirt.build.kas.sampler import Sampler, downloaded
from yoctovirt.build.kas.trace import Trace
from yoctovirt.build.kas.user import BuildUser
from yoctovirt.errors import YoctovirtError

#: In the run record: a line a task, written when the task is over.
TASKS_FILE = "tasks.jsonl"
#: There as well where the build could not be followed to its end: why.
ERROR_FILE = "watch-error.log"
#: In the build directory: the event log of the build that runs.
EVENTS_FILE = ".events"


class Watch:
    """What is to be told about a running build, and what is known of it (*trace*)."""

    def __init__(
        self,
        events: Path,
        record: Path,
        user: BuildUser,
        log: CommandLog,
        screen: Screen,
        workspace: Path,
    ) -> None:
        self.root: int | None = None  #: the process above all of the build
        self.status: int | None = None  #: of kas, once it has ended
        self.interrupted = False
        self.broken = False  #: whether something went wrong in following the build
        self.events = events  #: where bitbake is to write its event log
        self._durations = Durations(workspace / TIMES_FILE)
        self._estimate = Estimate(self._durations)
        self._sampler = Sampler(workspace)
        self._downloads = workspace / "downloads"
        self._rate, self._news = progress.Rate(), progress.News()
        self.trace = Trace()
        self._record = record
        self._written = 0
        self._screen = screen
        self._reader = EventReader(events, user, log)

    @property
    def reader_pid(self) -> int:
        """Process id of the reader of the event log."""
        return self._reader.pid

    def line(self, text: str) -> None:
        """Take a line of the output of kas."""
        self.trace.line(text, time.time())

    def tick(self) -> None:
        """Take what bitbake has told since the last call; show and record it.

        Whatever goes wrong in that, the build goes on: it is told once.
        """
        try:
            self._tick()
        except Exception as error:
            if not self.broken:
                self._break(error)

    def _break(self, error: Exception) -> None:
        self.broken = True
        text = f"{type(error).__name__}: {error}"
        self._screen.note(f"warning: the build goes on, but cannot be followed well: {text}")
        with suppress(OSError), (self._record / ERROR_FILE).open("a", encoding="utf-8") as out:
            traceback.print_exception(error, file=out)

    def _tick(self) -> None:
        for event in self._reader.read():
            self.trace.add(event)
        self._write()
        now = time.time()
        self._sampler.sample(self.root, now)
        self._tell()
        rate = self._rate.add(now, self.trace.stats.completed)
        head = progress.head(self.trace)
        rest = progress.rest(self.trace, self._estimate.remaining(self.trace, now), rate)
        if self._screen.live:
            self._screen.status(head, progress.board(self.trace, now, rest))
        else:
            text = f"{head}, {rest}" if rest else head
            names = progress.named(self.trace, now)
            self._screen.status(f"{text}: {names}" if names else text)

    def close(self) -> None:
        """Read the log to its end and close the trace: kas has ended.

        Raises InfrastructureError where the figures cannot be written (disk full).
        """
        try:
            self._close()
        except YoctovirtError:
            raise
        except Exception as error:
            self._break(error)

    def _close(self) -> None:
        for event in self._reader.finish():
            self.trace.add(event)
        self._tell()
        self.trace.finish(time.time())
        self._write()
        write_figures(self._record, self._figures())
        self._durations.merge(learned(self.trace))

    def _tell(self) -> None:
        for line in self._news.lines(self.trace):
            self._screen.note(line)

    def _figures(self) -> dict[str, Any]:
        result = "interrupted" if self.interrupted else "failed" if self.status else "succeeded"
        figures = build_figures(self.trace, result)
        end = self.trace.log_end
        return {
            **figures,
            "downloads": downloaded(
                Path(self.trace.variables.get("DL_DIR") or self._downloads), self.trace.started
            ),
            "disk": self._sampler.disk(),
            "memory": self._sampler.memory(),
            "events": {**(asdict(end) if end else {}), "unreadable": self._reader.unreadable},
        }

    def stop(self) -> None:
        """Stop the reader and remove the event log, which may have 100 MB."""
        self._reader.stop()
        with suppress(OSError):
            self.events.unlink(missing_ok=True)

    def _write(self) -> None:
        new = self.trace.done[self._written :]
        if not new:
            return
        try:
            with (self._record / TASKS_FILE).open("a", encoding="utf-8") as out:
                out.writelines(json.dumps(task.as_json()) + "\n" for task in new)
        except OSError as error:
            raise disk_error(error, self._record / TASKS_FILE) from error
        self._written += len(new)


@contextmanager
def watched(
    build_dir: Path,
    record: Path,
    user: BuildUser,
    log: CommandLog,
    screen: Screen,
    workspace: Path,
) -> Iterator[Watch]:
    """Yield the watch of a build in *build_dir*; the event log is removed in the end.

    To be called with the lock of the build directory held: what a build that was killed has
    left of its event log goes, too.
    """
    events = build_dir / EVENTS_FILE
    events.unlink(missing_ok=True)
    watch = Watch(events, record, user, log, screen, workspace)
    try:
        yield watch
    except BaseException as error:
        watch.interrupted = isinstance(error, KeyboardInterrupt)
        watch.status = 1 if watch.status is None else watch.status
        # What ended the build is told, not that its figures could not be written.
        with suppress(YoctovirtError):
            watch.close()
        raise
    else:
        watch.close()
    finally:
        watch.stop()
