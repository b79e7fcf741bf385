"""Completion in real shells: keys are typed, and what the shell makes of them is run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from tests.unit.test_completion import named

#: What is typed (^ is the Tab key), and what the help of the completed words begins with.
TYPED = [
    ("yoctovirt doct^ --help", "Usage: yoctovirt doctor "),
    ("yoctovirt runs comp^ --help", "Usage: yoctovirt runs compare "),
    ("yoctovirt completion zs^ --help", "Usage: yoctovirt completion "),
    ("yoctovirt ci --on-death kee^ --help", "Usage: yoctovirt ci "),
    # Names: half of one is refused, and what the whole one prints says no "did you mean".
    ("yoctovirt roles contro^", "controller: OpenStack"),
    ("yoctovirt pins show --release wryn^", "wrynose: Yocto"),
    ("yoctovirt smoke --list --suite glan^", "glance: an image"),
    ("yoctovirt --workspace WS logs stand^", "stands-here' has run in"),
]
#: The begin of a word, and what is offered for it (more of it: tests/unit/test_completion.py).
OFFERED = [
    ("yoctovirt build contr", ["controller"]),
    ("yoctovirt --workspace WS stop ", ["stands-here"]),
    ("yoctovirt --workspace WS verify 20260102", ["20260102T000000-two"]),
]
_SECONDS = 120
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[=>]|\x0f")


def shell(name: str) -> str:
    place = shutil.which(name)
    if place is None:
        pytest.skip(f"{name} is missing: apt-get install {name}")
    return place


@pytest.fixture
def names(tmp_path: Path) -> Iterator[Path]:
    with named(tmp_path / "names") as workspace:
        yield workspace


class Terminal:
    """An interactive shell that has yoctovirt in its PATH."""

    def __init__(self, argv: list[str], home: Path) -> None:
        env = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(home),
            "TERM": "dumb",
            "PS1": "",
        }
        self._child = pexpect.spawn(
            argv[0], argv[1:], env=env, encoding="utf-8", timeout=_SECONDS, dimensions=(50, 200)
        )
        self._number = 0

    def run(self, line: str) -> str:
        """Run *line* and return what came."""
        self._number += 1
        mark = f"end-{self._number}"
        before, tab, rest = line.partition("^")
        self._child.send(before + ("\t" if tab else ""))
        if tab:
            # What the shell has made of the word must stand there before more is typed.
            self._child.expect([r"\w ", pexpect.TIMEOUT], timeout=15)
        self._child.send(f"{rest}; echo en''d-{self._number}\r")
        self._child.expect_exact(mark)
        return _COLOURS.sub("", str(self._child.before))

    def close(self) -> None:
        self._child.close(force=True)


@pytest.fixture(params=["bash", "zsh"])
def terminal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Terminal]]:
    name = request.param
    argv = [shell(name), *(["--norc", "--noprofile", "-i"] if name == "bash" else ["-f", "-i"])]
    made = Terminal(argv, tmp_path)
    made.run(
        f"autoload -Uz compinit && compinit -u -d {tmp_path}/dump" if name == "zsh" else "true"
    )
    yield name, made
    made.close()


def test_what_is_typed_is_completed(terminal: tuple[str, Terminal], names: Path) -> None:
    name, opened = terminal
    opened.run(f'eval "$(yoctovirt completion {name})"')
    for typed, expected in TYPED:
        assert expected in opened.run(typed.replace("WS", str(names))), typed


def test_without_the_script_nothing_is(terminal: tuple[str, Terminal]) -> None:
    assert "there is no verb 'doct'" in terminal[1].run("yoctovirt doct^ --help")


def test_fish(names: Path) -> None:
    fish = shell("fish")

    def offered(line: str, script: str = "yoctovirt completion fish | source; ") -> list[str]:
        env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        done = subprocess.run(
            [fish, "--no-config", "-c", f"{script}complete -C '{line}'"],
            env=env, text=True, capture_output=True, check=True, timeout=_SECONDS,
        )  # fmt: skip
        return [row.partition("\t")[0] for row in done.stdout.splitlines()]

    assert offered("yoctovirt doct") == ["doctor"]
    assert offered("yoctovirt runs comp") == ["compare"]
    assert sorted(offered("yoctovirt completion ")) == ["bash", "fish", "zsh"]
    assert "--on-death" in offered("yoctovirt ci --on-d")
    assert "doctor" not in offered("yoctovirt doct", script="")
    for line, expected in OFFERED:
        assert sorted(offered(line.replace("WS", str(names)))) == expected, line
    assert (names / "nodes" / "was-killed").is_dir(), "a Tab changes nothing"
