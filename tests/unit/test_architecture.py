"""The floor plan: which room may know which, how long a module may be, what --help loads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
MODULES = sorted((REPOSITORY / "yoctovirt").rglob("*.py"))
LINES = 350

LOADED = """
import sys
sys.argv = ["yoctovirt", *sys.argv[1:]]
from yoctovirt.cli import run
code = run(sys.argv[1:])
heavy = "paramiko pexpect yaml jsonschema rich jinja2 kas qemu cryptography pytest".split()
print("loaded:", *sorted(set(heavy) & set(sys.modules)))
sys.exit(code)
"""


def test_lower_rooms_import_no_higher_room() -> None:
    tool = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [str(tool), "--config", "pyproject.toml", "--no-cache"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 kept, 0 broken" in done.stdout


def test_modules_are_found() -> None:
    assert len(MODULES) > 40


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_no_module_is_too_long(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LINES


def verbs() -> list[str]:
    from yoctovirt.cli import VERBS

    return list(VERBS)


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], *([v, "--help"] for v in verbs())]
)
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *arguments], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "loaded:"
    assert "yoctovirt" in done.stdout


# "build" is a name that pytest leaves out by default: the tests of a room would
# never run, and nobody would be told.


def test_every_test_module_is_collected() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    collected = {line.partition("::")[0] for line in done.stdout.splitlines() if "::" in line}
    there = {
        str(path.relative_to(REPOSITORY))
        for folder in ("unit", "integration")
        for path in (REPOSITORY / "tests" / folder).rglob("test_*.py")
    }
    assert there - collected == set()


def test_every_module_is_linted() -> None:
    tool = Path(sys.executable).with_name("ruff")
    done = subprocess.run(
        [str(tool), "check", "--show-files", "yoctovirt", "tests"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    linted = {Path(line) for line in done.stdout.splitlines()}
    assert {*MODULES, *(REPOSITORY / "tests").rglob("*.py")} - linted == set()
