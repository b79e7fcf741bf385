"""Clean-up and evidence, on this host's own shell."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from yoctovirt.boot.results import CommandResult
from yoctovirt.smoke.cleanup import Undo
from yoctovirt.smoke.evidence import evidence_script
from yoctovirt.smoke.suitefile import read_suites


class Host:
    """This host in the place of a node."""

    name = "host"

    def run(self, command: str, timeout: float = 60.0, via: str = "ssh") -> CommandResult:
        done = subprocess.run(
            ["sh", "-c", command], capture_output=True, text=True, timeout=timeout
        )
        return CommandResult(command, done.returncode, done.stdout + done.stderr, 0.0, via)


def test_in_reverse_order_and_once(tmp_path: Path) -> None:
    undo = Undo(Host())
    for word in ("first", "second"):
        undo(f"echo {word} >>{tmp_path}/log")
    undo.now()
    undo.now()
    assert (tmp_path / "log").read_text().split() == ["second", "first"]


def test_one_that_fails_does_not_keep_the_others(tmp_path: Path) -> None:
    undo = Undo(Host())
    undo(f"touch {tmp_path}/done")
    undo("echo in use; exit 3")
    with pytest.raises(pytest.fail.Exception, match="`echo in use; exit 3` exited with 3\nin use"):
        undo.now()
    assert (tmp_path / "done").exists()


def test_evidence_script_runs(tmp_path: Path) -> None:
    module = tmp_path / "test_frob.py"
    module.write_text(
        '"""Suite frob."""\nUNITS = ("frob.service",)\nDIAGNOSTICS = ("echo $((40 + 2)) 100%",)\n'
    )
    script = evidence_script(read_suites([module])["frob"])
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert "===== echo $((40 + 2)) 100%\n42 100%" in done.stdout
    assert "syntax error" not in done.stderr
    assert subprocess.run(["sh", "-n", "-c", evidence_script(None)]).returncode == 0
