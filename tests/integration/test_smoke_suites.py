"""Suites of a user on a real node: deadlines, clean-up, retries, evidence, interrupts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import Yoctovirt, interrupt, wait_for

pytestmark = pytest.mark.node

ACME = '''
"""Suite acme: made for a test."""
import pytest
from yoctovirt.smoke.notrun import not_run

UNITS = ("ssh.service",)
DIAGNOSTICS = ("echo acme-$((40 + 2))",)


def test_passes(node, undo):
    """It leaves nothing."""
    undo("rm -f /run/acme-1")
    node.check("touch /run/acme-1")


def test_fails(node, undo):
    """It fails, and cleans up."""
    undo("rm -f /run/acme-2")
    undo("echo undone >>/run/acme-order; false || true")
    node.check("touch /run/acme-2; exit 3", why="broken on purpose")


@pytest.mark.deadline(2)
def test_hangs(node, undo):
    """It waits for ever."""
    undo("rm -f /run/acme-3")
    node.check("touch /run/acme-3; echo begun; sleep 4242 & sleep 4243")


def test_cannot_clean_up(node, undo):
    """Its clean-up fails."""
    undo("echo still in use; exit 9")


@pytest.mark.retry(1, reason="the first answer is always late")
def test_second_time(node, module_undo):
    """It passes when it is tried again."""
    module_undo("rm -f /run/acme-4")
    node.check("test -e /run/acme-4 || { touch /run/acme-4; exit 1; }", why="too early")


def test_skips(node):
    """It wants to be skipped."""
    pytest.skip("no time")


def test_cannot_be(node, undo):
    """It finds that this node cannot do it."""
    undo("touch /run/acme-order")
    not_run("the CPU has no turbo encabulator")


def test_cannot_be_either(node, undo):
    """It finds the same, and its clean-up fails."""
    undo("exit 8")
    not_run("the CPU has no turbo encabulator")


@pytest.mark.nodes(2)
def test_two(nodes):
    """It needs another node."""
'''

ALONE = '''
"""Suite lonely: runs after the others."""
ALONE = True

def test_alone(node):
    """Nothing else runs."""
    print(node.check("ls /run/acme-* 2>/dev/null; true"))
'''


@pytest.fixture
def suites(tmp_path: Path) -> Path:
    folder = tmp_path / "suites"
    folder.mkdir()
    (folder / "test_acme.py").write_text(ACME)
    (folder / "test_lonely.py").write_text(ALONE)
    return folder


def on_node(node: Yoctovirt, command: str) -> str:
    return node.run("ssh", "shared", command).stdout.strip()


def test_suites_of_a_folder(node: Yoctovirt, suites: Path) -> None:
    done = node.run("smoke", "shared", "--suites", str(suites), "--suite", "acme,lonely")
    run = node.last_record()
    checks: dict[str, dict[str, Any]] = {check["id"]: check for check in run["checks"]}
    assert {name: check["outcome"] for name, check in checks.items()} == {
        "acme::passes": "passed",
        "acme::fails": "failed",
        "acme::hangs": "failed",
        "acme::cannot_clean_up": "error",
        "acme::second_time": "flaky",
        "acme::skips": "failed",
        "acme::cannot_be_either": "error",
        "lonely::alone": "passed",
    }, done.stdout + done.stderr
    assert done.returncode == 1
    assert run["checks"][-1]["id"] == "lonely::alone"
    assert "broken on purpose: `touch" in checks["acme::fails"]["message"]
    assert "begun" in checks["acme::hangs"]["message"]
    assert "within 8 s" in checks["acme::hangs"]["message"]  # 2 s, and TCG's factor
    assert "the clean-up failed" in checks["acme::cannot_clean_up"]["message"]
    assert "still in use" in checks["acme::cannot_clean_up"]["message"]
    assert "the first answer is always late" in checks["acme::second_time"]["message"]
    assert "too early" in checks["acme::second_time"]["attempts"][0]
    assert "may not be skipped" in checks["acme::skips"]["message"]
    assert {"suite": "acme::two", "reason": "needs 2 nodes, this run has 1"} in run["not_run"]
    reason = "the CPU has no turbo encabulator"
    assert {"suite": "acme::cannot_be", "reason": reason} in run["not_run"]
    assert f"NOT RUN  acme::cannot_be: {reason}" in done.stdout
    assert f"not run: {reason}" in (run["path"] / "junit.xml").read_text()
    assert "exited with 8" in checks["acme::cannot_be_either"]["message"]
    kept = (run["path"] / checks["acme::fails"]["evidence"]).read_text()
    assert "acme-42" in kept
    assert "unit ssh.service" in kept
    assert "acme-42" in (run["path"] / "report.html").read_text()
    assert "flakyFailure" in (run["path"] / "junit.xml").read_text()
    # Nothing is left of any of them, the processes of the one that hung included.
    assert on_node(node, "ls -d /run/acme-[0-9] 2>/dev/null; pgrep -f 'sleep 424[23]'") == ""
    assert on_node(node, "cat /run/acme-order; rm /run/acme-order") == "undone"


def test_not_run_is_not_passed(node: Yoctovirt, suites: Path) -> None:
    done = node.run("smoke", "shared", "--suites", str(suites), "--check", "acme::cannot_be")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "no check ran: acme::cannot_be: the CPU has no turbo encabulator" in done.stderr
    assert node.last_record()["checks"] == []


def test_interrupted_checks_clean_up(node: Yoctovirt, suites: Path) -> None:
    """Ctrl-C while two modules run side by side: each undoes what it has done."""
    for name in ("one", "two"):
        (suites / f"test_{name}.py").write_text(
            f'"""Suite {name}: waits."""\ndef test_waits(node, undo):\n    """It waits."""\n'
            f'    undo("rm -f /run/wait-{name}")\n'
            f'    node.check("touch /run/wait-{name}; sleep 300", timeout=400)\n'
        )
    process = node.start("smoke", "shared", "--suites", str(suites), "--suite", "one,two")
    wait_for(lambda: on_node(node, "ls /run | grep -c ^wait-") == "2", 40, "both checks wait")
    interrupt(process, 60)
    assert on_node(node, "ls /run | grep ^wait-") == ""


def test_list_of_a_node(node: Yoctovirt, suites: Path) -> None:
    listed = node.run("smoke", "shared", "--suites", str(suites), "--list").stdout
    assert "docker: " in listed
    assert "not run: acme: the role does not promise it" in listed
    own = node.workspace / "smoke"
    own.mkdir()
    try:
        (own / "test_mine.py").write_text('"""Suite mine: of the workspace."""\nALWAYS = True\n')
        assert "\nmine: of the workspace." in node.run("smoke", "shared", "--list").stdout
        (own / "test_docker.py").write_text('"""Suite docker: again."""\n')
        done = node.run("smoke", "shared", "--list")
        assert done.returncode == 2
        assert "two smoke suites docker" in done.stderr
    finally:
        for path in own.iterdir():
            path.unlink()
        own.rmdir()
    done = node.run("smoke", "shared", "--suites", str(suites / "nowhere"))
    assert done.returncode == 2
    assert "there is no folder" in done.stderr


def test_boot_failure_is_no_skip(fresh: Yoctovirt) -> None:
    done = fresh.run("smoke", "reference", "--bootparams", "init=/nowhere", "--login-timeout", "20")
    assert done.returncode == 5, done.stdout + done.stderr
    run = fresh.last_record()
    promised = {left["suite"]: left for left in run["not_run"] if left.get("promised")}
    assert {"base", "docker", "openvswitch"} <= set(promised)
    assert promised["docker"]["reason"] == "boot failed"
    assert "not run: boot failed" in (run["path"] / "junit.xml").read_text()
