"""Suites as they are read from modules, and chosen by promises."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from yoctovirt.errors import UsageError
from yoctovirt.smoke.catalog import all_suites, choose_suites
from yoctovirt.smoke.suitefile import read_suites


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_suite_of_two_modules(tmp_path: Path) -> None:
    paths = [
        write(tmp_path, "test_big__part.py", 'def test_b() -> None:\n    """B."""\n'),
        write(
            tmp_path,
            "test_big.py",
            '"""Suite big: of two."""\nPROMISES = ("a", "b")\nALONE: bool = True\n'
            'COMMANDS = ("frob",)\n\ndef test_a() -> None:\n    """A.\n\n    More.\n    """\n'
            "def helper() -> None: ...\n",
        ),
    ]
    (suite,) = read_suites(paths).values()
    assert (suite.name, suite.title) == ("big", "of two.")
    assert [path.name for path in suite.paths] == ["test_big.py", "test_big__part.py"]
    assert [(check.id, check.title) for check in suite.checks] == [
        ("big::a", "A."), ("big::b", "B."),
    ]  # fmt: skip
    assert (suite.promises, suite.commands) == (("a", "b"), ("frob",))
    assert (suite.always, suite.alone) == (False, True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def (", "is no smoke suite"),
        ("PROMISES = 'docker'", "PROMISES must be a tuple of words"),
        ("COMMANDS = tuple(x)", "COMMANDS must be a tuple of words"),
        ("ALWAYS = 1", "ALWAYS must be True or False"),
    ],
)
def test_modules_that_are_wrong(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, "test_bad.py", text)
    with pytest.raises(UsageError, match=message) as caught:
        read_suites([path])
    assert str(path) in str(caught.value)


def names(
    promises: list[str],
    only: Sequence[str] = (),
    without: Sequence[str] = (),
    checks: Sequence[str] = (),
) -> list[str]:
    return [suite.name for suite in choose_suites(promises, only, without, checks)[0]]


def test_suites_by_promise() -> None:
    assert names([]) == [suite.name for suite in all_suites().values() if suite.always]
    assert "base" in names([])
    assert "docker" not in names([])
    assert "docker" in names(["docker"])
    assert names(["docker"], ["docker"]) == ["docker"]
    assert "docker" not in names(["docker"], [], ["docker"])
    reasons = dict(choose_suites([])[1])
    assert reasons["docker"] == "the role does not promise it"


def test_suites_by_check() -> None:
    assert names(["docker"], [], [], ["base::kernel"]) == ["base"]
    assert names([], [], [], ["docker::exec", "base::promised_software[xen]"]) == ["base", "docker"]
    with pytest.raises(UsageError, match="no check 'docker::exce'") as caught:
        choose_suites([], [], [], ["docker::exce"])
    assert "docker::exec" in caught.value.hint
