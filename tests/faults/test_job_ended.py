"""What a CI service does to a job: it ends it in the middle, starts two of them, has no KVM."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import PATIENCE, Yoctovirt, wait_for
from yoctovirt.boot.accel import kvm_obstacle

pytestmark = [pytest.mark.node, pytest.mark.faults]

#: Suites of a short run.
SHORT = ("--suite", "base,irqbalance")


def booting(yv: Yoctovirt) -> bool:
    """Return whether the kernel of a node has begun to speak."""
    return any(log.stat().st_size > 2000 for log in yv.workspace.glob("runs/*/console-*.log"))


def ended(yv: Yoctovirt, reached: Callable[[Yoctovirt], bool], number: int) -> dict[str, Any]:
    """Start ``ci``, send it signal *number* when *reached*, and return its record."""
    ci = yv.start("ci", "reference", "--no-settle", *SHORT)
    wait_for(lambda: reached(yv) or ci.poll() is not None, 120, "the moment has come")
    ci.send_signal(number)
    output, _ = ci.communicate(timeout=90 * PATIENCE)
    expected = -signal.SIGKILL if number == signal.SIGKILL else 130
    assert ci.returncode == expected, output
    yv.assert_nothing_left()
    return yv.last_record()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_ended_while_a_bundle_is_unpacked(fresh: Yoctovirt, tmp_path: Path, number: int) -> None:
    """What was unpacked until then is never taken for the image."""
    bundle, there = tmp_path / "reference.tar.zst", Yoctovirt(tmp_path / "there")
    assert fresh.run("bundle", "reference", "-o", str(bundle)).returncode == 0
    unpacked = there.workspace / "bundles"
    ci = there.start("ci", "--from", str(bundle))
    wait_for(lambda: any(unpacked.glob(".*.tmp/deploy")), 60, "it is unpacked")
    ci.send_signal(number)
    output, _ = ci.communicate(timeout=90 * PATIENCE)
    assert ci.returncode == (130 if number == signal.SIGTERM else -signal.SIGKILL), output
    there.assert_nothing_left()
    assert not list(unpacked.glob("[!.]*/"))
    run = there.last_record()
    phases = {phase["name"]: phase["status"] for phase in run["phases"]}
    if number == signal.SIGTERM:
        assert not list(unpacked.glob(".*.tmp"))
        assert run["result"] == "interrupted"
        assert phases == {"unpack": "interrupted", "boot": "not run", "smoke": "not run"}
        assert (run["path"] / "junit.xml").read_text().count('type="NotRun"')
        assert (run["path"] / "report.html").is_file()
        assert there.run("verify", run["path"].name).returncode == 0
    else:
        assert (run["result"], phases) == ("running", {"unpack": "running"})
        (listed,) = json.loads(there.run("runs", "list", "--json").stdout)
        assert listed["result"] == "killed"


def test_sigterm_in_the_boot(fresh: Yoctovirt) -> None:
    run = ended(fresh, booting, signal.SIGTERM)
    assert (run["result"], run["exit_code"]) == ("interrupted", 130)
    assert [(phase["name"], phase["status"]) for phase in run["phases"]] == [
        ("build", "ok"), ("boot", "interrupted"), ("smoke", "not run"),
    ]  # fmt: skip
    assert {left["reason"] for left in run["not_run"] if left["suite"] == "base"}
    assert (run["path"] / "junit.xml").read_text().count('type="NotRun"')
    assert (run["path"] / "report.html").is_file()
    assert fresh.run("verify", run["path"].name).returncode == 0


def test_sigkill_in_the_boot(fresh: Yoctovirt) -> None:
    run = ended(fresh, booting, signal.SIGKILL)
    assert run["result"] == "running"
    assert [(phase["name"], phase["status"]) for phase in run["phases"]] == [
        ("build", "ok"), ("boot", "running"),
    ]  # fmt: skip
    assert "systemd" in (run["path"] / "console-reference.log").read_text(errors="replace")
    (listed,) = [row for row in json.loads(fresh.run("runs", "list", "--json").stdout)
                 if row["id"] == run["path"].name]  # fmt: skip
    assert listed["result"] == "killed"


def test_sigkill_under_the_checks(fresh: Yoctovirt) -> None:
    """The verdicts until then are kept, and the next job is not hindered."""
    run = ended(fresh, Yoctovirt.has_verdicts, signal.SIGKILL)
    assert run["result"] == "running"
    assert [phase["status"] for phase in run["phases"]] == ["ok", "ok", "running"]
    verdicts = (run["path"] / "checks.jsonl").read_text().splitlines()
    assert verdicts, "those that were over"
    assert all(json.loads(line)["outcome"] for line in verdicts)
    shown = fresh.run("runs", "show", run["path"].name)
    assert "killed" in shown.stdout, shown.stdout
    again = fresh.run("ci", "reference", "--no-settle", "--suite", "irqbalance", timeout=900)
    assert again.returncode == 0, again.stdout + again.stderr


def test_two_jobs_on_one_workspace(fresh: Yoctovirt) -> None:
    """One of them does its work; the other says at once who is in its way."""
    jobs = [fresh.start("ci", "reference", "--no-settle", *SHORT) for _ in range(2)]
    outputs = [job.communicate(timeout=300 * PATIENCE)[0] for job in jobs]
    codes = [job.returncode for job in jobs]
    assert sorted(codes) == [0, 2], outputs
    refused = outputs[codes.index(2)]
    assert f"process {jobs[codes.index(0)].pid}" in refused or "is running already" in refused
    records = [json.loads(path.read_text()) for path in fresh.records()]
    assert sorted(one["exit_code"] for one in records if " ci " in one["command"]) == [0, 2]


def test_runner_without_kvm(fresh: Yoctovirt) -> None:
    """Without a word TCG takes over, with the reason; with ``--kvm`` the job fails by it."""
    reason = kvm_obstacle()
    if reason is None:
        pytest.skip("KVM works here")
    insisting = fresh.run("ci", "reference", "--kvm", *SHORT)
    assert insisting.returncode == 5, insisting.stdout + insisting.stderr
    run = fresh.last_record()
    assert [(phase["name"], phase["status"]) for phase in run["phases"]] == [
        ("build", "ok"), ("boot", "error"), ("smoke", "not run"),
    ]  # fmt: skip
    assert f"KVM cannot be used: {reason}" in insisting.stderr
    done = fresh.run("ci", "reference", "--no-settle", "--suite", "irqbalance", timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    (node,) = fresh.last_record()["nodes"]
    assert (node["accelerator"], node["accelerator_reason"]) == ("tcg", f"no KVM: {reason}")
