"""The bytes of ``guest.S``, as the 64 KiB that QEMU's ``-bios`` takes."""

from __future__ import annotations

import re
from pathlib import Path

SIZE = 0x10000
_HEX = Path(__file__).with_name("guest.hex")
#: Offset at which a CPU starts, and the jump from there to the begin of the code: F000:0000.
_RESET, _JUMP = 0xFFF0, bytes.fromhex("ea000000f0")
#: Where the word goes.
_PLACE = b"#" * 16

#: Status with which QEMU ends after a 'q' (isa-debug-exit: 0x2A * 2 + 1).
QUIT = 0x55


def code() -> bytes:
    """Return what the assembler made of the source."""
    return bytes.fromhex(_HEX.read_text(encoding="ascii"))


def rom(word: str) -> bytes:
    """Return the firmware that says *word* (16 characters)."""
    given = word.encode("ascii")
    if len(given) != len(_PLACE):
        raise ValueError(f"the word must have {len(_PLACE)} characters: {word!r}")
    return (code().replace(_PLACE, given).ljust(_RESET, b"\0") + _JUMP).ljust(SIZE, b"\0")


def host_of(said: str, word: str) -> str | None:
    """Return who runs the guest with *word*, as it told; None where it has not told."""
    found = re.search(rf"yoctovirt guest {re.escape(word)} on ([^\r\n]*)\r?\n", said)
    return found[1].rstrip("\0") if found else None


def counts(said: str) -> list[int]:
    """Return the numbers up to which the guest has counted, as they came."""
    return [int(number) for number in re.findall(r"count (\d+)\r?\n", said)]
