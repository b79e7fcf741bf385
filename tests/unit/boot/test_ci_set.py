"""``ci`` of several nodes: a record for each, and each says what became of its own node."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.boot.images import image
from yoctovirt.base.screen import Screen
from yoctovirt.boot.together import NodeSet, SetOptions
from yoctovirt.build.builders import Built
from yoctovirt.cli import ci_image
from yoctovirt.cli import ci_set as module
from yoctovirt.cli.choice import Checks
from yoctovirt.cli.ci_options import Options
from yoctovirt.config.roles import load_role
from yoctovirt.config.workspace import Workspace
from yoctovirt.errors import BootError, BuildError, ChecksFailedError, YoctovirtError

QUIET = Screen(quiet=True)


class Ci:
    """The verb with everything faked that takes its time: builds, nodes, checks."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.workspace = Workspace(folder / "ws", folder / "cache")
        self.built: list[str] = []
        self.smoked: list[tuple[str, list[str]]] = []
        self.cannot: dict[str, YoctovirtError] = {}  #: role that cannot be built, node that fails
        self.dies: dict[str, str] = {}  #: during the checks of which node -> who dies
        self.boot_error: BootError | None = None
        self._deploy = image(folder, "scarthgap")
        monkeypatch.setattr(ci_image, "build_phase", self.build_phase)
        for name in ("smoke_phase", "set_phase"):
            monkeypatch.setattr(module, name, getattr(self, name))

    def build_phase(self, record: Any, _ws: Any, role: Any, _screen: Any, **_: Any) -> Built:
        with record.phase("build"):
            self.built.append(role.name)
            if role.name in self.cannot:
                raise self.cannot[role.name]
        return Built(self._deploy)

    @contextmanager
    def set_phase(
        self, records: Any, requests: Sequence[Any], members: Any, options: Any, _screen: Any
    ) -> Iterator[NodeSet]:
        launches: Any = {}
        for record, request in zip(records, requests, strict=True):
            with record.phase("boot"):
                if self.boot_error:
                    raise self.boot_error
            guard = SimpleNamespace(poll=lambda: None)
            node = SimpleNamespace(name=request.name)
            launches[request.name] = SimpleNamespace(
                guard=guard, node=node, why_gone=lambda: "killed", stop=lambda: None
            )
        self.found = NodeSet(options, launches, members)
        yield self.found

    def smoke_phase(
        self, record: Any, _ws: Any, nodes: Any, _screen: Any, *, peers: Any, **_how: Any
    ) -> None:
        (node,) = nodes
        self.smoked.append((node.name, [peer.name for peer in peers]))
        with record.phase("smoke"):
            dead = self.dies.get(node.name)
            if dead:
                guard: Any = self.found.launches[dead].guard
                guard.poll = lambda: 137
                self.found.look()
            if node.name in self.cannot:
                raise self.cannot[node.name]
            record.data["checks"] = [
                {"id": "base::x", "suite": "base", "outcome": "passed", "title": "", "message": "",
                 "seconds": 0.0, "detail": ""}
            ]  # fmt: skip

    def run(self, *nodes: tuple[str, str], on_death: str = "stop") -> tuple[int, dict[str, Any]]:
        roles = {role: load_role(role) for _, role in nodes}
        how: Any = Options(None, None, False, Checks())  # type: ignore[arg-type]
        options = SetOptions(on_death=on_death)
        named = [(name, roles[role]) for name, role in nodes]
        code = module.ci_set(self.workspace, named, how, options, QUIET)
        runs = [json.loads(path.read_text()) for path in self.workspace.runs.glob("*/run.json")]
        return code, {run["id"].partition("-")[2]: run for run in runs}


@pytest.fixture
def ci(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Ci:
    return Ci(monkeypatch, tmp_path)


TWO = (("reference-1", "reference"), ("reference-2", "reference"))
MIXED = (("reference", "reference"), ("quick", "quick"))


def results(runs: dict[str, Any]) -> dict[str, tuple[str, int]]:
    return {name: (run["result"], run["exit_code"]) for name, run in runs.items()}


def test_two_of_one_role(ci: Ci) -> None:
    code, runs = ci.run(*TWO)
    assert code == 0
    assert ci.built == ["reference"]
    assert ci.smoked == [("reference-1", ["reference-2"]), ("reference-2", ["reference-1"])]
    assert results(runs) == {"reference-1": ("passed", 0), "reference-2": ("passed", 0)}
    build = runs["reference-2"]["phases"][0]
    assert build["details"] == {"same_image_as": "reference-1"}
    assert all((ci.workspace.runs / run["id"] / "report.html").is_file() for run in runs.values())


def test_what_cannot_be_built_is_left_out(ci: Ci, capsys: pytest.CaptureFixture[str]) -> None:
    ci.cannot["quick"] = BuildError("no compiler")
    code, runs = ci.run(*MIXED)
    assert code == 4
    assert results(runs) == {"reference": ("passed", 0), "quick": ("error", 4)}
    assert ci.smoked == [("reference", [])]
    assert [phase["status"] for phase in runs["quick"]["phases"]] == ["error", "not run", "not run"]
    assert capsys.readouterr().err.count("no compiler") == 1


def test_failed_checks_of_one(ci: Ci) -> None:
    ci.cannot["reference-1"] = ChecksFailedError("1 of 2 checks failed")
    code, runs = ci.run(*TWO)
    assert code == 1
    assert results(runs) == {"reference-1": ("failed", 1), "reference-2": ("passed", 0)}


def test_a_boot_that_fails_is_told_once(ci: Ci, capsys: pytest.CaptureFixture[str]) -> None:
    ci.boot_error = BootError("node reference-1 did not become ready: panic")
    code, runs = ci.run(*TWO)
    assert code == 5
    assert results(runs) == {"reference-1": ("error", 5), "reference-2": ("error", 5)}
    assert capsys.readouterr().err.count("panic") == 1
    assert ci.smoked == []


def test_one_dies_under_its_checks(ci: Ci) -> None:
    ci.dies["reference-1"] = "reference-1"
    code, runs = ci.run(*TWO)
    assert code == 5
    assert results(runs) == {"reference-1": ("error", 5), "reference-2": ("error", 5)}
    message = runs["reference-2"]["error"]["message"]
    assert message == "node reference-1 died: killed\nstopped with it: reference-2"
    assert ci.smoked == [("reference-1", ["reference-2"])]


def test_the_other_goes_on(ci: Ci) -> None:
    ci.dies["reference-1"] = "reference-1"
    code, runs = ci.run(*TWO, on_death="keep")
    assert code == 5
    assert results(runs) == {"reference-1": ("error", 5), "reference-2": ("passed", 0)}


def test_what_was_tested_before_the_death_stands(ci: Ci) -> None:
    ci.dies["reference-2"] = "reference-2"
    _, runs = ci.run(*TWO)
    assert results(runs) == {"reference-1": ("passed", 0), "reference-2": ("error", 5)}


def test_an_interrupt_closes_all_records(ci: Ci) -> None:
    ci.cannot["reference-1"] = KeyboardInterrupt()  # type: ignore[assignment]
    code, runs = ci.run(*TWO)
    assert code == 130
    assert {run["result"] for run in runs.values()} == {"interrupted"}
