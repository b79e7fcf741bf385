"""Trying again what the network or a mirror kept from succeeding, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import click

from yoctovirt.cli.common import Function
from yoctovirt.errors import InfrastructureError

if TYPE_CHECKING:
    from yoctovirt.base.record import RunRecord
    from yoctovirt.base.screen import Screen

Found = TypeVar("Found")
#: The longest time between two attempts, in seconds.
LONGEST_WAIT = 300.0


@dataclass(frozen=True)
class Retry:
    """How often to try again, and how long to wait before the first of these attempts."""

    times: int = 0
    wait: float = 10.0  #: seconds, doubled each time


def retry_options(function: Function) -> Function:
    """Add the options of :class:`Retry`."""
    for option in (
        click.option(
            "--retry-wait", type=click.FloatRange(0, LONGEST_WAIT), default=10.0, metavar="S",
            show_default=True, help="Seconds before the first such attempt, doubled each time.",
        ),
        click.option(
            "--retry", type=click.IntRange(0, 20), default=0, metavar="N",
            help="Try up to N times again where the network or a mirror failed (never a build, "
            "a boot or a check).",
        ),
    ):  # fmt: skip
        function = option(function)
    return function


def with_retries(
    record: RunRecord, screen: Screen, retry: Retry, work: Callable[[], Found]
) -> Found:
    """Do *work*, a phase of *record*, again where an InfrastructureError is a passing one.

    Each attempt that failed is moved from the phases of the record to its ``retries``.
    """
    for attempt in range(1, retry.times + 1):
        before = len(record.data["phases"])
        try:
            return work()
        except InfrastructureError as error:
            if not error.passing:
                raise
            wait = min(retry.wait * 2 ** (attempt - 1), LONGEST_WAIT)
            for phase in record.data["phases"][before:]:
                record.data["retries"].append(
                    {
                        "phase": phase["name"], "attempt": attempt,
                        "started": phase["started"], "seconds": phase["seconds"],
                        "class": type(error).__name__, "message": error.message, "wait": wait,
                    }
                )  # fmt: skip
            del record.data["phases"][before:]
            record.save()
            screen.note(f"failed: {error.message}")
            screen.note(f"attempt {attempt} of {retry.times + 1}; the next in {wait:.0f} s")
            time.sleep(wait)
    return work()
