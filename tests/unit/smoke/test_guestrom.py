"""The guest of ours: its bytes are its source, and it counts, answers and ends for real."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.assembled import assemble, needs_binutils
from yoctovirt.smoke.suites.aids import guestrom

QEMU = shutil.which("qemu-system-x86_64")
SOURCE = Path(guestrom.__file__).with_name("guest.S")
WORD = "0123456789abcdef"


@needs_binutils
def test_the_bytes_are_those_of_the_source(tmp_path: Path) -> None:
    assert assemble(SOURCE, tmp_path) == guestrom.code()


def test_the_size_the_start_and_the_word() -> None:
    firmware = guestrom.rom(WORD)
    assert len(firmware) == 65536
    assert firmware[0xFFF0:0xFFF5] == bytes([0xEA, 0, 0, 0, 0xF0])  # a far jump
    assert WORD.encode() in firmware
    assert b"####" not in firmware
    with pytest.raises(ValueError, match="16 characters"):
        guestrom.rom("short")


@pytest.mark.parametrize(
    ("said", "host"),
    [
        ("", None),
        (f"yoctovirt guest {WORD} on TCGTCG", None),  # cut off
        ("yoctovirt guest 0123456789abcdee on TCGTCGTCGTCG\r\n", None),  # another one
        (f"x\r\nyoctovirt guest {WORD} on KVMKVMKVM\0\0\0\r\ncount 1\r\n", "KVMKVMKVM"),
    ],
)
def test_host(said: str, host: str | None) -> None:
    assert guestrom.host_of(said, WORD) == host


@pytest.mark.skipif(QEMU is None, reason="qemu-system-x86_64 is not installed")
def test_it_counts_answers_and_ends(tmp_path: Path) -> None:
    firmware = tmp_path / "guest.rom"
    firmware.write_bytes(guestrom.rom(WORD))
    argv = [QEMU or "", "-machine", "pc", "-accel", "tcg", "-m", "16", "-nodefaults", "-no-reboot",
            "-display", "none", "-serial", "stdio", "-device", "isa-debug-exit",
            "-bios", str(firmware)]  # fmt: skip
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as running:
        try:
            assert running.stdin is not None
            assert running.stdout is not None
            said = "".join(running.stdout.readline() for _ in range(3))
            running.stdin.write("xq")
            rest, _ = running.communicate(timeout=60)
        finally:
            running.kill()
    assert guestrom.host_of(said, WORD) == "TCGTCGTCGTCG"
    assert guestrom.counts(said) == [1, 2]
    assert rest.replace("\r", "").endswith("heard x\nquit\n")
    assert running.returncode == guestrom.QUIT
