from __future__ import annotations

from yoctovirt.base.suggest import did_you_mean


def test_near_names_are_named_and_far_ones_are_not() -> None:
    hint = did_you_mean("contoller", ["controller", "compute", "reference"])
    assert hint == "did you mean controller?"


def test_without_a_near_name_all_are_named_in_order() -> None:
    assert did_you_mean("zzz", ["quick", "compute"]) == "known: compute, quick"


def test_nothing_is_known() -> None:
    assert did_you_mean("zzz", []) == "there is none yet"


def test_an_iterator_is_good_enough() -> None:
    assert did_you_mean("zzz", iter(["a"])) == "known: a"
