"""What a check reads and nobody may: the record has the command, and never what it printed."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from yoctovirt.boot.node import Node
from yoctovirt.boot.results import CommandResult, CommandTimeoutError
from yoctovirt.smoke.attached import Attachments
from yoctovirt.smoke.checked import CommandRecorder, SmokeNode
from yoctovirt.smoke.limits import CheckClock


class Shell:
    """A node that is this host's shell."""

    name = "here"
    state = SimpleNamespace(timeout_scale=1.0)

    def run(self, command: str, timeout: float, via: str = "ssh") -> CommandResult:
        argv = ["sh", "-c", command]
        try:
            done = subprocess.run(
                argv, stdout=subprocess.PIPE, text=True, timeout=timeout, start_new_session=True
            )
        except subprocess.TimeoutExpired as error:
            came = (error.stdout or b"").decode()
            raise CommandTimeoutError(command, timeout, via, came) from None
        return CommandResult(command, done.returncode, done.stdout, 0.1, via)


@pytest.fixture
def record(tmp_path: Path) -> Path:
    return tmp_path / "node-commands.jsonl"


@pytest.fixture
def node(tmp_path: Path, record: Path) -> SmokeNode:
    def current() -> str:
        return "acme::secret"

    kept = (CommandRecorder(record, current), CheckClock(), Attachments(tmp_path, current))
    return SmokeNode(cast(Node, Shell()), *kept)


def test_its_lines_come_and_are_not_recorded(node: SmokeNode, record: Path) -> None:
    word = "SESAME"
    assert node.read_secret(f"echo {word.lower()} | tr a-z A-Z; echo TWO | tr A-Z a-z") == [
        word,
        "two",
    ]
    assert word not in repr(node.read_secret(f"echo {word.lower()} | tr a-z A-Z"))
    text = record.read_text()
    assert f"echo {word.lower()}" in text
    assert word not in text
    assert text.count("not recorded: a secret") == 2
    assert node.run("echo sesame | tr a-z A-Z").output == f"{word}\n"
    assert word in record.read_text(), "other commands are recorded with what they print"


def test_a_command_that_fails_tells_nothing(node: SmokeNode, record: Path) -> None:
    with pytest.raises(AssertionError, match="which reads a secret, exited with 3") as caught:
        node.read_secret("echo sesame | tr a-z A-Z; exit 3")
    assert "SESAME" not in str(caught.value) + record.read_text()


def test_a_deadline_tells_nothing(node: SmokeNode, record: Path) -> None:
    with pytest.raises(CommandTimeoutError, match="no end of the command") as caught:
        node.read_secret("echo sesame | tr a-z A-Z; sleep 30", timeout=1)
    assert "SESAME" not in str(caught.value) + record.read_text() + caught.value.transcript
    with pytest.raises(CommandTimeoutError, match="SESAME") as caught:
        node.run("echo sesame | tr a-z A-Z; sleep 30", timeout=1)
    assert "yv-session" not in str(caught.value) + record.read_text()
