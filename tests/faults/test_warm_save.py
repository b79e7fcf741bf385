"""kill -9 of yoctovirt while it keeps the state of a node: nothing half is ever resumed."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.test_running import LIGHT
from tests.integration.conftest import Yoctovirt, wait_for

pytestmark = [pytest.mark.node, pytest.mark.faults]


def size(folder: Path, pattern: str) -> int:
    return sum(path.stat().st_size for path in folder.glob(pattern))


#: The moments of a save at which it is cut, in their order.
MOMENTS: dict[str, Callable[[Path, int], bool]] = {
    "memory is written": lambda warm, pid: size(warm, f"*.tmp-{pid}/*/state") > 20 << 20,
    "disks are copied": lambda warm, pid: size(warm, f"*.tmp-{pid}/*/disks/*.qcow2") > 0,
    "all but the last word": lambda warm, pid: any(warm.glob(f"*.tmp-{pid}/*/id")),
}


def test_kill_9_in_a_save(fresh: Yoctovirt) -> None:
    warm = fresh.workspace / "warm"
    for what, reached in MOMENTS.items():
        process = fresh.start("boot", "reference", "--warm", *LIGHT)
        end = time.monotonic() + 900
        # Not wait_for(): it looks too seldom for some of them.
        while not reached(warm, process.pid) and process.poll() is None and time.monotonic() < end:
            time.sleep(0.001)
        whole = [path.parent.name for path in warm.glob("*/warm.json")]
        os.kill(process.pid, signal.SIGKILL)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL, output
        assert "none is kept yet" in output, what
        fresh.assert_nothing_left()
        listed = json.loads(fresh.run("warm", "list", "--json").stdout)
        # The last of them may have come too late to cut the save: then the state is whole.
        assert [Path(entry["folder"]).name for entry in listed] == whole
        if listed:
            assert what == "all but the last word"
            break
        assert list(warm.glob("*.tmp-*")), what
    fresh.run("warm", "drop", "--all")

    done = fresh.run("boot", "reference", "--warm", "--detach", *LIGHT, timeout=900)
    assert done.returncode == 0, done.stderr
    assert "none is kept yet" in done.stderr
    assert "state kept for the next --warm" in done.stderr
    assert not list(warm.glob("*.tmp-*")), "what the killed ones have left is removed"
    assert fresh.run("stop", "--all", "--now").returncode == 0
    wait_for(lambda: not fresh.processes(), 10, "the node is gone")
    done = fresh.run("boot", "reference", "--warm", "--detach", *LIGHT, timeout=900)
    assert "resumed from its warm state" in done.stderr
    assert fresh.run("stop", "--all", "--now").returncode == 0
