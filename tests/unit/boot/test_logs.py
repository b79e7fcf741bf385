"""Console logs: the last lines, what comes, when it came."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import pytest

from yoctovirt.base.process import Guarded
from yoctovirt.boot.logs import Dates, NodeLog, find_log, pieces, tail_offset
from yoctovirt.config.workspace import Workspace
from yoctovirt.errors import UsageError


@pytest.mark.parametrize("end", [b"", b"\n"])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 5000, 20000, 30000])
def test_the_last_lines(tmp_path: Path, end: bytes, count: int) -> None:
    lines = [b"line %d" % number for number in range(20000)]
    path = tmp_path / "log"
    path.write_bytes(b"\n".join(lines) + end)
    got = path.read_bytes()[tail_offset(path, count) :] if count else b""
    assert got.splitlines() == lines[len(lines) - min(count, len(lines)) :]


def test_an_empty_log(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"")
    assert tail_offset(path, 5) == 0
    assert list(pieces(NodeLog(path, lambda: False), 0, True)) == []


def test_following_until_the_node_ends(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"first\n")
    running = [True]

    def node() -> None:
        for number in range(5):
            time.sleep(0.05)
            with path.open("ab") as out:
                out.write(b"line %d\n" % number)
        with path.open("ab") as out:
            out.write(b"last")
        running[0] = False

    writer = threading.Thread(target=node)
    writer.start()
    got = b"".join(pieces(NodeLog(path, lambda: running[0]), 0, True))
    writer.join()
    assert got == path.read_bytes()


def test_following_until_it_is_enough(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"first\n")
    turns = iter([False, False, True])
    assert list(pieces(NodeLog(path, lambda: True), 0, True, lambda: next(turns))) == [b"first\n"]


def test_the_guard_dates_what_is_written(tmp_path: Path) -> None:
    path = tmp_path / "log"
    code = (
        "import sys, time\n"
        f"with open({str(path)!r}, 'a') as out:\n"
        "    for n in range(3):\n"
        "        out.write(f'line {n}\\n'); out.flush(); time.sleep(1.2)\n"
    )
    begun = time.time()
    guard = Guarded([sys.executable, "-c", code], stamp=path)
    guard.wait(60)
    dates, text = Dates(path), path.read_bytes()
    times = [dates.of(text.index(b"line %d" % n)) for n in range(3)]
    assert all(moment is not None for moment in times), times
    known = [moment for moment in times if moment is not None]
    assert known == sorted(known)
    assert begun - 1 < known[0] < known[2] < time.time() + 1
    assert known[2] - known[0] > 1.5
    assert dates.of(len(text)) is None


def test_logs_of_nodes_that_are_gone(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, tmp_path / "cache")
    for name in ("20260101T000000-boot-one", "20260102T000000-boot-one"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "console-one.log").write_text(name)
        time.sleep(0.01)
    log = find_log(workspace, "one")
    assert log.path.read_text() == "20260102T000000-boot-one"
    assert not log.running()
    with pytest.raises(UsageError, match="no node 'oen' has run") as caught:
        find_log(workspace, "oen")
    assert "one" in caught.value.hint
