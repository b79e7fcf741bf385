"""One pytest session on running nodes: fixtures, broken nodes, verdicts."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from yoctovirt.boot.hosts import find_any_node
from yoctovirt.boot.node import Node
from yoctovirt.boot.results import NodeUnreachableError
from yoctovirt.config.workspace import find_workspace
from yoctovirt.errors import YoctovirtError
from yoctovirt.smoke.catalog import SERIAL_CHECKS, SUITES_DIR
from yoctovirt.smoke.checked import COMMANDS_FILE, CommandRecorder, SmokeNode

CHECKS_FILE = "checks.jsonl"
#: Name under which the session is found in pytest's plugin manager.
PLUGIN = "yoctovirt-session"
_TITLE = "yv-title"


def check_id(nodeid: str) -> str:
    """Return ``suite::check`` for a pytest node id."""
    module, _, rest = nodeid.partition("::")
    suite = Path(module).stem.removeprefix("test_").replace("_", "-")
    return f"{suite}::{rest.replace('::', '.').removeprefix('test_')}"


class SmokeSession:
    """The plugin that is registered where a node is given."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        results = config.getoption("yv_results")
        self._results = Path(results) if results else None
        self._current = ""
        self._broken = ""
        self._verdicts: dict[str, dict[str, Any]] = {}
        workspace = config.getoption("yv_workspace")
        try:
            space = find_workspace(Path(workspace) if workspace else None)
            self._nodes: list[Node] = [find_any_node(space, n) for n in config.getoption("yv_node")]
            self._peers: list[Node] = [find_any_node(space, n) for n in config.getoption("yv_peer")]
        except YoctovirtError as error:
            raise pytest.UsageError(f"{error.message} ({error.hint})") from error
        commands = self._results / COMMANDS_FILE if self._results else None
        self._recorder = CommandRecorder(commands, lambda: self._current)

    def promises(self) -> list[str]:
        """Return what the roles of the nodes promise, each once."""
        return list(dict.fromkeys(p for node in self._nodes for p in node.state.promises))

    def smoke_nodes(self) -> dict[str, SmokeNode]:
        """Return the nodes of the run as checks see them, by name; those to be tested first."""
        nodes = [*self._nodes, *self._peers]
        return {node.name: SmokeNode(node, self._recorder) for node in nodes}

    def close(self) -> None:
        """Close our connections to the nodes."""
        for node in (*self._nodes, *self._peers):
            node.close()

    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Leave away what needs a serial console, where a host has none: not run, not passed."""
        if all(node.has_serial for node in self._nodes):
            return
        left = [item for item in items if check_id(item.nodeid) in SERIAL_CHECKS]
        if left:
            config.hook.pytest_deselected(items=left)
            items[:] = [item for item in items if item not in left]

    # A check that belongs to a promise has no right to be skipped -----------

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Note which check runs, for the recorder and the report."""
        self._current = check_id(item.nodeid)
        title = (getattr(getattr(item, "obj", None), "__doc__", None) or "").strip()
        item.user_properties.append((_TITLE, title.splitlines()[0] if title else ""))
        try:
            return (yield)
        finally:
            self._current = ""

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Do not wait for a node that is gone, once for every check."""
        if self._broken:
            pytest.fail(f"not run: {self._broken}", pytrace=False)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Turn a skip inside our suites into a failure, and see whether the node is gone."""
        report = yield
        if report.skipped and SUITES_DIR in item.path.parents:
            report.outcome = "failed"
            report.longrepr = f"a promised check may not be skipped: {report.longreprtext}"
        if call.excinfo is not None and isinstance(call.excinfo.value, NodeUnreachableError):
            self._broken = self._broken or f"the node is gone: {call.excinfo.value}"
        return report

    # Verdicts, written by the one process that gets all reports --------------

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Collect the phases of a check; write its verdict when it is over."""
        if self._results is None or hasattr(self.config, "workerinput"):
            return
        identity = check_id(report.nodeid)
        entry = self._verdicts.setdefault(
            report.nodeid,
            {"id": identity, "suite": identity.partition("::")[0], "outcome": "passed",
             "title": "", "seconds": 0.0, "message": "", "detail": ""},
        )  # fmt: skip
        entry["seconds"] = round(entry["seconds"] + report.duration, 3)
        for key, value in report.user_properties:
            if key == _TITLE:
                entry["title"] = value
        if report.failed and entry["outcome"] == "passed":
            entry["outcome"] = "failed" if report.when == "call" else "error"
            entry["message"] = _message(report)
            entry["detail"] = report.longreprtext[-20000:]
        elif report.skipped:
            entry["outcome"], entry["message"] = "skipped", report.longreprtext[-2000:]
        if report.when == "teardown":
            with (self._results / CHECKS_FILE).open("a", encoding="utf-8") as out:
                out.write(json.dumps(self._verdicts.pop(report.nodeid)) + "\n")


def _message(report: pytest.TestReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    text = str(crash.message) if crash is not None else report.longreprtext
    for prefix in ("AssertionError: ", "Failed: "):
        text = text.removeprefix(prefix)
    return text[:4000]
