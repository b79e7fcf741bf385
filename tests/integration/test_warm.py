"""Warm starts of real nodes: what goes on, what must not be the same twice, what drops them."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest

from tests.integration.conftest import Yoctovirt, wait_for

pytestmark = [pytest.mark.node, pytest.mark.faults]

RANDOM = "cat /proc/sys/kernel/random/uuid; head -c 16 /dev/urandom | base64"


def boot(yv: Yoctovirt, *options: str, role: str = "reference") -> str:
    done = yv.run("boot", role, "--warm", "--detach", *options, timeout=1500)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stderr


def told(yv: Yoctovirt, command: str, node: str = "reference") -> list[str]:
    done = yv.run("ssh", node, command)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.split()


def stop(yv: Yoctovirt) -> None:
    assert yv.run("stop", "--all", "--now").returncode == 0


def test_warm_start(fresh: Yoctovirt) -> None:
    said = boot(fresh)
    assert "cold boot, no warm state fits: none is kept yet" in said
    assert "state kept for the next --warm" in said
    boot_id = told(fresh, "cat /proc/sys/kernel/random/boot_id")
    assert told(fresh, "systemctl is-active docker") == ["active"]
    told(fresh, "echo later > /var/later")
    stop(fresh)
    (listed,) = json.loads(fresh.run("warm", "list", "--json").stdout)
    assert listed["names"] == ["reference"]
    assert listed["machines"]["reference"].startswith("pc-q35-")

    seen = []
    for _ in range(2):
        said = boot(fresh)
        assert "resumed from its warm state; clock set" in said
        assert told(fresh, "cat /proc/sys/kernel/random/boot_id") == boot_id
        assert told(fresh, "systemctl is-active docker") == ["active"]
        # What was written after the state was kept is gone, as it should be.
        assert fresh.run("ssh", "reference", "test -e /var/later").returncode == 1
        assert abs(int(told(fresh, "date +%s")[0]) - time.time()) < 5
        seen.append(told(fresh, RANDOM))
        told(fresh, "echo here > /var/here; sync")
        stop(fresh)
    assert not set(seen[0]) & set(seen[1])

    done = fresh.run("smoke", "reference", "--warm", "--suite", "base", timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "resumed" in done.stderr

    # Nothing of a state that does not fit is taken, and the reason is told.
    said = boot(fresh, "--memory", "1500")
    assert "cold boot, no warm state fits: the node is given something else" in said
    assert told(fresh, "cat /proc/sys/kernel/random/boot_id") != boot_id
    stop(fresh)
    assert len(json.loads(fresh.run("warm", "list", "--json").stdout)) == 2
    assert "freed" in fresh.run("warm", "drop", "reference").stdout
    assert json.loads(fresh.run("warm", "list", "--json").stdout) == []
    assert fresh.run("warm", "drop", "reference").returncode == 2


def test_damaged_state(fresh: Yoctovirt) -> None:
    """It ends in a cold boot with the reason, not in an error; kill -9 in a save leaves nothing."""
    boot(fresh)
    stop(fresh)
    (listed,) = json.loads(fresh.run("warm", "list", "--json").stdout)
    state = fresh.workspace / "warm" / listed["folder"].rpartition("/")[2] / "reference" / "state"
    with state.open("r+b") as file:
        file.truncate(state.stat().st_size // 2)
    process = fresh.start("boot", "reference", "--warm")
    wait_for(lambda: list(fresh.workspace.glob("warm/*.tmp-*/reference/state")), 120, "a save")
    os.kill(process.pid, signal.SIGKILL)
    output, _ = process.communicate(timeout=60)
    assert "the warm state cannot be resumed, and is dropped" in output
    fresh.assert_nothing_left()
    said = boot(fresh)
    assert "none is kept yet" in said
    assert not list(fresh.workspace.glob("warm/*.tmp-*"))
    stop(fresh)


def test_two_warm_nodes(fresh: Yoctovirt) -> None:
    said = boot(fresh, "--hosts", role="reference:2")
    assert "state kept for the next --warm" in said
    stop(fresh)
    said = boot(fresh, "--hosts", role="reference:2")
    assert said.count("resumed from its warm state") == 2
    assert "reference-1 -> reference-2: ping" in said
    assert told(fresh, "getent hosts reference-2", "reference-1")[0] == "192.168.7.10"
    stop(fresh)
