"""A node that was resumed: what is made fresh, and what is said where that does not work."""

from __future__ import annotations

import re
import subprocess
import time
from types import SimpleNamespace
from typing import Any

import pytest

from yoctovirt.boot.resume import ResumeError, freshen


class Answering:
    """A node whose shell says *words*; the scripts that it got are kept, and never run here."""

    name = "node"

    def __init__(self, words: str) -> None:
        self._words = words
        self.scripts: list[str] = []

    def run(self, script: str) -> Any:
        self.scripts.append(script)
        return SimpleNamespace(output=self._words)


def fresh(words: str) -> tuple[str, Answering]:
    node: Any = Answering(words)
    return freshen(node), node


@pytest.mark.parametrize("word", ["forked", "reseeded", "later"])
def test_what_became_of_the_random_numbers(word: str) -> None:
    assert fresh(f"{word}\n")[0] == word


def test_a_node_that_says_nothing() -> None:
    assert fresh("")[0] == "later"


@pytest.mark.parametrize(
    ("words", "what"), [("clock\nforked\n", "the clock"), ("pool\nlater\n", "no seed")]
)
def test_what_cannot_be_made_fresh(words: str, what: str) -> None:
    with pytest.raises(ResumeError, match=what):
        fresh(words)


def test_clock_and_seed_are_those_of_now() -> None:
    (first,), (second,) = fresh("later")[1].scripts, fresh("later")[1].scripts
    found = re.search(r'date -u -s "@([\d.]+)"', first)
    assert found is not None
    assert abs(float(found[1]) - time.time()) < 5
    seeds = [re.search(r"echo (\S+) > /dev/urandom", script) for script in (first, second)]
    assert all(seed is not None and len(seed[1]) > 300 for seed in seeds)
    assert seeds[0]
    assert seeds[1]
    assert seeds[0][1] != seeds[1][1]
    assert subprocess.run(["sh", "-n", "-c", first], check=False).returncode == 0
