"""What is kept of a node that failed, while it still can be asked."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from yoctovirt.base.files import make_folder, write_atomically
from yoctovirt.boot.console import Console
from yoctovirt.boot.node import Node
from yoctovirt.boot.screenshot import take_screenshot
from yoctovirt.boot.signs import ConsoleWatch, clean
from yoctovirt.boot.watch import ConsoleSilentError
from yoctovirt.errors import BootError, YoctovirtError

#: QMP commands without side effects that tell what QEMU thinks of the guest.
_QUESTIONS = ("query-status", "query-cpus-fast", "query-block")
#: Seconds that QEMU has for each of its answers: it has them at once, or it hangs.
_ANSWER = 3.0
#: Seconds, before scaling, that a shell on the console has for the journal.
_SHELL_SECONDS = 15.0
_JOURNAL = (
    "if [ -d /run/systemd/system ]; then systemctl --failed --no-pager --plain; "
    "systemctl list-jobs --no-pager --plain; journalctl -b --no-pager -n 400; "
    "else dmesg | tail -n 200; tail -n 200 /var/log/messages /var/log/syslog 2>/dev/null; fi"
)
#: Where a processor is, in the registers that QEMU prints: x86, Arm 64, Arm 32, RISC-V.
_PROCESSOR = re.compile(r"^CPU#(\d+)\s*$", re.MULTILINE)
_PLACE = re.compile(r"\b(?:[RE]?IP|PC|R15|pc)\s*=?\s*([0-9a-f]{8,16})\b")


@contextmanager
def evidence_kept(
    node: Node, console: Console, watch: ConsoleWatch, why_gone: Callable[[], str | None]
) -> Iterator[None]:
    """Where the block ends in a BootError, keep what tells why; the error says where.

    Nothing of a node that will be started again under TCG, or whose QEMU is gone
    (*why_gone*).
    """
    try:
        yield
    except ConsoleSilentError:
        raise
    except BootError as error:
        if why_gone() is None:
            kept, places = collect(node, Path(node.state.run), console, watch)
            error.details["evidence"] = kept
            if places and not watch.bytes_seen:
                error.message += f" (its processors: {places})"
            told = f"kept in the record: {', '.join(kept)}"
            error.hint = f"{error.hint}; {told}" if error.hint else told
        raise


def places_of(registers: str) -> str:
    """Return where each processor is, from what QEMU's ``info registers -a`` prints.

    An address below 1 MiB is firmware on x86, one that begins with ffff the kernel. '' where
    the machine's registers have names that are not known here.
    """
    told = []
    parts = _PROCESSOR.split(registers)[1:]
    for number, text in zip(parts[::2], parts[1::2], strict=True):
        place = _PLACE.search(text)
        if place is not None:
            halted = ", halted" if re.search(r"\bHLT=1\b", text) else ""
            told.append(f"{number} at 0x{place[1]}{halted}")
    return "; ".join(told)


def collect(
    node: Node, record: Path, console: Console, watch: ConsoleWatch
) -> tuple[list[str], str]:
    """Ask what can be asked of *node* and write it below *record*.

    Returns the files' names and where the processors are (see :func:`places_of`).

    The journal is asked for over SSH where that was reached, else root's shell on *console*
    where *watch* has seen a login, or a shell for emergencies. Nothing of it is worth an error
    of its own: the one that led here is what the user must see.
    """
    names = {finding.sign.name for finding in watch.findings}
    shell = not names & {"panic", "root"} and (watch.login or "emergency" in names)
    folder = record / f"failure-{node.name}"
    make_folder(folder)
    kept = []
    answers: dict[str, Any] = {}
    for question in _QUESTIONS:
        try:
            answers[question] = node.qmp.execute(question, timeout=_ANSWER)
        except YoctovirtError as error:
            answers[question] = f"no answer: {error.message}"
            break
    write_atomically(folder / "qmp.json", json.dumps(answers, indent=2) + "\n")
    kept.append(f"{folder.name}/qmp.json")
    places = ""
    try:
        registers = node.qmp.hmp("info registers -a", _ANSWER)
        write_atomically(folder / "registers.txt", registers)
        kept.append(f"{folder.name}/registers.txt")
        places = places_of(registers)
    except YoctovirtError:
        pass  # a QEMU that answers nothing has said so in qmp.json
    try:
        take_screenshot(node.qmp, folder / "screen.png")
        kept.append(f"{folder.name}/screen.png")
    except YoctovirtError:
        pass  # most nodes have no display, and one that is gone shows nothing
    if shell or "ssh" in node.state.timings:
        try:
            if "ssh" in node.state.timings:
                said = node.run(_JOURNAL, timeout=_SHELL_SECONDS).output
            else:
                with node.serial.session(console):
                    said = node.serial.run(_JOURNAL, timeout=_SHELL_SECONDS).output
            write_atomically(folder / "journal.txt", clean(said))
            kept.append(f"{folder.name}/journal.txt")
        except YoctovirtError as error:
            write_atomically(folder / "journal.txt", f"could not be had: {error.message}\n")
    return kept, places
