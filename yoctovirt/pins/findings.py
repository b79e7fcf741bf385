"""What ``pins check`` finds: what, where, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

#: ``error``: it does not fit together. ``missing``: it could not be looked at.
#: ``warning``: it works, and may not be meant. ``note``: worth knowing.
Level = Literal["error", "missing", "warning", "note"]
LEVELS: tuple[Level, ...] = ("missing", "error", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """One finding about the pins of a release."""

    level: Level
    code: str  #: a word for programs, such as ``series``
    release: str
    where: str  #: repository, layer, or file
    what: str
    remedy: str = ""
    roles: tuple[str, ...] = ()  #: roles that it was found with; empty where it is of the release

    def as_json(self) -> dict[str, Any]:
        """Return the finding for programs."""
        return {
            "level": self.level, "code": self.code, "release": self.release, "where": self.where,
            "what": self.what, "remedy": self.remedy, "roles": list(self.roles),
        }  # fmt: skip


def merged(findings: Iterable[Finding]) -> list[Finding]:
    """Return *findings*, worst first, with what several roles share named once."""
    found: dict[tuple[str, ...], Finding] = {}
    for one in findings:
        key = (one.level, one.code, one.release, one.where, one.what)
        before = found.get(key)
        if before is not None:
            one = replace(before, roles=tuple(dict.fromkeys([*before.roles, *one.roles])))
        found[key] = one
    return sorted(found.values(), key=lambda one: (one.release, LEVELS.index(one.level)))
