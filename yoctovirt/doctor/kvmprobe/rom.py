"""The bytes of ``probe.S``, as the 64 KiB that QEMU's ``-bios`` takes."""

from __future__ import annotations

from pathlib import Path

SIZE = 0x10000
_HEX = Path(__file__).with_name("probe.hex")
#: Offset at which a CPU starts, and the jump from there to the begin of the code: F000:0000.
_RESET, _JUMP = 0xFFF0, bytes.fromhex("ea000000f0")

#: What the firmware says first, then its steps in their order.
GREETING = "yoctovirt probe:"
STEPS = ("real", "protected", "timer", "long")
#: Status with which QEMU ends after the last step (isa-debug-exit: 0x10 * 2 + 1).
DONE = 0x21


def rom() -> bytes:
    """Return the firmware."""
    code = bytes.fromhex(_HEX.read_text(encoding="ascii"))
    return (code.ljust(_RESET, b"\0") + _JUMP).ljust(SIZE, b"\0")


def steps_of(said: str) -> list[str]:
    """Return the steps that were reached, from what came on the serial port."""
    _, greeting, rest = said.partition(GREETING)
    words = rest.split() if greeting else []
    # Cut off in the middle of a word it is no step.
    return [step for step, word in zip(STEPS, words, strict=False) if step == word]
