"""The QEMU monitor (QMP), one short conversation at a time.

A QMP server speaks with one client; so a connection is closed after each
command, and ``yoctovirt stop`` of another process gets its turn.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from yoctovirt.boot.results import NodeUnreachableError


@contextmanager
def short_path(path: Path) -> Iterator[str]:
    """Yield a name of the UNIX socket *path* that fits the kernel's 108 bytes."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


class Qmp:
    """The monitor of one node."""

    def __init__(self, socket_path: Path) -> None:
        self.socket_path = socket_path

    def execute(self, command: str, timeout: float = 15.0, **arguments: Any) -> Any:
        """Run a QMP command and return its value.

        Raises NodeUnreachableError where QEMU does not answer within *timeout*
        seconds or refuses the command.
        """
        from qemu.qmp import ExecuteError, QMPClient, QMPError

        # The library reports each failed connection attempt; we report the outcome.
        logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL)

        async def converse(address: str) -> Any:
            client = QMPClient("yoctovirt")
            await client.connect(address)
            try:
                return await client.execute(command, arguments or None)
            finally:
                with suppress(QMPError, OSError, EOFError):
                    await client.disconnect()

        try:
            with short_path(self.socket_path) as address:
                return asyncio.run(asyncio.wait_for(converse(address), timeout))
        except ExecuteError as error:
            raise NodeUnreachableError(f"QEMU refused {command}: {error}") from error
        except (QMPError, OSError, EOFError, asyncio.TimeoutError) as error:
            if command == "quit":
                return None
            raise NodeUnreachableError(
                f"QEMU does not answer {command} on {self.socket_path}: {error!r}"
            ) from error

    def hmp(self, line: str, timeout: float = 15.0) -> str:
        """Run a line of the human monitor, for what QMP has no command for.

        Raises as :meth:`execute`.
        """
        arguments: Any = {"command-line": line}
        return str(self.execute("human-monitor-command", timeout, **arguments))

    def forwards(self) -> list[tuple[int, int]]:
        """Return the TCP ports that QEMU forwards: of the host, of the guest (``info usernet``)."""
        found = []
        # Protocol[State] FD Source-Address Port Dest-Address Port RecvQ SendQ
        for line in self.hmp("info usernet").splitlines():
            match = re.match(r"\s*TCP\[HOST_FORWARD\]\s+\d+\s+\S+\s+(\d+)\s+\S+\s+(\d+)\s", line)
            if match:
                found.append((int(match[1]), int(match[2])))
        return found
