"""What the console says while a node starts."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

from pexpect.exceptions import EOF, TIMEOUT

from yoctovirt.base.deadline import Deadline
from yoctovirt.boot.console import Console
from yoctovirt.errors import BootError

#: The getty's question. What other services print may follow on the same line;
#: "Last login:" is what a shell says.
LOGIN = r"(?<!Last )\blogin: "
#: What ends the wait at once: pattern and what it means.
FATAL: tuple[tuple[str, str], ...] = (
    (r"Kernel panic - not syncing: ?([^\r\n]*)", "the kernel panicked"),
    (r"VFS: (?:Cannot open root device|Unable to mount root)([^\r\n]*)",
     "the root file system could not be mounted"),
    (r"You are in (emergency|rescue) mode", "the node is in emergency mode"),
    (r"Give root password for maintenance", "the node is in emergency mode"),
    (r"\(initramfs\) ", "the initramfs could not go on and shows a shell"),
    (r"Out of memory and no killable processes", "the node ran out of memory"),
)  # fmt: skip


#: Seconds between two looks at what the console does not tell.
_TURN = 0.2
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


def _clean(text: str) -> str:
    """Return *text* without escape codes and what else cannot be shown."""
    text = re.sub(r"\x1b(\[[0-?]*[ -/]*[@-~]|[@-Z\\-_])", "", text)
    return re.sub(r"[^\t\n -~\u00a0-\uffff]", "", text.replace("\r", ""))


def shows_life(text: str) -> bool:
    """Whether console output has more than the lines of the firmware."""
    return any(line.strip() and not FIRMWARE.match(line) for line in _clean(text).splitlines())


def console_tail(text: str, lines: int = 15) -> str:
    """Return the last *lines* of console output, free of escape codes, indented."""
    kept = [line for line in _clean(text).splitlines() if line.strip()][-lines:]
    return "\n".join(f"    | {line}" for line in kept) or "    | (nothing)"


def wait_for_login(
    console: Console,
    seconds: float,
    why_gone: Callable[[], str | None],
    silent_limit: float | None = None,
    reached: Callable[[], bool] = lambda: False,
) -> bool:
    """Wait until the console asks for a login; return False where *reached* came true first.

    Raises BootError with what was seen: a fatal line, QEMU gone (*why_gone* tells),
    no login within *seconds*; ConsoleSilentError where nothing came within *silent_limit*.
    """
    deadline = Deadline(seconds)
    silence = Deadline(silent_limit) if silent_limit else None
    patterns: list[Any] = [LOGIN, EOF, TIMEOUT, *(pattern for pattern, _ in FATAL)]
    compiled = console.compile_pattern_list(patterns)
    while True:
        index = console.expect_list(compiled, timeout=min(_TURN, deadline.remaining))
        seen = console.before if isinstance(console.before, str) else ""
        if index == 0:
            return True
        if index == 1 or (index == 2 and why_gone() is not None):
            time.sleep(0.1)  # the exit status follows the closed console
            reason = why_gone() or "its console was closed"
            raise BootError(
                f"QEMU ended while the node started: {reason}\n{console_tail(seen)}",
                "the whole output is in qemu-<node>.log and console-<node>.log of the run",
            )
        if index > 2:
            _, meaning = FATAL[index - 3]
            said = console_tail(seen + str(console.after))
            raise BootError(
                f"{meaning} while the node started\n{said}",
                "the whole output is in console-<node>.log of the run",
            )
        if reached():
            return False
        if silence and shows_life(seen):
            silence = None
        if silence and silence.expired:
            last = _clean(seen).strip().rpartition("\n")[2].strip()
            raise ConsoleSilentError(
                f"no sign of life on the console within {silence.seconds:.0f} s"
                + (f" but the firmware's, which ends with {last[:80]!r}" if last else "")
            )
        if deadline.expired:
            raise BootError(
                f"no login on the console within {seconds:.0f} s; the last that came:\n"
                f"{console_tail(seen)}",
                "give it longer with --login-timeout, or look into console-<node>.log of the run",
            )
