"""Nodes that answer by SSH, and whose init does not get to a good end."""

from __future__ import annotations

import json

import pytest

from tests.faults.test_starting import evidence, failed_boot
from tests.integration.conftest import Yoctovirt, interrupt, wait_for

pytestmark = [pytest.mark.node, pytest.mark.faults]

UNIT = "kernel-command-line.service"


def with_command(command: str) -> tuple[str, ...]:
    """Return options for a boot in which systemd runs *command*, beside all else."""
    words = ("systemd.run_success_action=none", "systemd.run_failure_action=none",
             "systemd.wants=multi-user.target", f'systemd.run="{command}"')  # fmt: skip
    return (f"--bootparams={' '.join(words)}",)


def test_failed_unit_is_named(fresh: Yoctovirt) -> None:
    done = fresh.run("boot", "reference", "--detach", *with_command("/bin/false"), timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"warning: failed units of reference: {UNIT}" in done.stderr
    run = fresh.last_record()
    (node,) = run["nodes"]
    assert node["settled"] == {"init": "systemd", "state": "degraded", "failed_units": [UNIT]}
    (phase,) = run["phases"]
    assert phase["details"]["settled"] > phase["details"]["ssh"]
    (state,) = json.loads(fresh.run("nodes", "--json").stdout)
    assert (state["state"], state["settled"]) == ("ready", node["settled"])
    fresh.run("stop", "--all", "--now")


def test_init_that_does_not_settle(fresh: Yoctovirt) -> None:
    said = failed_boot(fresh, *with_command("/bin/sleep 3000"), "--settle-timeout=60")
    assert "init (systemd) of node reference has not settled within 60 s after SSH" in said
    assert UNIT in said.splitlines()[0]
    assert "--no-settle" in said
    journal = evidence(fresh)["failure-reference/journal.txt"]
    assert UNIT in journal


def test_nobody_waits_for_it(fresh: Yoctovirt) -> None:
    hanging = with_command("/bin/sleep 3000")
    done = fresh.run("boot", "reference", "--detach", "--no-settle", *hanging, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    done = fresh.run("ssh", "reference", "systemctl is-system-running")
    assert done.stdout == "starting\n"
    fresh.run("stop", "--all", "--now")


def test_interrupt_while_init_settles(fresh: Yoctovirt) -> None:
    boot = fresh.start("boot", "reference", *with_command("/bin/sleep 3000"))
    wait_for(lambda: '"settling"' in fresh.run("nodes", "--json").stdout, 60, "SSH answers")
    interrupt(boot)
