"""How a node's init is waited for: what it tells, what is said of it."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from yoctovirt.base.screen import Screen
from yoctovirt.boot.results import CommandTimeoutError, NodeUnreachableError
from yoctovirt.boot.settle import _SCRIPT, Progress, Teller, complaint, settle
from yoctovirt.errors import BootError

SLOW = (
    b"yv-init systemd\nyv-job docker.service\nyv-job mariadb-init.serv",
    b"ice\nyv-turn\nyv-job mariadb-init.service\nyv-turn\n",
)
END = b"sh: Terminated\nyv-failed one.service\nyv-failed two.service\nyv-state degraded\n"


class Node:
    """A node whose SSH gives *pieces* of output, and then perhaps an error."""

    name = "node"

    def __init__(self, *pieces: bytes, error: BootError | None = None, scale: float = 1.0) -> None:
        self.state = SimpleNamespace(timeout_scale=scale, allowed_failed_units=["one*"], settled={})
        self.pieces, self.error, self.saved = pieces, error, 0
        self.limits: list[float] = []
        self.ssh = self

    def run(self, command: str, timeout: float, follow: Callable[[bytes], None]) -> Any:
        assert command == _SCRIPT
        self.limits.append(timeout)
        for piece in self.pieces:
            follow(piece)
        if self.error is not None:
            raise self.error

    def save(self) -> None:
        self.saved += 1


def settled(node: Any, limit: float | None = None) -> str:
    """Return what the user reads."""
    stream = io.StringIO()
    settle(node, Screen(stream), limit)
    return stream.getvalue()


def test_failed_units_are_named_and_noted() -> None:
    node = Node(*SLOW, END)
    assert settled(node) == "    warning: failed units of node: two.service\n"
    assert node.state.settled == {
        "init": "systemd", "state": "degraded", "failed_units": ["one.service", "two.service"],
    }  # fmt: skip
    assert node.saved == 1


def test_what_may_fail_is_no_warning() -> None:
    assert settled(Node(b"yv-init systemd\nyv-failed one.service\nyv-state degraded\n")) == ""
    assert settled(Node(b"yv-init init\nyv-state running\n")) == ""


def test_a_state_that_is_none_of_work() -> None:
    said = settled(Node(b"yv-init systemd\nyv-state maintenance\n"))
    assert said == "    warning: systemd of node says 'maintenance'\n"


def test_many_failed_units() -> None:
    node: Any = Node()
    node.state.settled = {"failed_units": [f"u{number}" for number in range(9)]}
    assert complaint(node) == "failed units of node: u0, u1, u2, u3, u4, u5 and 3 more"


@pytest.mark.parametrize(
    ("scale", "limit", "given", "words"),
    [
        (1.0, None, 300.0, "within 300 s after SSH"),
        (4.0, None, 300.0, r"within 1200 s \(300 s, times 4\) after SSH"),
        (4.0, 40.0, 10.0, "within 40 s after SSH"),
    ],
)
def test_the_deadline_is_named_with_what_still_runs(
    scale: float, limit: float | None, given: float, words: str
) -> None:
    error = CommandTimeoutError("…", 1, "ssh", "", "the console said meanwhile: x")
    node = Node(*SLOW, error=error, scale=scale)
    with pytest.raises(BootError, match=words) as caught:
        settled(node, limit)
    assert "init (systemd) of node node has not settled" in caught.value.message
    assert caught.value.message.endswith(": mariadb-init.service\nthe console said meanwhile: x")
    assert "--no-settle" in caught.value.hint
    assert node.limits == [given]
    assert node.state.settled == {}


def test_a_node_that_is_gone() -> None:
    """The message tells of the wait, and does not print our script."""
    error = NodeUnreachableError(f"its QEMU has ended; this was found while {_SCRIPT}")
    with pytest.raises(NodeUnreachableError, match=r"while \(init was waited for\)$"):
        settled(Node(error=error))


def test_a_shell_that_cannot_tell() -> None:
    with pytest.raises(BootError, match="cannot be asked whether it has settled: nothing was"):
        settled(Node(b"sh: not found\n"))


def test_progress_comes_late_and_seldom() -> None:
    stream = io.StringIO()
    teller, progress = Teller(Screen(stream), 0.0), Progress()
    progress.feed(SLOW[0] + SLOW[1].partition(b"yv-turn\n")[0] + b"yv-turn\n")
    for second in range(0, 20, 2):
        teller.tell(progress, float(second))
    both = "    init still starts after 8 s: docker.service, mariadb-init.service\n"
    assert stream.getvalue() == both
    progress.feed(b"yv-job mariadb-init.service\nyv-turn\n")
    for second in range(20, 130):
        teller.tell(progress, float(second))
    rest = stream.getvalue().removeprefix(both).splitlines()
    assert rest == [
        f"    init still starts after {age}: mariadb-init.service"
        for age in ("28 s", "60 s", "80 s", "1 min 40 s", "2 min 00 s")
    ]


@pytest.mark.skipif(Path("/run/systemd/system").exists(), reason="this host's init is systemd")
def test_scripts_of_sysvinit_are_waited_for() -> None:
    """The script itself, on this host, beside a process that looks like sysvinit's."""
    slow = subprocess.Popen(["sh", "-c", "sleep 2; :", "/etc/rc5.d/S20slow"])
    try:
        done = subprocess.run(["sh", "-c", _SCRIPT], capture_output=True, timeout=60, check=True)
        assert slow.poll() == 0, "it did not wait"
    finally:
        slow.kill()
        slow.wait()
    progress = Progress()
    progress.feed(done.stdout)
    assert progress.running == ["/etc/rc5.d/S20slow"]
    assert progress.state == "running"
    assert progress.init == Path("/proc/1/comm").read_text().strip()
