"""The console log of a node: read, followed, dated."""

from __future__ import annotations

import bisect
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from yoctovirt.boot.node import running_nodes
from yoctovirt.config.workspace import Workspace
from yoctovirt.errors import UsageError

#: Seconds between two looks at a log that is followed.
_PERIOD = 0.1
_PORTION = 1 << 20


@dataclass(frozen=True)
class NodeLog:
    """Where what a node says is written, and whether it still runs."""

    path: Path
    running: Callable[[], bool]


def find_log(workspace: Workspace, name: str, kind: str = "console") -> NodeLog:
    """Return the log (``console`` or ``qemu``) of node *name*: running, or of its last run.

    Raises UsageError, with the names that there are, where no run has one.
    """
    file = f"{kind}-{name}.log"
    node = running_nodes(workspace).get(name)
    if node is not None:
        return NodeLog(Path(node.state.run) / file, lambda: name in running_nodes(workspace))
    found = sorted(workspace.runs.glob(f"*/{file}"), key=lambda path: path.stat().st_mtime_ns)
    if found:
        return NodeLog(found[-1], lambda: False)
    from yoctovirt.base.suggest import did_you_mean

    known = {path.name[len(kind) + 1 : -4] for path in workspace.runs.glob(f"*/{kind}-*.log")}
    raise UsageError(f"no node {name!r} has run in {workspace.path}", did_you_mean(name, known))


def pieces(
    log: NodeLog, offset: int, follow: bool, enough: Callable[[], bool] = lambda: False
) -> Iterator[bytes]:
    """Yield what stands in *log* from *offset* on.

    With *follow* until its node has ended, or *enough* is true.
    """
    while not enough():
        # Asked before the read: what came last is then read in any case.
        last = not (follow and log.running())
        with log.path.open("rb") as source:
            source.seek(offset)
            while data := source.read(_PORTION):
                offset += len(data)
                yield data
        if last:
            return
        time.sleep(_PERIOD)


def tail_offset(path: Path, lines: int) -> int:
    """Return where the last *lines* lines of the file begin."""
    size = path.stat().st_size
    with path.open("rb") as source:
        start, found = size, 0
        while start > 0:
            begin = max(0, start - 65536)
            source.seek(begin)
            block = source.read(start - begin)
            # The line end at the very end of the file ends its last line.
            stop = len(block) - (start == size and block.endswith(b"\n"))
            while (at := block.rfind(b"\n", 0, stop)) >= 0:
                found, stop = found + 1, at
                if found == lines:
                    return begin + at + 1
            start = begin
    return 0


class Dates:
    """When each part of a log was written, as the node's guard has noted it."""

    def __init__(self, log: Path) -> None:
        self._path = log.with_name(f"{log.name}.times")
        self._read = 0
        self._times: list[float] = []
        self._sizes: list[int] = []

    def of(self, offset: int) -> float | None:
        """Return when the byte at *offset* was there, None where that is not known."""
        if not self._sizes or offset >= self._sizes[-1]:
            self._load()
        index = bisect.bisect_right(self._sizes, offset)
        return self._times[index] if index < len(self._times) else None

    def _load(self) -> None:
        try:
            with self._path.open(encoding="ascii") as source:
                source.seek(self._read)
                text = source.read()
        except (OSError, UnicodeDecodeError):
            return
        whole = text.rpartition("\n")[0]
        self._read += len(whole) + 1 if whole else 0
        for line in whole.splitlines():
            moment, _, size = line.partition(" ")
            self._times.append(float(moment))
            self._sizes.append(int(size))
