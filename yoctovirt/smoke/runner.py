"""Run the smoke suites as pytest in a process of its own, and read the verdicts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from yoctovirt.base.process import CommandLog, Guarded
from yoctovirt.base.screen import Screen
from yoctovirt.boot.node import Node
from yoctovirt.config.workspace import Workspace
from yoctovirt.errors import (
    ChecksFailedError,
    InfrastructureError,
    InterruptedRunError,
    UsageError,
    YoctovirtError,
)
from yoctovirt.smoke.catalog import SUITES_DIR, Suite
from yoctovirt.smoke.session import CHECKS_FILE

#: Variables of the caller that would change what our suites do.
_SCRUBBED = ("PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTEST_CURRENT_TEST", "PYTEST_XDIST_WORKER")


def pytest_command(
    nodes: Sequence[Node],
    workspace: Workspace,
    suites: Sequence[Suite],
    results: Path,
    expression: str = "",
    peers: Sequence[Node] = (),
) -> list[str]:
    """Return argv of the pytest run."""
    argv = [sys.executable, "-m", "pytest", "-p", "yoctovirt.smoke.plugin"]
    argv += ["-c", str(SUITES_DIR / "pytest.ini"), "--rootdir", str(SUITES_DIR)]
    argv += ["-p", "no:cacheprovider", "--no-header", "--tb=short", "-v"]
    argv += [f"--yv-workspace={workspace.path}", f"--yv-results={results}"]
    argv += [f"--yv-node={node.name}" for node in nodes]
    argv += [f"--yv-peer={node.name}" for node in peers]
    if expression:
        argv += ["-k", expression]
    return [*argv, *(str(suite.path) for suite in suites)]


def run_checks(
    nodes: Sequence[Node],
    workspace: Workspace,
    suites: Sequence[Suite],
    results: Path,
    log: CommandLog,
    screen: Screen,
    expression: str = "",
    peers: Sequence[Node] = (),
) -> list[dict[str, Any]]:
    """Run *suites* on *nodes* and return the verdicts, whatever they are.

    *peers* are running nodes that the checks may use beside them.
    Raises UsageError where no check ran, InterruptedRunError after Ctrl-C,
    InfrastructureError where pytest itself broke.
    """
    if not suites:
        raise UsageError("no smoke suite is left to run", "see 'yoctovirt smoke --list'")
    argv = pytest_command(nodes, workspace, suites, results, expression, peers)
    env = {key: value for key, value in os.environ.items() if key not in _SCRUBBED}
    # Only our plugin: what else is installed beside us must not change a verdict.
    env.update(PYTEST_DISABLE_PLUGIN_AUTOLOAD="1", PYTHONDONTWRITEBYTECODE="1")
    screen.command(log.note(argv))
    sys.stdout.flush()
    with (results / "pytest.log").open("ab+") as output:
        job = Guarded(argv, env=env, output=output, grace=20.0)
        status = _follow(job, results / CHECKS_FILE, screen)
    verdicts = read_verdicts(results)
    error = _error_of(status, verdicts, results / "pytest.log")
    if error is not None:
        raise error
    return verdicts


def _follow(job: Guarded, path: Path, screen: Screen) -> int:
    """Show each verdict as it comes; pass an interrupt on, and wait for pytest's clean-up."""
    path.touch()
    with path.open(encoding="utf-8") as lines:
        try:
            while True:
                try:
                    status = job.wait(0.2)
                except subprocess.TimeoutExpired:
                    status = -1
                while line := _whole_line(lines):
                    _show(json.loads(line), screen)
                if status >= 0:
                    job.close()
                    return status
        except BaseException:
            job.interrupt()
            try:
                job.wait(20.0)
            except subprocess.TimeoutExpired:
                screen.note("pytest does not end; it is stopped")
            job.stop()
            raise


def _whole_line(lines: IO[str]) -> str:
    """Return the next line, '' where it has not been written to its end yet."""
    place = lines.tell()
    line = lines.readline()
    if not line.endswith("\n"):
        lines.seek(place)
        return ""
    return line


def _show(verdict: dict[str, Any], screen: Screen) -> None:
    first = verdict["message"].splitlines()[0] if verdict["message"] else ""
    line = f"{verdict['outcome']:7} {verdict['id']:36} {verdict['seconds']:6.1f} s"
    screen.note(f"{line}  {first[:120]}".rstrip())


def read_verdicts(results: Path) -> list[dict[str, Any]]:
    """Return the verdicts that a run has left, also where it was cut short."""
    path = results / CHECKS_FILE
    if not path.is_file():
        return []
    # A line without its end is one that was being written when pytest was killed.
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def _error_of(status: int, verdicts: list[dict[str, Any]], log: Path) -> YoctovirtError | None:
    """Map pytest's exit codes (pytest.ExitCode); failed checks are for the caller to judge."""
    if status in (0, 1) and verdicts:
        return None
    if status == 2:
        return InterruptedRunError("the smoke run was interrupted")
    if status in (0, 1, 5):
        return UsageError(
            "no check ran", "is the -k expression right? see 'yoctovirt smoke --list'"
        )
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-8:])
    if status == 4:
        return UsageError(f"pytest refused its arguments:\n{tail}")
    return InfrastructureError(f"pytest broke with exit status {status}:\n{tail}", f"see {log}")


def judge(verdicts: list[dict[str, Any]]) -> None:
    """Raise ChecksFailedError unless every check passed."""
    bad = [verdict for verdict in verdicts if verdict["outcome"] != "passed"]
    if bad:
        names = ", ".join(verdict["id"] for verdict in bad[:6])
        more = f" and {len(bad) - 6} more" if len(bad) > 6 else ""
        raise ChecksFailedError(
            f"{len(bad)} of {len(verdicts)} checks failed: {names}{more}",
            "the report shows for each what was expected and what came",
        )
