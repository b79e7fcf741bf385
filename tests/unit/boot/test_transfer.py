"""Files over the serial console: real shells on real terminals."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.boot.bridge import Terminal
from tests.unit.boot.test_serial import SHELLS, shell_on, terminal_of
from yoctovirt.boot.results import NodeUnreachableError
from yoctovirt.boot.transfer import serial_read, serial_write

MEGABYTE = random.Random(1).randbytes(1 << 20)


@pytest.fixture(params=["bash", "busybox"] if "busybox" in SHELLS else ["bash"])
def terminal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Terminal]:
    made = terminal_of(tmp_path, request.param)
    yield made
    made.close()


def test_a_megabyte_of_bytes_both_ways(terminal: Terminal, tmp_path: Path) -> None:
    shell, seen = shell_on(terminal), []
    there = tmp_path / "it's there"
    serial_write(shell, MEGABYTE, str(there), 0o750, 400, lambda done, total: seen.append(done))
    assert there.read_bytes() == MEGABYTE
    assert there.stat().st_mode & 0o777 == 0o750
    assert seen == sorted(seen)
    assert (len(seen) > 10, seen[-1]) == (True, len(MEGABYTE))
    assert serial_read(shell, str(there), 400) == MEGABYTE
    assert shell.run("echo well").output == "well\n"


@pytest.mark.parametrize("data", [b"", b"\0", b"\x03\x04\x1a\n\r\x1b[2J", b"." * 1800])
def test_small_and_strange_ones(terminal: Terminal, tmp_path: Path, data: bytes) -> None:
    shell = shell_on(terminal)
    there = tmp_path / "file"
    with shell.session():
        serial_write(shell, data, str(there))
        assert there.read_bytes() == data
        assert serial_read(shell, str(there)) == data


def test_what_cannot_be_had(terminal: Terminal, tmp_path: Path) -> None:
    shell = shell_on(terminal)
    with pytest.raises(NodeUnreachableError, match=r"cannot be read: .*missing"):
        serial_read(shell, str(tmp_path / "missing"))
    with pytest.raises(NodeUnreachableError, match="damaged on the console"):
        serial_write(shell, b"x", str(tmp_path / "no" / "folder"))
    assert shell.run("echo well").output == "well\n"


def test_somebody_else_writes_to_the_console(terminal: Terminal, tmp_path: Path) -> None:
    shell = shell_on(terminal)
    there = tmp_path / "file"
    there.write_bytes(MEGABYTE)
    shell.run("true")
    # Good base64, in the middle of ours: only the comparison can tell.
    said, say = [0], terminal.say

    def disturbed(data: bytes) -> None:
        say(data)
        before, said[0] = said[0], said[0] + len(data)
        if before < 300_000 <= said[0]:
            say(b"QUJD")

    terminal.say = disturbed  # type: ignore[method-assign]
    with pytest.raises(NodeUnreachableError, match="was damaged on the console"):
        serial_read(shell, str(there), 400)
