"""What a check of the host says."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

#: ``warning``: it works, or may not, and is worth knowing. ``not checked``: it could not be told.
Status = Literal["ok", "warning", "error", "not checked"]


@dataclass(frozen=True)
class Result:
    """One check: its verdict, what was seen, and what to do where it is not ``ok``."""

    check: str  #: ``family.name``, a word for programs, such as ``disk.space``
    status: Status
    message: str
    remedy: str = ""

    @property
    def family(self) -> str:
        """What the check belongs to, such as ``disk``."""
        return self.check.partition(".")[0]

    def as_json(self) -> dict[str, str]:
        """Return the result for programs (schema: ``doctor.schema.json``)."""
        return asdict(self)


def ok(check: str, message: str) -> Result:
    """Return that nothing speaks against this host here."""
    return Result(check, "ok", message)


def warning(check: str, message: str, remedy: str) -> Result:
    """Return what works for now, or may not work, and what to do."""
    return Result(check, "warning", message, remedy)


def error(check: str, message: str, remedy: str) -> Result:
    """Return what will fail, and what to do."""
    return Result(check, "error", message, remedy)


def not_checked(check: str, why: str, remedy: str = "") -> Result:
    """Return that it could not be told, and why."""
    return Result(check, "not checked", why, remedy)
