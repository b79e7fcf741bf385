"""Clean-up and evidence, on this host's own shell."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.unit.smoke.host import Host
from yoctovirt.smoke.cleanup import Undo
from yoctovirt.smoke.evidence import evidence_script
from yoctovirt.smoke.suitefile import read_suites
from yoctovirt.smoke.suites.aids.daemons import why_no_process, why_none_runs


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


def test_evidence_that_hangs_leaves_time_for_the_rest(tmp_path: Path) -> None:
    """A daemon that was stopped lets its own client wait for ever."""
    module = tmp_path / "test_frob.py"
    module.write_text(
        '"""Suite frob."""\nDIAGNOSTICS = ("echo begun; sleep 60; true", "echo next")\n'
    )
    script = evidence_script(read_suites([module])["frob"], 0.2)
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=30)
    assert "begun\n[ended after 1 s]\n\n===== echo next\nnext\n" in done.stdout


def test_a_session_is_ended_with_all_its_processes() -> None:
    """What runs on a node when a deadline is missed, run here."""
    from yoctovirt.smoke.checked import _END_SESSION

    leader = subprocess.Popen(
        ["sh", "-c", "sleep 4242 & (trap '' TERM; sleep 4243) & wait"], start_new_session=True
    )

    def alive() -> list[str]:
        listed = subprocess.run(
            ["ps", "-o", "stat=,args=", "-s", str(leader.pid)], capture_output=True, text=True
        )
        # Where nobody reaps orphans, as in a container, what has ended is still listed.
        return [line for line in listed.stdout.splitlines() if not line.startswith("Z")]

    def wait_for(count: int) -> None:
        end = time.monotonic() + 20
        while sum("sleep" in line for line in alive()) != count and time.monotonic() < end:
            time.sleep(0.05)

    try:
        wait_for(3)  # the leader's own line names them, too
        done = Host().run(_END_SESSION.replace("@SESSION@", str(leader.pid)))
        assert done.ok
        leader.wait(20)
        wait_for(0)
        assert alive() == []
    finally:
        leader.kill()


def test_a_daemon_that_was_stopped_does_not_run(tmp_path: Path) -> None:
    """The script on this host, with a program of a name that nobody else has."""
    program = tmp_path / "yv-daemon"
    program.symlink_to("/bin/sleep")
    node: Any = Host()
    assert why_none_runs(node, program.name) == "there is no such process"
    with subprocess.Popen([program, "60"]) as daemon:
        try:
            assert why_none_runs(node, "yv-none", program.name) == ""
            daemon.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, daemon.pid, os.WSTOPPED)
            assert f"process {daemon.pid} stands still" in why_none_runs(node, program.name)
        finally:
            daemon.kill()


def test_a_process_is_found_by_a_word_of_its_command_line(tmp_path: Path) -> None:
    """As a program of Python is; the shell that looks for it is not found."""
    script = tmp_path / "yv-agent-notification"
    script.write_text("while :; do sleep 0.1; done\n")
    node: Any = Host()
    assert why_no_process(node, script.name) == "there is no such process"
    with subprocess.Popen(["sh", script]) as agent:
        try:
            assert why_no_process(node, script.name) == ""
            agent.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, agent.pid, os.WSTOPPED)
            assert f"process {agent.pid} stands still" in why_no_process(node, script.name)
        finally:
            agent.kill()
