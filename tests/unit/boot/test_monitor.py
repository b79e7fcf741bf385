"""What a real QEMU (without a guest) tells over its monitors: events, state, screen."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from yoctovirt.base.files import Lock
from yoctovirt.boot.events import RESET_LOOP, Events, io_error
from yoctovirt.boot.forwards import Forward, add_forward
from yoctovirt.boot.qmp import Qmp
from yoctovirt.boot.results import NodeUnreachableError
from yoctovirt.boot.screenshot import png, take_screenshot
from yoctovirt.boot.trouble import Trouble, status_says
from yoctovirt.errors import BootError

QEMU = shutil.which("qemu-system-x86_64")
pytestmark = pytest.mark.skipif(QEMU is None, reason="qemu-system-x86_64 is not installed")


def until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def qemu(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [str(QEMU), "-nodefaults", "-display", "none", "-accel", "tcg", "-m", "32", "-S",
         "-qmp", f"unix:{folder}/qmp.sock,server=on,wait=off",
         "-qmp", f"unix:{folder}/events.sock,server=on,wait=off", *words],
    )  # fmt: skip
    until(lambda: (folder / "events.sock").exists(), "QEMU has made its sockets")
    return process


@pytest.fixture
def monitor(tmp_path: Path) -> Iterator[Qmp]:
    process = qemu(tmp_path, "-device", "VGA", "-netdev", "user,id=net0")
    yield Qmp(tmp_path / "qmp.sock")
    process.kill()
    process.wait()


def test_events_come_and_are_written(tmp_path: Path, monitor: Qmp) -> None:
    events = Events(tmp_path / "events.sock", tmp_path / "events.jsonl")
    events.start()
    try:
        monitor.execute("cont")
        monitor.execute("stop")
        monitor.execute("system_reset")
        until(lambda: events.seen("RESET"), "the reset is told")
        assert events.seen("STOP")
        assert events.resets() == 0, "it was not the guest"
        assert events.complaint() is None
        monitor.execute("quit")
        until(lambda: events.seen("SHUTDOWN"), "the end is told")
        assert events.how_ended() == "somebody told QEMU to quit"
    finally:
        events.close()
    lines = (tmp_path / "events.jsonl").read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines][:2] == ["RESUME", "STOP"]


def test_a_guest_that_resets_itself(tmp_path: Path) -> None:
    """A processor without a working firmware: triple fault, reset, and so on without end."""
    rom = tmp_path / "reset.rom"
    # At the reset vector: out 0x64, al with al = 0xFE pulses the reset line; hlt.
    rom.write_bytes(bytes(65520) + bytes.fromhex("b0fee664f4") + bytes(11))
    for expected in (False, True):
        folder = tmp_path / str(expected)
        folder.mkdir()
        process = qemu(folder, "-bios", str(rom))
        events = Events(folder / "events.sock", None, lambda expected=expected: expected)  # type: ignore[misc]
        events.start()
        try:
            Qmp(folder / "qmp.sock").execute("cont")
            until(lambda e=events: len(e.seen("RESET")) >= RESET_LOOP, "resets")  # type: ignore[misc]
            if expected:
                assert (events.resets(), events.complaint()) == (0, None)
            else:
                until(lambda e=events: e.complaint(), "it is seen")  # type: ignore[misc]
                assert "the node restarts again and again (3 times)" in str(events.complaint())
        finally:
            process.kill()
            process.wait()
            events.close()


@pytest.mark.parametrize(
    ("seconds", "restarts"),
    [
        ([3.0, 3.05, 6.0, 6.06], 2),  # Linux pulls the reset line twice
        ([3.0, 6.0, 9.0], 3),
        ([3.0 + n / 10 for n in range(12)], 3),  # no time for anything but resets
    ],
)
def test_two_resets_at_once_are_one_restart(
    tmp_path: Path, seconds: list[float], restarts: int
) -> None:
    events = Events(tmp_path / "events.sock")
    for when in seconds:
        stamp = {"seconds": int(when), "microseconds": round(when % 1 * 1e6)}
        events._note({"event": "RESET", "timestamp": stamp, "data": {"reason": "guest-reset"}})
    assert events.resets() == restarts
    assert bool(events.complaint()) == (restarts >= RESET_LOOP)


def test_nobody_answers(tmp_path: Path) -> None:
    events = Events(tmp_path / "events.sock")
    events.start()
    events.close()
    assert (events.complaint(), events.how_ended(), events.resets()) == (None, None, 0)


def test_what_a_full_disk_says() -> None:
    assert "the disk of this host is full" in io_error({"nospace": True, "operation": "write"})
    assert "could not read" in io_error({"operation": "read", "reason": "Input/output error"})


def test_a_picture(tmp_path: Path, monitor: Qmp) -> None:
    target = take_screenshot(monitor, tmp_path / "screen.png")
    assert target.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert [path.name for path in tmp_path.glob("*screen*")] == ["screen.png"]


def test_no_display(tmp_path: Path) -> None:
    process = qemu(tmp_path)
    try:
        with pytest.raises(BootError, match="no display"):
            take_screenshot(Qmp(tmp_path / "qmp.sock"), tmp_path / "screen.png")
    finally:
        process.kill()
        process.wait()
    assert not list(tmp_path.glob("*screen*"))


def test_png_holds_every_pixel() -> None:
    pixels = bytes(range(2 * 3 * 3))
    made = png(b"P6\n2 3\n255\n" + pixels)
    data = made[made.index(b"IDAT") + 4 :]
    rows = zlib.decompressobj().decompress(data)
    assert b"".join(rows[n * 7 + 1 : n * 7 + 7] for n in range(3)) == pixels
    for broken in (b"P5\n2 3\n255\n" + pixels, b"P6\n2 3\n255\n" + pixels[:5], b""):
        with pytest.raises(BootError):
            png(broken)


def test_ports(monitor: Qmp) -> None:
    first = add_forward(monitor, Forward(80))
    second = add_forward(monitor, Forward(80))
    assert first.host != second.host
    assert set(monitor.forwards()) == {(first.host, 80), (second.host, 80)}
    with pytest.raises(BootError, match=f"port {first.host} of this host cannot be forwarded") as (
        caught
    ):
        add_forward(monitor, Forward(443, first.host))
    assert "qemu-system" in caught.value.message, "who has it is named"
    with pytest.raises(NodeUnreachableError):
        add_forward(monitor, Forward(80), "no-such-network")


class TestTrouble:
    @pytest.fixture
    def log(self, tmp_path: Path) -> Path:
        log = tmp_path / "console.log"
        log.write_bytes(b"[ 1.0] Kernel panic - not syncing: of an earlier boot\n")
        return log

    def trouble(self, folder: Path, log: Path) -> Trouble:
        return Trouble(log, log.stat().st_size, folder / "node.lock", Qmp(folder / "qmp.sock"))

    def test_a_panic(self, tmp_path: Path, log: Path) -> None:
        trouble = self.trouble(tmp_path, log)
        assert trouble.deadly() is None, "what was before is not ours"
        with log.open("ab") as out:
            out.write(b"[ 9.0] BUG: Bad page state in process x\n")
        assert trouble.deadly() is None, "it may go on"
        assert "found a bug of its own" in str(trouble.suspicion())
        with log.open("ab") as out:
            out.write(b"[ 9.1] Kernel panic - not syncing: Fatal exception\n")
        assert "the kernel panicked ([ 9.1] Kernel panic" in str(trouble.deadly())

    def test_its_qemu(self, tmp_path: Path, log: Path) -> None:
        lock = Lock(tmp_path / "node.lock")
        assert lock.acquire()
        trouble = self.trouble(tmp_path, log)
        assert trouble.deadly() is None
        lock.release()
        assert trouble.deadly() == "its QEMU has ended"

    def test_a_node_that_is_paused(self, tmp_path: Path, log: Path, monitor: Qmp) -> None:
        trouble = self.trouble(tmp_path, log)
        assert "not running: prelaunch" in str(trouble.suspicion())
        monitor.execute("cont")
        assert trouble.suspicion() is None
        monitor.execute("stop")
        assert "not running: paused" in str(trouble.suspicion())

    def test_states(self) -> None:
        assert status_says("running") is None
        assert "full" in str(status_says("io-error"))
        assert "panicked" in str(status_says("guest-panicked"))
