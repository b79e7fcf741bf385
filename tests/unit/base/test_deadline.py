from __future__ import annotations

from yoctovirt.base.deadline import Deadline


def test_a_deadline_in_the_future_counts_down() -> None:
    deadline = Deadline(1000.0)
    first = deadline.remaining
    assert 0 < first <= 1000.0
    while deadline.remaining == first:
        pass
    assert deadline.remaining < first
    assert deadline.elapsed > 0
    assert not deadline.expired


def test_a_deadline_in_the_past_has_nothing_left_and_never_less() -> None:
    for seconds in (0.0, -5.0):
        deadline = Deadline(seconds)
        assert deadline.expired
        assert deadline.remaining == 0.0
