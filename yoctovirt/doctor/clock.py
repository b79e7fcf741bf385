"""The clock: make and bitbake trust file times, TLS trusts the date."""

from __future__ import annotations

import time
from collections.abc import Iterable
from email.utils import parsedate_to_datetime
from pathlib import Path

from yoctovirt.doctor.result import Result, error, not_checked, ok, warning

#: Seconds by which a clock may be wrong before it is worth a word, and before it breaks things.
WORTH_A_WORD, TOO_MUCH = 120.0, 86400.0
_REMEDY = "set the clock: timedatectl set-ntp true (as root), or date -s"


def _amount(seconds: float) -> str:
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"


def against_files(files: Iterable[Path], now: float | None = None) -> Result:
    """Check that none of *files* is from the future: then the clock was set back, or is behind."""
    now = time.time() if now is None else now
    newest, when = None, now
    for path in files:
        try:
            stamp = path.stat().st_mtime
        except OSError:
            continue
        if stamp > when:
            newest, when = path, stamp
    ahead = when - now
    if newest is None or ahead < WORTH_A_WORD:
        return ok("clock.files", "no file at hand is from the future")
    said = f"{newest} is from the future by {_amount(ahead)}: the clock is behind, or was set back"
    return (error if ahead > TOO_MUCH else warning)("clock.files", said, _REMEDY)


def against_servers(dates: Iterable[tuple[str, str, float]]) -> Result:
    """Compare the clock with ``Date:`` headers: (server, header, when it came)."""
    check = "clock.servers"
    seen: list[tuple[float, str]] = []
    for server, header, came in dates:
        try:
            seen.append((came - parsedate_to_datetime(header).timestamp(), server))
        except (TypeError, ValueError):
            continue
    if not seen:
        return not_checked(check, "no server has told its time")
    # One server with a wrong clock must not put ours in question.
    off, server = sorted(seen, key=lambda pair: abs(pair[0]))[0]
    if abs(off) < WORTH_A_WORD:
        return ok(check, f"the clock agrees with {server}")
    said = f"the clock is {_amount(abs(off))} {'ahead of' if off > 0 else 'behind'} {server}"
    return (error if abs(off) > TOO_MUCH else warning)(check, said, _REMEDY)
