"""One pytest session on running nodes: fixtures, deadlines, broken nodes, evidence, verdicts."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from yoctovirt.boot.hosts import find_any_node
from yoctovirt.boot.node import Node
from yoctovirt.boot.results import NodeRestartedError, NodeUnreachableError
from yoctovirt.config.workspace import find_workspace
from yoctovirt.errors import YoctovirtError
from yoctovirt.smoke.attached import Attachments
from yoctovirt.smoke.broken import note_broken, read_started
from yoctovirt.smoke.catalog import IMAGE_CHECKS, SERIAL_CHECKS, promise_commands
from yoctovirt.smoke.checked import COMMANDS_FILE, CommandRecorder, SmokeNode
from yoctovirt.smoke.evidence import Evidence
from yoctovirt.smoke.limits import CheckClock, apply_marks, deadline_of, retries_of
from yoctovirt.smoke.notrun import NotRunError
from yoctovirt.smoke.suitefile import Suite, read_suites, suite_of
from yoctovirt.smoke.verdicts import (
    ATTACHED,
    EVIDENCE,
    REASON,
    RETRY,
    TITLE,
    VerdictWriter,
    check_id,
)
from yoctovirt.smoke.workers import Worker, Workers

#: Name under which the session is found in pytest's plugin manager.
PLUGIN = "yoctovirt-session"


@lru_cache(maxsize=64)
def _suite_at(path: Path) -> Suite | None:
    """Return the suite of the module at *path*; None for what cannot be read as one."""
    name = suite_of(path)
    siblings = [other for other in path.parent.glob("test_*.py") if suite_of(other) == name]
    try:
        return read_suites(siblings or [path]).get(name)
    except YoctovirtError:
        return None


class SmokeSession:
    """The plugin that is registered where a node is given."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        results = config.getoption("yv_results")
        self._results = Path(results) if results else None
        self._current = ""
        self._broken = ""
        self._spread: set[str] = set()
        workspace = config.getoption("yv_workspace")
        try:
            space = find_workspace(Path(workspace) if workspace else None)
            self._nodes: list[Node] = [find_any_node(space, n) for n in config.getoption("yv_node")]
            self._peers: list[Node] = [find_any_node(space, n) for n in config.getoption("yv_peer")]
        except YoctovirtError as error:
            raise pytest.UsageError(f"{error.message} ({error.hint})") from error
        started = read_started(self._results)
        for node in (*self._nodes, *self._peers):
            node.watch_restarts(started.get(node.name))
        self._workspace = space.path
        self._scale = max(node.state.timeout_scale for node in self._nodes)
        self._clock = CheckClock()
        self._evidence = Evidence(self._results)
        commands = self._results / COMMANDS_FILE if self._results else None
        self._recorder = CommandRecorder(commands, lambda: self._current)
        self._attachments = Attachments(self._results, lambda: self._current)
        # With pytest-xdist all reports come to the one process that is no worker.
        writes = self._results is not None and not hasattr(config, "workerinput")
        self._verdicts = VerdictWriter(self._results) if writes and self._results else None
        if self._results is not None:
            plugin = Workers(self._results, self._scale) if writes else Worker(self._results)
            config.pluginmanager.register(plugin, "yoctovirt-workers")

    def promise_commands(self, name: str = "") -> dict[str, tuple[str, ...]]:
        """Return what the nodes promise, or the node *name*, with the commands that show it."""
        known = promise_commands(self._workspace)
        nodes = [node for node in self._nodes if name in ("", node.name)]
        promised = dict.fromkeys(p for node in nodes for p in node.state.promises)
        return {promise: known[promise] for promise in promised if known.get(promise)}

    def spread(self, metafunc: pytest.Metafunc) -> list[str]:
        """Return on which nodes of a system a check is made, and leave ``node`` to the caller.

        Nodes of different roles are a system: a suite runs on the first node of each role that
        promises it, one for every node on the first of each role. [] where all are of one role:
        then the first node is the one that is tested.
        """
        self._spread.add(metafunc.definition.nodeid)
        first: dict[str | None, Node] = {}
        for node in self._nodes:
            first.setdefault(node.state.role, node)
        if len(first) < 2:
            return []
        suite = _suite_at(metafunc.definition.path)
        fit = [
            node.name
            for node in first.values()
            if suite and (suite.always or set(suite.promises) & set(node.state.promises))
        ]
        return fit or [self._nodes[0].name]

    @pytest.hookimpl(trylast=True)
    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Make each check on the nodes that it is for."""
        if "node" in metafunc.fixturenames and metafunc.definition.nodeid not in self._spread:
            names = self.spread(metafunc)
            if names:
                metafunc.parametrize("node", names, indirect=True, scope="session")

    def smoke_nodes(self) -> dict[str, SmokeNode]:
        """Return the nodes of the run as checks see them, by name; those to be tested first."""
        nodes = [*self._nodes, *self._peers]
        kept = (self._recorder, self._clock, self._attachments)
        return {node.name: SmokeNode(node, *kept) for node in nodes}

    def close(self) -> None:
        """Close our connections to the nodes."""
        for node in (*self._nodes, *self._peers):
            node.close()

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leave out what was not asked for, or what the nodes are not for; hand the marks on."""
        wanted = set(self.config.getoption("yv_check"))
        unfit: set[str] = set()
        if not all(node.has_serial for node in self._nodes):
            unfit.update(SERIAL_CHECKS)
        if not all(node.has_image for node in self._nodes):
            unfit.update(IMAGE_CHECKS)
        kept: list[pytest.Item] = []
        dropped: list[pytest.Item] = []
        for item in items:
            identity = check_id(item.nodeid)
            named = not wanted or wanted & {identity, identity.partition("[")[0]}
            # Where no promise asks for a feature there is nothing to be checked.
            fit = (
                self._enough(item)
                and identity.partition("[")[0] not in unfit
                and "[NOTSET]" not in identity
            )
            (kept if named and fit else dropped).append(item)
        items[:] = kept
        if dropped:
            self.config.hook.pytest_deselected(items=dropped)
        apply_marks(items, self._scale, self.config)

    def _enough(self, item: pytest.Item) -> bool:
        """Whether there are as many nodes as a check needs, with the promise that it names."""
        mark = item.get_closest_marker("nodes")
        if mark is None:
            return True
        each = mark.kwargs.get("promise")
        there = (*self._nodes, *self._peers)
        count = sum(not each or each in node.state.promises for node in there)
        return count >= int(mark.args[0])

    @contextmanager
    def _deadline(self, item: pytest.Item) -> Iterator[None]:
        """Give what runs here, a fixture, the check or its clean-up, the deadline of the check."""
        self._clock.start(deadline_of(item) * self._scale)
        try:
            yield
        finally:
            self._clock.stop()

    # A check that belongs to a promise has no right to be skipped -----------

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Note which check runs, for the recorder and the report."""
        self._current = check_id(item.nodeid)
        self._attachments.begin()
        title = (getattr(getattr(item, "obj", None), "__doc__", None) or "").strip()
        item.user_properties.append((TITLE, title.splitlines()[0] if title else ""))
        item.user_properties.append((RETRY, retries_of(item)[1]))
        try:
            return (yield)
        finally:
            self._current = ""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, None, None]:
        """Do not wait for a node that is gone, once for every check."""
        if self._broken:
            pytest.fail(f"not run: {self._broken}", pytrace=False)
        with self._deadline(item):
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, None, None]:
        """Set the deadline of the check itself."""
        with self._deadline(item):
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, None, None]:
        """Set the deadline of the clean-up."""
        with self._deadline(item):
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Turn a skip in a smoke run into a failure; see whether the node is gone."""
        report = yield
        if call.excinfo is not None and isinstance(call.excinfo.value, NotRunError):
            reason = str(call.excinfo.value)
            report.user_properties.append((REASON, reason))
            report.outcome, report.longrepr = "skipped", (str(item.path), 0, f"not run: {reason}")
        elif report.skipped and self._results is not None:
            report.outcome = "failed"
            why = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
            report.longrepr = f"a promised check may not be skipped: {why}"
        error = call.excinfo.value if call.excinfo is not None else None
        if isinstance(error, NodeUnreachableError) and not self._broken:
            restarted = isinstance(error, NodeRestartedError)
            self._broken = str(error) if restarted else f"the node is gone: {error}"
            if self._results is not None:
                note_broken(self._results, error.details.get("node", ""), self._broken)
        # While what the check has made is still there: before the clean-up.
        if report.failed and not self._broken:
            kept = self._evidence.fetch(self._nodes, _suite_at(item.path), self._current)
            if kept:
                report.user_properties.append((EVIDENCE, kept))
        if self._attachments.names:
            report.user_properties.append((ATTACHED, self._attachments.names))
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Collect the phases of a check; its verdict is written when it is over."""
        if self._verdicts is not None:
            self._verdicts.add(report)


def session_of(config: pytest.Config) -> Any:
    """Return the SmokeSession of a pytest run; None where it has no node."""
    return config.pluginmanager.get_plugin(PLUGIN)
