"""How long a check may take: each of its phases (set-up, the check, clean-up) has a deadline."""

from __future__ import annotations

import pytest

from yoctovirt.base.deadline import Deadline
from yoctovirt.smoke.suitefile import DEFAULT_DEADLINE

#: Seconds beyond the deadlines of the phases after which pytest-timeout ends a check that
#: does not even wait for a node.
_GUARD_MARGIN = 60.0


class CheckDeadlineError(AssertionError):
    """The deadline of a check was over before it had run its next command."""


class CheckClock:
    """The deadline of the phase that runs now; nothing is limited between checks."""

    def __init__(self) -> None:
        self._deadline: Deadline | None = None

    def start(self, seconds: float) -> None:
        """Give the phase that begins now *seconds*, the accelerator's factor included."""
        self._deadline = Deadline(seconds)

    def stop(self) -> None:
        """Limit nothing until the next phase."""
        self._deadline = None

    def limit(self, seconds: float, command: str) -> float:
        """Return *seconds*, or what is left of the phase where that is less.

        Raises CheckDeadlineError where nothing is left.
        """
        if self._deadline is None:
            return seconds
        if self._deadline.expired:
            raise CheckDeadlineError(
                f"the check's deadline of {self._deadline.seconds:.0f} s is over; "
                f"it had still to run `{command}`"
            )
        return min(seconds, self._deadline.remaining)


def deadline_of(item: pytest.Item) -> float:
    """Return the deadline of a check in seconds, before the accelerator's factor."""
    mark = item.get_closest_marker("deadline")
    if mark is None:
        return DEFAULT_DEADLINE
    if len(mark.args) != 1 or not isinstance(mark.args[0], (int, float)) or mark.args[0] <= 0:
        raise pytest.UsageError(f"{item.nodeid}: deadline takes one number of seconds")
    return float(mark.args[0])


def retries_of(item: pytest.Item) -> tuple[int, str]:
    """Return how often a check may be tried again, and why; (0, "") where it says nothing."""
    mark = item.get_closest_marker("retry")
    if mark is None:
        return 0, ""
    count = mark.args[0] if mark.args else 0
    reason = mark.kwargs.get("reason", "")
    if not isinstance(count, int) or count < 1 or not reason:
        raise pytest.UsageError(f'{item.nodeid}: retry takes a count and reason="..."')
    return count, str(reason)


def apply_marks(items: list[pytest.Item], scale: float, config: pytest.Config) -> None:
    """Hand deadlines and retries of *items* on to pytest-timeout and pytest-rerunfailures."""
    for item in items:
        seconds, (count, _) = deadline_of(item) * scale, retries_of(item)
        if config.pluginmanager.has_plugin("pytest_timeout") and not item.get_closest_marker(
            "timeout"
        ):
            guard = (1 + count) * 3 * seconds + _GUARD_MARGIN
            item.add_marker(pytest.mark.timeout(guard, method="signal"))
        if count:
            item.add_marker(pytest.mark.flaky(reruns=count))
