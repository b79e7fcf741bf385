"""What has become of a node that was ready: asked while somebody waits for its answer."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from pathlib import Path

from yoctovirt.base.deadline import Deadline
from yoctovirt.base.files import is_locked
from yoctovirt.boot.qmp import Qmp
from yoctovirt.boot.results import NodeUnreachableError
from yoctovirt.boot.signs import ConsoleWatch

#: Signs after which no answer can come. After the others the node may go on.
_DEADLY = ("panic", "memory")
#: Seconds between two questions to QEMU, which answers one client at a time.
_ASK_QEMU = 3.0
#: So much of the console is looked at in one turn (bytes); a flood is looked at in several.
_PORTION = 4 << 20


class Trouble:
    """Follows the console log of a node from *offset* on, and knows whether its QEMU still runs.

    *allowed* and *patient* are those of :class:`ConsoleWatch`.
    """

    def __init__(
        self,
        log: Path,
        offset: int,
        lock: Path,
        qmp: Qmp,
        allowed: Sequence[str] = (),
        patient: bool = False,
    ) -> None:
        self._log = log
        self._lock = lock
        self._qmp = qmp
        self._watch = ConsoleWatch(allowed, patient)
        self._text = codecs.getincrementaldecoder("utf-8")("replace")
        self._offset = offset
        self._next = Deadline(_ASK_QEMU)

    def _read(self) -> None:
        try:
            with self._log.open("rb") as log:
                log.seek(self._offset)
                data = log.read(_PORTION)
        except OSError:
            return
        self._offset += len(data)
        self._watch.feed(self._text.decode(data))

    def deadly(self) -> str | None:
        """Return why no answer will come from the node, None where nothing says so."""
        self._read()
        for finding in self._watch.findings:
            if finding.sign.name in _DEADLY:
                return str(finding)
        if self._lock.exists() and not is_locked(self._lock):
            return "its QEMU has ended"
        if self._next.expired:
            self._next = Deadline(_ASK_QEMU)
            return self._status()
        return None

    def _status(self) -> str | None:
        try:
            status = str(self._qmp.execute("query-status", timeout=2.0).get("status"))
        except NodeUnreachableError:
            return None  # its monitor is busy, or it ends just now: the lock tells next time
        return status_says(status)

    def suspicion(self) -> str | None:
        """Return what may be why an answer did not come: of the console, of QEMU."""
        self._read()
        found = [*self._watch.findings, *self._watch.remarks]
        if found:
            return f"the console said meanwhile: {found[0]}"
        try:
            status = str(self._qmp.execute("query-status", timeout=2.0).get("status"))
        except NodeUnreachableError as error:
            return f"QEMU's monitor does not answer: {error.message}"
        return None if status == "running" else f"QEMU says that the node is not running: {status}"


def status_says(status: str) -> str | None:
    """Return why a guest in that state (QMP's RunState) does not go on, None where it does."""
    return {
        "io-error": "its disk could not be written, and QEMU paused it (is the disk of this host "
        "full?)",
        "guest-panicked": "its kernel panicked",
        "shutdown": "it has shut down",
        "internal-error": "QEMU had an internal error",
        "watchdog": "its watchdog has stopped it",
    }.get(status)
