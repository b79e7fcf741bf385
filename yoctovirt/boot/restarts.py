"""Restarts of a node: those that somebody announced, and those that nobody did.

Two witnesses: QEMU tells of each reset (``events-<node>.jsonl``, written by whoever listens, see
events.py), at once; and each boot of a Linux has an id of its own, which is compared after each
new connection, on hosts, too.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yoctovirt.base.files import write_atomically
from yoctovirt.boot.results import NodeRestartedError

#: Prints what changes with each boot (kernel: random(4)).
BOOT_ID = "cat /proc/sys/kernel/random/boot_id"
#: Seconds, before scaling, that a node whose connection broke has to tell that it restarts: it
#: stops its services first.
AFTERMATH = 30.0


@dataclass(frozen=True)
class Since:
    """From when on a restart counts."""

    boot_id: str = ""  #: empty: the first one that is met
    events: int = 0  #: size of the log of QEMU's events, bytes


class Restarts:
    """The restarts of one node.

    *folder* is the node's, *events* the log of QEMU's events. Nothing counts before
    :meth:`watch`: who has booted a node by hand may restart it.
    """

    def __init__(self, name: str, folder: Path, events: Path) -> None:
        self._name = name
        self._marker = folder / "reboot-expected"
        self._announced = folder / "boots-expected"
        self._events = events
        self._since: Since | None = None
        self._told = ""

    def expected(self) -> bool:
        """Whether the node may restart now; asked for each reset that QEMU tells of."""
        try:
            # Whoever was killed in the block expects nothing any more.
            pid = self._marker.read_text(encoding="ascii")
            return pid.isdigit() and Path("/proc", pid).exists()
        except OSError:
            return False

    def now(self, boot_id: str = "") -> Since:
        """Return what :meth:`watch` of another process is to count from."""
        return Since(boot_id, self._events.stat().st_size if self._events.is_file() else 0)

    def watch(self, since: Since | None = None) -> None:
        """Count each restart after *since* (by default: after now) that is not announced."""
        self._since, self._told = since or self.now(), ""

    def forget(self) -> None:
        """Count none any more."""
        self._since = None

    @property
    def watched(self) -> bool:
        """Whether restarts count."""
        return self._since is not None

    def unexpected(self) -> str:
        """Return what is known of a restart that nobody announced, '' where there was none."""
        if self._since is not None and not self._told:
            for entry in self._resets(self._since.events):
                if not entry.get("expected"):
                    at = time.strftime("%H:%M:%S", time.localtime(entry["time"]))
                    who = entry.get("data", {}).get("reason", "no reason given")
                    self._told = f"QEMU told of a reset ({who}) at {at}"
                    break
        return self._told

    def _resets(self, offset: int) -> list[dict[str, Any]]:
        try:
            with self._events.open("rb") as log:
                log.seek(offset)
                lines = log.read().splitlines(keepends=True)
        except OSError:
            return []
        whole = [json.loads(line) for line in lines if line.endswith(b"\n")]
        return [entry for entry in whole if entry.get("event") == "RESET"]

    def met(self, boot_id: str) -> None:
        """Take the id of the boot that a new connection has met.

        Raises NodeRestartedError where it is another one, and nobody had announced that.
        """
        if self._since is None or not boot_id:
            return
        if self._since.boot_id in ("", boot_id) or self.expected() or boot_id in self._known():
            self._since = Since(boot_id, self._since.events)
            return
        self._told = f"its boot id was {self._since.boot_id} and is {boot_id}"
        self.check("a connection was made")

    def _known(self) -> list[str]:
        with suppress(OSError):
            return self._announced.read_text(encoding="utf-8").split()
        return []

    def check(self, meanwhile: str) -> None:
        """Raise NodeRestartedError where the node has restarted and nobody had announced it."""
        told = self.unexpected()
        if told:
            raise NodeRestartedError(
                f"node {self._name} restarted, and nobody had announced it: {told}; this was found "
                f"while {meanwhile}",
                "console-<node>.log of the run that booted it has its last words; whoever restarts "
                "a node in a check says so: with node.expect_reboot()",
            )

    @contextmanager
    def announced(self) -> Iterator[None]:
        """Let the node restart in the block."""
        write_atomically(self._marker, str(os.getpid()))
        try:
            yield
        finally:
            self._marker.unlink(missing_ok=True)

    def restarting(self, since: Since) -> bool:
        """Whether QEMU told of a reset after *since*, announced or not."""
        return bool(self._resets(since.events))

    def announce(self, boot_id: str) -> None:
        """Let all who watch the node know that its boot *boot_id* was expected."""
        with self._announced.open("a", encoding="utf-8") as out:
            out.write(f"{boot_id}\n")
        if self._since is not None:
            self._since = Since(boot_id, self._since.events)
