"""What the console of a node said while something happened."""

from __future__ import annotations

from pathlib import Path

from yoctovirt.report.text import plain

#: Seconds before and after: a kernel tells of what went wrong a moment later.
MARGIN = 2.0
#: Bytes before the span, so that it is seen what the node was at.
_BEFORE = 600


def console_around(log: Path, begin: float, end: float, limit: int) -> str | None:
    """Return what came on the console between *begin* and *end* (seconds since 1970).

    With some lines before, at most *limit* bytes, the last of them. ``<log>.times``, which the
    node's guard writes, tells when the log had which size. Returns None where it does not.
    """
    span = _span(log, begin - MARGIN, end + MARGIN)
    if span is None:
        return None
    first, last = span
    start = max(0, first - _BEFORE, last - limit)
    try:
        with log.open("rb") as source:
            source.seek(start)
            data = source.read(last - start)
    except OSError:
        return None
    text = plain(data.decode("utf-8", errors="replace"))
    if start:
        text = text.partition("\n")[2]
    return text if first < last else f"{text.rstrip()}\n[nothing came on the console meanwhile]"


def _span(log: Path, begin: float, end: float) -> tuple[int, int] | None:
    """Return from which byte to which one the log grew between two moments."""
    try:
        told = log.with_name(f"{log.name}.times").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    first = last = 0
    seen = False
    for line in told.splitlines():
        moment, _, size = line.partition(" ")
        try:
            when, length = float(moment), int(size)
        except ValueError:
            continue  # the last line of a node that was killed
        seen = True
        if when < begin:
            first = length
        if when <= end:
            last = length
    return (first, max(first, last)) if seen else None
