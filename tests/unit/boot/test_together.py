"""A set of nodes: who dies, what becomes of the others, and what is said of it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from yoctovirt.base.process import CommandLog, Guarded
from yoctovirt.base.screen import Screen
from yoctovirt.boot import starting, together
from yoctovirt.boot.network import plan_members
from yoctovirt.boot.together import NodeSet, SetOptions, ready_nodes
from yoctovirt.errors import BootError, InfrastructureError

QUIET = Screen(quiet=True)


class Running:
    """What the set needs of a Launch, on a real guarded process."""

    def __init__(self, command: str = "exec sleep 600") -> None:
        self.guard = Guarded(["sh", "-c", command])
        self.stopped = 0

    def why_gone(self) -> str | None:
        status = self.guard.poll()
        return None if status is None else f"exit status {status}"

    def stop(self) -> None:
        self.stopped += 1
        self.guard.stop()


def wait_until_dead(found: NodeSet) -> None:
    end = time.monotonic() + 20
    while not found.look():
        assert time.monotonic() < end
        time.sleep(0.02)


def make_set(on_death: str, **launches: Running) -> NodeSet:
    members = plan_members([(name, None) for name in launches])
    return NodeSet(SetOptions(on_death=on_death), dict(launches), members)  # type: ignore[arg-type]


def test_nobody_died() -> None:
    one, two = Running(), Running()
    found = make_set("stop", one=one, two=two)
    assert not found.look()
    assert found.verdict() is None
    assert list(found.alive) == ["one", "two"]
    one.stop()
    two.stop()


def test_the_others_are_stopped() -> None:
    one, two = Running("exit 3"), Running()
    found = make_set("stop", one=one, two=two)
    wait_until_dead(found)
    verdict = found.verdict()
    assert verdict is not None
    assert verdict.message == "node one died: exit status 3\nstopped with it: two"
    assert verdict.details == {"died": {"one": "exit status 3"}, "stopped": ["two"]}
    assert two.stopped == 1
    assert not found.look()  # the one that we stopped has not died
    assert not found.alive


def test_the_others_are_kept() -> None:
    one, two = Running("exit 3"), Running()
    found = make_set("keep", one=one, two=two)
    wait_until_dead(found)
    verdict = found.verdict()
    assert verdict is not None
    assert verdict.message == "node one died: exit status 3\nkept: two"
    assert list(found.alive) == ["two"]
    assert two.why_gone() is None
    two.stop()


def test_a_node_that_powers_itself_off_has_not_died() -> None:
    one, two = Running("exit 0"), Running()
    found = make_set("stop", one=one, two=two)
    one.guard.wait(20)
    assert not found.look()
    assert found.powered_off == ["one"]
    assert found.verdict() is None
    assert list(found.alive) == ["two"]
    two.stop()


def test_a_death_is_seen_while_something_else_is_done() -> None:
    one, two = Running("sleep 0.3; exit 9"), Running()
    found = make_set("stop", one=one, two=two)
    with found.watched():
        two.guard.wait(20)  # ends because the other one did
    assert found.died == {"one": "exit status 9"}
    assert found.stopped == ["two"]


class Requests:
    """Requests, and what becomes of each when it is started."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path, **plans: Any) -> None:
        self.plans, self.ended = plans, dict.fromkeys(plans, 0)
        self.guards: dict[str, Running] = {}
        monkeypatch.setattr(starting, "ready_node", self.ready_node)
        monkeypatch.setattr(starting, "load_node", self.load_node)
        monkeypatch.setattr(together, "_joined", lambda request, *_: request)
        options = SimpleNamespace(preflight=False, warm=False)
        self.requests: Any = [
            SimpleNamespace(name=name, workspace=folder, options=options) for name in plans
        ]

    @contextmanager
    def ready_node(self, request: Any, log: CommandLog, screen: Screen) -> Iterator[Running]:
        plan = self.plans[request.name]
        launch = self.guards[request.name] = Running()
        try:
            if plan == "hangs":
                launch.guard.wait(60)
                raise BootError("QEMU ended while the node started")
            if isinstance(plan, BaseException):
                raise plan
            yield launch
        finally:
            self.ended[request.name] += 1
            launch.stop()

    def load_node(self, _workspace: Path, name: str) -> Any:
        launch = self.guards.get(name)
        return launch and SimpleNamespace(state=SimpleNamespace(guard_pid=launch.guard.pid))

    def ready(self, on_death: str = "stop") -> Any:
        options = SetOptions(net="none", on_death=on_death)
        members = plan_members([(name, None) for name in self.plans])
        return ready_nodes(self.requests, members, options, lambda _: CommandLog(), QUIET)


def test_all_are_ready(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = Requests(monkeypatch, tmp_path, a=None, b=None)
    with made.ready() as found:
        assert list(found.alive) == ["a", "b"]
    assert made.ended == {"a": 1, "b": 1}


def test_one_that_fails_ends_those_on_their_way(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = Requests(monkeypatch, tmp_path, a="hangs", b=BootError("the kernel panicked"))
    with pytest.raises(BootError) as caught, made.ready():
        pytest.fail("not ready")
    assert caught.value.message == (
        "node b did not become ready: the kernel panicked\nstopped with it: a"
    )
    assert made.ended == {"a": 1, "b": 1}


def test_one_that_fails_is_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = Requests(monkeypatch, tmp_path, a=None, b=BootError("the kernel panicked"))
    with made.ready("keep") as found:
        assert list(found.alive) == ["a"]
        verdict = found.verdict()
        assert verdict is not None
        assert verdict.message == "node b died: the kernel panicked\nkept: a"
    assert made.ended == {"a": 1, "b": 1}


def test_what_is_no_matter_of_a_node_keeps_its_class(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = Requests(monkeypatch, tmp_path, a=None, b=InfrastructureError("no qemu-img"))
    with pytest.raises(InfrastructureError, match="no qemu-img"), made.ready("keep"):
        pytest.fail("not ready")
    assert made.ended == {"a": 1, "b": 1}


def test_an_interrupt_ends_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = Requests(monkeypatch, tmp_path, a="hangs", b="hangs")

    def press() -> None:
        while len(made.guards) < 2:
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press).start()
    with pytest.raises(KeyboardInterrupt), made.ready():
        pytest.fail("not ready")
    assert made.ended == {"a": 1, "b": 1}


def test_the_last_becomes_ready_between_two_looks() -> None:
    class Racing:
        """Ready at the second look within one turn."""

        request, error = SimpleNamespace(name="a"), None
        launch = SimpleNamespace(why_gone=lambda: None)
        looks, waited = 0, 0

        @property
        def over(self) -> bool:
            self.looks += 1
            return self.looks > 1

        def wait(self, seconds: float) -> None:
            self.waited += 1

    start: Any = Racing()
    found = together._gather([start], plan_members([("a", None)]), SetOptions())
    assert list(found.alive) == ["a"]
    assert start.waited == 1
