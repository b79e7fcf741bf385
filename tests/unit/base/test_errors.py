"""The exit codes are a promise to CI systems: this table may not change by accident."""

from __future__ import annotations

import pytest

from yoctovirt import errors
from yoctovirt.errors import combined_exit_code


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.ChecksFailedError, 1),
        (errors.UsageError, 2),
        (errors.InfrastructureError, 3),
        (errors.BuildError, 4),
        (errors.BootError, 5),
        (errors.InterruptedRunError, 130),
        (errors.YoctovirtError, 70),
    ],
)
def test_every_class_has_the_exit_code_of_the_table(
    kind: type[errors.YoctovirtError], code: int
) -> None:
    assert kind("what happened").exit_code == code


def test_an_error_says_what_happened_and_what_to_do() -> None:
    error = errors.BuildError("the disk is full", "free some space")
    assert (str(error), error.message, error.hint) == (
        "the disk is full",
        "the disk is full",
        "free some space",
    )
    assert errors.BuildError("x").hint == ""


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ([], 0),
        ([0, 0], 0),
        ([0, 1], 1),
        ([1, 5], 5),
        ([5, 4], 4),
        ([4, 3, 5, 1], 3),
        ([3, 2], 2),
        ([2, 70], 70),
        ([70, 130, 0], 130),
        ([1, 99], 70),
        ([-9], 70),
    ],
)
def test_the_earliest_failing_phase_decides(codes: list[int], expected: int) -> None:
    assert combined_exit_code(codes) == expected
    assert combined_exit_code(reversed(codes)) == expected
