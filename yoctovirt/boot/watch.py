"""Waiting for a node that starts, with an eye on all that tells of its state."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from pexpect.exceptions import EOF, TIMEOUT

from yoctovirt.base.deadline import Deadline
from yoctovirt.boot.console import Console
from yoctovirt.boot.signs import ConsoleWatch, clean
from yoctovirt.errors import BootError

#: Seconds between two looks at what the console does not tell.
_TURN = 0.2
#: Seconds after a failure for what else belongs to it: the kernel's own trace, the reason.
_AFTERMATH = 0.5
#: Seconds that QEMU has to end after its console was closed.
_FAREWELL = 5.0
#: Lines of the firmware and of the kernel's own start: a guest under a KVM that does not work
#: may come so far and no further (seen: it stands still at "Probing EDD").
FIRMWARE = re.compile(
    r"\s*(SeaBIOS|iPXE|gPXE|Machine UUID|Booting from|Press (Ctrl|ESC|F12)|UEFI|BdsDxe|"
    r"Probing EDD|early console in|KASLR|Physical KASLR|Virtual KASLR|Decompressing Linux|"
    r"Parsing ELF|Performing relocations|Booting the kernel|No EFI environment)",
    re.IGNORECASE,
)


class ConsoleSilentError(BootError):
    """Nothing came on the console, or nothing but the firmware's lines."""


def shows_life(text: str) -> bool:
    """Whether console output has more than the lines of the firmware."""
    return any(line.strip() and not FIRMWARE.match(line) for line in clean(text).splitlines())


def wait_for_login(
    console: Console,
    seconds: float,
    why_gone: Callable[[], str | None],
    silent_limit: float | None = None,
    reached: Callable[[], bool] = lambda: False,
    watch: ConsoleWatch | None = None,
    complaint: Callable[[], str | None] = lambda: None,
) -> bool:
    """Wait until the console asks for a login; return False where *reached* came true first.

    *watch* looks at what the console says; *complaint* asks QEMU what is wrong with the
    guest. Raises BootError with what was seen: a line that tells of a failure, a complaint,
    QEMU gone (*why_gone* tells), no login within *seconds*; ConsoleSilentError where nothing
    but the firmware's lines came within *silent_limit*.
    """
    watch = watch or ConsoleWatch()
    deadline = Deadline(seconds)
    silence = Deadline(silent_limit) if silent_limit else None
    while True:
        ended = _read(console, watch, min(_TURN, deadline.remaining))
        if watch.finding is not None:
            after = Deadline(_AFTERMATH)
            while not after.expired and not _read(console, watch, after.remaining):
                pass
            raise BootError(
                f"{watch.finding.sign.meaning} while the node started: "
                f"{watch.finding.line.strip()[:200]}\n{watch.tail()}",
                "the whole output is in console-<node>.log of the run; a line that is harmless on "
                f"this role: allowed_console in its file ({watch.finding.sign.name})",
            )
        if watch.login:
            return True
        if ended or why_gone() is not None:
            reason, after = why_gone(), Deadline(_FAREWELL)
            while reason is None and not after.expired:
                time.sleep(0.05)  # the exit status follows the closed console
                reason = why_gone()
            reason = reason or "its console was closed"
            raise BootError(
                f"QEMU ended while the node started: {reason}\n{watch.tail()}",
                "the whole output is in qemu-<node>.log and console-<node>.log of the run",
            )
        wrong = complaint()
        if wrong is not None:
            raise BootError(
                f"{wrong}\n{watch.tail()}", "the whole output is in console-<node>.log of the run"
            )
        if reached():
            return False
        if silence and shows_life(watch.text):
            silence = None
        if silence and silence.expired:
            last = clean(watch.text).strip().rpartition("\n")[2].strip()
            raise ConsoleSilentError(
                f"no sign of life on the console within {silence.seconds:.0f} s"
                + (f" but the firmware's, which ends with {last[:80]!r}" if last else "")
            )
        if deadline.expired:
            raise _late(watch, seconds)


def _read(console: Console, watch: ConsoleWatch, seconds: float) -> bool:
    """Let *watch* see what came within *seconds*; return whether the console has ended."""
    try:
        watch.feed(console.read_nonblocking(65536, timeout=seconds))
    except TIMEOUT:
        return False
    except EOF:
        return True
    return False


def _late(watch: ConsoleWatch, seconds: float) -> BootError:
    said = "".join(f"\nit said before: {remark}" for remark in watch.remarks[:3])
    if not watch.bytes_seen:
        return BootError(
            f"no login on the console within {seconds:.0f} s: nothing at all came on it",
            "the guest hangs before its first word, or it writes elsewhere: does its kernel have "
            "console=ttyS0 (SERIAL_CONSOLES)?",
        )
    flood = ""
    if watch.bytes_seen > max(seconds, 1.0) * 20_000:
        flood = f" ({watch.bytes_seen / 1e6:.0f} MB came: something floods the console)"
    return BootError(
        f"no login on the console within {seconds:.0f} s{flood}; the last that came:\n"
        f"{watch.tail()}{said}",
        "give it longer with --login-timeout, or look into console-<node>.log of the run",
    )
