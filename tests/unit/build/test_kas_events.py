"""The reader of bitbake's event log: what it makes of good, damaged and hostile logs."""

from __future__ import annotations

import base64
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import eventlog
from tests.processes import SECONDS
from yoctovirt.base.process import CommandLog
from yoctovirt.build.kas import eventreader
from yoctovirt.build.kas.events import (
    BuildCompleted,
    End,
    Event,
    EventReader,
    Graph,
    Message,
    NoProvider,
    Queued,
    TaskEvent,
    TaskProgress,
    Variables,
    parse_event,
)
from yoctovirt.build.kas.user import BuildUser

MAKE = eventlog.maker()
BEGIN = 1_795_000_000.0


def build(tasks: int = 26) -> list[str]:
    made = eventlog.Build(MAKE, tasks, BEGIN)
    return [*made.head(), *made.more(tasks), *made.tail()]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Any]:
    begun: list[EventReader] = []

    def begin(path: Path) -> EventReader:
        user = BuildUser(None, os.getuid(), os.getgid(), Path.home())
        begun.append(EventReader(path, user, CommandLog(tmp_path / "commands.log")))
        return begun[-1]

    yield begin
    for reader in begun:
        reader.stop()


def of(kind: type, events: list[Event]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def until(reader: EventReader, events: list[Event], count: int) -> None:
    """Wait until there are *count* events that tell of the end of a task."""
    end = time.monotonic() + SECONDS
    while len([e for e in of(TaskEvent, events) if e.kind == "succeeded"]) < count:
        assert time.monotonic() < end, f"{len(events)} events"
        events += reader.read()
        time.sleep(0.02)


def test_a_whole_log(tmp_path: Path, start: Any) -> None:
    log = tmp_path / "log"
    lines = build()
    log.write_text("".join(lines))
    events = start(log).finish()
    assert of(End, events) == [End(len(lines), 0, 0, 0)]
    (variables,) = of(Variables, events)
    assert variables.values["BB_VERSION"] == "2.8.1"
    (graph,) = of(Graph, events)
    assert len(graph.tasks) == 26
    place = graph.tasks.index("recipe-1:do_unpack")
    assert [graph.tasks[i] for i in graph.needs[place]] == ["recipe-1:do_fetch"]
    tasks = of(TaskEvent, events)
    assert len(tasks) == 2 * 26
    one = next(t for t in tasks if t.kind == "succeeded" and t.task == "do_compile")
    assert (one.recipe, one.version) == ("recipe-0", "1.0")
    assert one.log.endswith("/recipe-0/1.0/temp/log.do_compile.1")
    assert one.time > BEGIN
    queued = of(Queued, events)
    assert {event.recipe for event in queued} == {"recipe-0", "recipe-1"}
    assert queued[-1].stats.completed == 26
    assert of(BuildCompleted, events)[0].failures == 0
    assert str(log) in (tmp_path / "commands.log").read_text(), "what was started is recorded"


def test_a_log_that_grows_and_comes_late(tmp_path: Path, start: Any) -> None:
    log = tmp_path / "log"
    reader = start(log)
    events: list[Event] = []
    time.sleep(2 * eventreader.PERIOD)
    assert reader.read() == []
    text = "".join(build())
    # In pieces that end anywhere, as a reader finds what a writer has not flushed whole.
    with log.open("w") as out:
        for begin in range(0, len(text), 300_001):
            out.write(text[begin : begin + 300_001])
            out.flush()
            time.sleep(0.1)
    until(reader, events, 26)
    events += reader.finish()
    assert of(End, events)[0].damaged == 0
    assert reader.unreadable == 0


def test_a_log_that_is_begun_again(tmp_path: Path, start: Any) -> None:
    """kirkstone opens its log anew at BuildStarted; what stood there before is of no build."""
    log = tmp_path / "log"
    log.write_text(eventlog.record("a warning of before", 30) * 2000)
    reader = start(log)
    events: list[Event] = []
    end = time.monotonic() + SECONDS
    while len(of(Message, events)) < 2000:
        assert time.monotonic() < end
        events += reader.read()
    log.write_text("".join(build(13)[1:]))
    until(reader, events, 13)
    assert of(End, reader.finish())[0].damaged == 0


@pytest.mark.parametrize("cut", [1, 10, 90])
def test_a_bitbake_that_was_killed_leaves_half_a_line(tmp_path: Path, start: Any, cut: int) -> None:
    log = tmp_path / "log"
    lines = build()[:-1]
    text = "".join(lines)
    log.write_text(text[:-cut])
    events = start(log).finish()
    (end,) = of(End, events)
    assert (end.events, end.damaged) == (len(lines) - 1, 0)
    assert end.cut_bytes == len(lines[-1]) - cut


def test_what_is_damaged_is_counted_and_the_rest_is_read(tmp_path: Path, start: Any) -> None:
    lines = build()
    broken = [
        "\n", "no json\n", '{"class": "bb.build.TaskStarted"}\n', "[]\n", "\x00\xff\n",
        '{"class": "bb.build.TaskStarted", "vars": "%%%"}\n',
        '{"class": "bb.build.TaskStarted", "vars": "gASVFAAAAAAAAAC="}\n',
        eventlog.line(MAKE("bb.build.TaskStarted", pn="x")),  # without the attributes
    ]  # fmt: skip
    log = tmp_path / "log"
    log.write_text("".join([*lines[:9], *broken, *lines[9:]]), errors="surrogateescape")
    events = start(log).finish()
    assert of(End, events)[0].damaged == len(broken)
    assert len(of(TaskEvent, events)) == 2 * 26


def test_events_that_nobody_knows_are_passed_over(tmp_path: Path, start: Any) -> None:
    log = tmp_path / "log"
    unknown = '{"class": "bb.event.FromTheFuture", "vars": "not even a pickle"}\n'
    log.write_text("".join([unknown, *build(), unknown]))
    events = start(log).finish()
    assert of(End, events)[0].damaged == 0
    assert len(of(TaskEvent, events)) == 2 * 26


def test_a_line_without_end_does_not_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eventreader, "LINE_BYTES", 1 << 20)
    told: list[str] = []
    reader = eventreader.Reader(lambda event, **_: told.append(event))
    log = tmp_path / "log"
    long = '{"class": "bb.event.BuildStarted", "vars": "' + "x" * (3 << 20) + '"}\n'
    log.write_text(long + eventlog.record("still read", 40))
    eventreader.Tail(str(log), reader).look()
    assert told == ["message"]
    assert reader.counts == {"events": 1, "damaged": 0, "too_long": 1}


class Evil:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("kind", ["bb.build.TaskStarted", "logging.LogRecord"])
def test_no_code_is_run_for_a_pickle(tmp_path: Path, start: Any, kind: str) -> None:
    marker = tmp_path / "marker"
    data = pickle.dumps(Evil(marker))
    pickle.loads(data)
    assert marker.exists(), "the pickle does what it is made for, elsewhere"
    marker.unlink()
    log = tmp_path / "log"
    line = json.dumps({"class": kind, "vars": base64.b64encode(data).decode()}) + "\n"
    log.write_text(line + eventlog.record("after it", 40))
    events = start(log).finish()
    assert not marker.exists()
    assert of(End, events)[0].damaged == 1
    assert [message.text for message in of(Message, events)] == ["after it"]


def test_failures_and_what_is_missing(tmp_path: Path, start: Any) -> None:
    failed = {"_task": "do_compile", "_fn": "/x/a_1.bb", "_mc": "two", "pn": "a", "pv": "1",
              "taskfile": "/x/y/../a_1.bb", "logfile": "/l/log.do_compile.7", "time": 5.0,
              "pid": 7}  # fmt: skip
    missing = {"_item": "nova", "_runtime": True, "_dependees": ["image"], "_reasons": None,
               "_close_matches": ["nova-api"]}  # fmt: skip
    log = tmp_path / "log"
    log.write_text(
        eventlog.record("all is well")
        + eventlog.record("it is broken", 40)
        + eventlog.line(MAKE("bb.build.TaskFailed", **failed))
        + eventlog.line(MAKE("bb.build.TaskProgress", pid=7, progress=40, rate="3/s"))
        + eventlog.line(MAKE("bb.event.NoProvider", **missing))
    )
    events = start(log).finish()
    assert [message.text for message in of(Message, events)] == ["it is broken"]
    (task,) = of(TaskEvent, events)
    assert task == TaskEvent("failed", "mc:two:a", "1", "do_compile", "/x/a_1.bb",
                             "/l/log.do_compile.7", 5.0, 7)  # fmt: skip
    assert of(TaskProgress, events) == [TaskProgress(7, 40, "3/s")]
    assert of(NoProvider, events) == [NoProvider("nova", True, ("image",), (), ("nova-api",))]


def test_a_reader_that_dies_is_no_end_of_the_build(tmp_path: Path, start: Any) -> None:
    log = tmp_path / "log"
    log.write_text("".join(build()))
    reader = start(log)
    events: list[Event] = []
    until(reader, events, 26)
    os.kill(reader.pid, signal.SIGKILL)
    assert of(End, reader.finish()) == []


def test_a_reader_that_does_not_come_to_an_end_is_stopped(tmp_path: Path, start: Any) -> None:
    log = tmp_path / "log"
    log.write_text("".join(build()))
    reader = start(log)
    os.kill(reader.pid, signal.SIGSTOP)
    begun = time.monotonic()
    reader.finish(seconds=0.3)
    assert time.monotonic() - begun < SECONDS / 2
    assert not Path(f"/proc/{reader.pid}").exists()


def test_the_reader_ends_with_us(tmp_path: Path) -> None:
    """Nothing of ours is left where we are killed: its input is closed then."""
    script = (
        "import subprocess, sys, time\n"
        "p = subprocess.Popen([sys.executable, '-I', '-S', *sys.argv[1:]], stdin=subprocess.PIPE,"
        " stdout=subprocess.PIPE, start_new_session=True)\n"
        "print(p.pid, flush=True)\ntime.sleep(60)\n"
    )
    (tmp_path / "log").write_text("".join(build()))
    owner = subprocess.Popen(
        [sys.executable, "-c", script, eventreader.__file__, str(tmp_path / "log")],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        assert Path(f"/proc/{pid}").exists()
        owner.kill()
    end = time.monotonic() + SECONDS
    while Path(f"/proc/{pid}").exists() and time.monotonic() < end:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        if state == "Z":
            break
        time.sleep(0.05)
    else:
        assert not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize("line", ["", "{", "[]", '{"event": "queue-started"}', '{"seen": 1}'])
def test_what_is_no_event_is_refused(line: str) -> None:
    with pytest.raises((ValueError, KeyError, TypeError, AttributeError)):
        parse_event(line)


def test_an_event_of_a_later_reader_is_no_error() -> None:
    assert parse_event('{"event": "from-the-future", "seen": 1.0}') is None
