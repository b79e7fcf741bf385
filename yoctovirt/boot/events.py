"""What QEMU itself tells of a node: events over a monitor (QMP) of their own.

QMP's events come to the client that is connected, and a monitor has one client: so the
node has a second monitor, for whoever started it. Events: qapi/run-state.json,
qapi/block-core.json of QEMU.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from yoctovirt.boot.qmp import short_path

#: Restarts by the guest itself after which it is said to restart again and again.
RESET_LOOP = 3
#: Seconds within which RESET is one restart: Linux tries several ways, and two may take effect.
_ONE_RESTART = 0.5
#: Events that are kept; QEMU may send some of them (RTC_CHANGE) without end.
_KEPT = ("SHUTDOWN", "RESET", "POWERDOWN", "STOP", "RESUME", "SUSPEND", "WATCHDOG",
         "GUEST_PANICKED", "GUEST_CRASHLOADED", "BLOCK_IO_ERROR", "MEMORY_FAILURE")  # fmt: skip


class Events:
    """Listens to the events of a node from its start on, in a thread.

    *log* gets each event as a line of JSON. A reset while *expected* is true does not count,
    and is noted as ``expected``.
    """

    def __init__(
        self,
        socket_path: Path,
        log: Path | None = None,
        expected: Callable[[], bool] = lambda: False,
    ) -> None:
        self._path = socket_path
        self._log = log
        self._expected = expected
        self._events: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._listening = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self, seconds: float = 10.0) -> None:
        """Connect, and return when QEMU has answered or *seconds* are over.

        Whether it answers is not decided here: a QEMU that is gone is met by whoever
        gives it its first command.
        """
        self._thread.start()
        self._listening.wait(seconds)

    def _run(self) -> None:
        logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL)
        with suppress(asyncio.CancelledError):
            asyncio.run(self._listen())
        self._listening.set()

    async def _listen(self) -> None:
        from qemu.qmp import QMPClient, QMPError

        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        client = QMPClient("yoctovirt-events")
        try:
            with short_path(self._path) as address:
                await client.connect(address)
            self._listening.set()
            async for event in client.events:
                self._note(dict(event))
        except (QMPError, OSError, EOFError):
            return  # QEMU has ended: its exit status is read by others
        finally:
            with suppress(QMPError, OSError, EOFError):
                await client.disconnect()

    def _note(self, event: dict[str, Any]) -> None:
        if event.get("event") not in _KEPT:
            return
        stamp = event.get("timestamp", {})
        entry = {
            "time": stamp.get("seconds", 0) + stamp.get("microseconds", 0) / 1e6 or time.time(),
            "event": event["event"],
            "data": event.get("data", {}),
        }
        if entry["event"] == "RESET" and self._expected():
            entry["expected"] = True
        with self._lock:
            self._events.append(entry)
        if self._log is not None:
            with suppress(OSError), self._log.open("a", encoding="utf-8") as out:
                out.write(json.dumps(entry) + "\n")

    def seen(self, name: str) -> list[dict[str, Any]]:
        """Return the events of that name, oldest first."""
        with self._lock:
            return [entry for entry in self._events if entry["event"] == name]

    def resets(self) -> int:
        """Return how often the guest has restarted itself without that this was expected."""
        counted: list[float] = []
        with self._lock:
            for entry in self._events:
                if not _is_reset(entry) or "expected" in entry:
                    continue
                # From the one that counts on: a loop of resets must not count as one restart.
                if not counted or entry["time"] - counted[-1] >= _ONE_RESTART:
                    counted.append(entry["time"])
        return len(counted)

    def complaint(self) -> str | None:
        """Return what QEMU says is wrong with the guest, None where nothing is."""
        panicked = self.seen("GUEST_PANICKED")
        if panicked:
            return "the guest told QEMU that its kernel panicked (pvpanic)"
        errors = self.seen("BLOCK_IO_ERROR")
        if errors:
            return io_error(errors[-1]["data"])
        if (times := self.resets()) >= RESET_LOOP:
            return f"the node restarts again and again ({times} times)"
        return None

    def how_ended(self) -> str | None:
        """Return who ended QEMU, as far as its last words tell."""
        ended = self.seen("SHUTDOWN")
        if not ended:
            return None
        data = ended[-1]["data"]
        return {
            "guest-shutdown": "the guest powered itself off",
            "guest-reset": "the guest restarted, and QEMU was told to end then",
            "guest-panic": "the guest panicked, and QEMU was told to end then",
            "host-qmp-quit": "somebody told QEMU to quit",
            "host-signal": "somebody ended QEMU by a signal",
            "host-ui": "somebody closed QEMU's window",
        }.get(str(data.get("reason")))

    def close(self) -> None:
        """Stop listening."""
        if self._loop is not None and self._task is not None:
            with suppress(RuntimeError):  # the loop has ended by itself
                self._loop.call_soon_threadsafe(self._task.cancel)
        if self._thread.is_alive():
            self._thread.join(timeout=5)


def _is_reset(entry: dict[str, Any]) -> bool:
    # A reset over QMP has "host-qmp-system-reset" as its reason.
    return bool(
        entry["event"] == "RESET" and str(entry["data"].get("reason", "")).startswith("guest-reset")
    )


def io_error(data: dict[str, Any]) -> str:
    """Return what a BLOCK_IO_ERROR says."""
    if data.get("nospace"):
        return (
            "the disk of this host is full: QEMU could not write the node's disk and paused the "
            "node"
        )
    return (
        f"QEMU could not {data.get('operation', 'use')} the node's disk "
        f"({data.get('reason', 'input/output error')})"
    )
