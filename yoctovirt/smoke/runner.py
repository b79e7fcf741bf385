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
from yoctovirt.smoke.catalog import SUITES_DIR
from yoctovirt.smoke.suitefile import Suite
from yoctovirt.smoke.verdicts import CHECKS_FILE, NOT_RUN
from yoctovirt.smoke.workers import GRACE

#: Exit codes of pytest after which all was run that was to run: passed, failed, nothing there.
_RAN = (0, 1, 5)
#: Seconds that pytest itself may take to end after an interrupt.
_END = 15.0
#: Variables of the caller that would change what our suites do.
_SCRUBBED = ("PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTEST_CURRENT_TEST", "PYTEST_XDIST_WORKER")


def pytest_command(
    nodes: Sequence[Node],
    workspace: Workspace,
    suites: Sequence[Suite],
    results: Path,
    *,
    expression: str = "",
    checks: Sequence[str] = (),
    jobs: int = 1,
    peers: Sequence[Node] = (),
) -> list[str]:
    """Return argv of a pytest run; with several *jobs* that many modules run side by side."""
    argv = [sys.executable, "-m", "pytest", "-p", "yoctovirt.smoke.plugin"]
    argv += ["-p", "pytest_timeout", "-p", "pytest_rerunfailures"]
    argv += ["-c", str(SUITES_DIR / "pytest.ini"), "--rootdir", str(_root_of(suites))]
    argv += ["-p", "no:cacheprovider", "--no-header", "--tb=short", "-v"]
    if jobs > 1:
        argv += ["-p", "xdist.plugin", "-n", str(jobs), "--dist=loadfile"]
    argv += [f"--yv-workspace={workspace.path}", f"--yv-results={results}"]
    argv += [f"--yv-node={node.name}" for node in nodes]
    argv += [f"--yv-peer={node.name}" for node in peers]
    if expression:
        argv.append(f"-k{expression}")
    argv += [f"--yv-check={check}" for check in checks]
    return [*argv, *map(str, modules_of(suites, checks))]


def check_expression(expression: str) -> None:
    """Raise UsageError where pytest does not understand *expression*, its ``-k``.

    Asked before a build: in a run of several workers pytest would only break.
    """
    folder = SUITES_DIR / "aids"  # in which there is nothing to collect
    argv = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    argv += ["-c", str(SUITES_DIR / "pytest.ini"), "--rootdir", str(folder), f"-k{expression}"]
    done = subprocess.run(
        [*argv, str(folder)], env=_environment(), stdin=subprocess.DEVNULL, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    if done.returncode not in _RAN:
        said = done.stdout.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
        raise UsageError(
            f"-k {expression!r} is not understood by pytest: {said[0].removeprefix('ERROR: ')}",
            "words of names with and, or, not: -k 'docker and not network'",
        )


def _environment() -> dict[str, str]:
    """Return the environment of pytest: what else is installed beside us changes no verdict."""
    env = {key: value for key, value in os.environ.items() if key not in _SCRUBBED}
    return {**env, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": "1"}


def _root_of(suites: Sequence[Suite]) -> Path:
    """Return a folder above all of *suites*: a module that is not below has no name in pytest."""
    folders = [str(path.parent) for suite in suites for path in suite.paths]
    return Path(os.path.commonpath([str(SUITES_DIR), *folders]))


def modules_of(suites: Sequence[Suite], checks: Sequence[str] = ()) -> list[Path]:
    """Return the modules of *suites*; with *checks* only those that these stand in."""
    wanted = {check.partition("[")[0] for check in checks}
    here = {check.path for suite in suites for check in suite.checks if check.id in wanted}
    return [path for suite in suites for path in suite.paths if not wanted or path in here]


def lacking_nodes(
    suites: Sequence[Suite], promises: Sequence[Sequence[str]]
) -> list[tuple[str, str]]:
    """Return the checks of *suites* that need more nodes, with the reason.

    *promises* are those of each node that there is.
    """
    found = []
    for check in (check for suite in suites for check in suite.checks):
        each = check.nodes_promise
        count = sum(not each or each in node for node in promises)
        if check.nodes > (count if each else max(count, 1)):
            what = "1 node" if check.nodes == 1 else f"{check.nodes} nodes"
            what += f" that promise{'s' if check.nodes == 1 else ''} {each}" if each else ""
            found.append((check.id, f"needs {what}, this run has {count}"))
    return found


def default_jobs(nodes: Sequence[Node]) -> int:
    """Return how many modules run side by side: one more than CPUs, for checks also wait."""
    return min(node.state.cpus for node in nodes) + 1


def run_checks(
    nodes: Sequence[Node],
    workspace: Workspace,
    suites: Sequence[Suite],
    results: Path,
    log: CommandLog,
    screen: Screen,
    *,
    expression: str = "",
    checks: Sequence[str] = (),
    jobs: int | None = None,
    peers: Sequence[Node] = (),
) -> list[dict[str, Any]]:
    """Run *suites* on *nodes* and return the verdicts, whatever they are.

    *peers* are running nodes that the checks may use beside them. Suites that want to be alone
    run after all others, one after the other. Raises UsageError where no check ran,
    InterruptedRunError after Ctrl-C, InfrastructureError where pytest itself broke.
    """
    if not suites:
        raise UsageError("no smoke suite is left to run", "see 'yoctovirt smoke --list'")
    env = _environment()
    together = [suite for suite in suites if not suite.alone]
    alone = [suite for suite in suites if suite.alone]
    statuses = []
    for batch, most in ((together, jobs or default_jobs(nodes)), (alone, 1)):
        if not batch:
            continue
        modules = len(modules_of(batch, checks))
        argv = pytest_command(
            nodes, workspace, batch, results,
            expression=expression, checks=checks, jobs=min(most, modules), peers=peers,
        )  # fmt: skip
        screen.command(log.note(argv))
        sys.stdout.flush()
        told = (results / CHECKS_FILE).stat().st_size if (results / CHECKS_FILE).exists() else 0
        with (results / "pytest.log").open("ab+") as output:
            job = Guarded(argv, env=env, output=output, grace=20.0)
            scale = max(node.state.timeout_scale for node in nodes)
            statuses.append(_follow(job, results / CHECKS_FILE, told, screen, _END + GRACE * scale))
        if statuses[-1] not in _RAN:
            break
    verdicts = read_verdicts(results)
    error = _error_of(statuses, verdicts, results / "pytest.log")
    if error is not None:
        raise error
    return verdicts


def _follow(job: Guarded, path: Path, told: int, screen: Screen, grace: float) -> int:
    """Show each verdict as it comes; pass an interrupt on, and wait for pytest's clean-up.

    The first *told* bytes of *path* were shown already; *grace* is for how many seconds.
    """
    path.touch()
    with path.open(encoding="utf-8") as lines:
        lines.seek(told)
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
            screen.note("interrupted: the checks that run clean up (once more: at once)")
            job.interrupt()
            try:
                job.wait(grace)
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


def _error_of(
    statuses: Sequence[int], verdicts: list[dict[str, Any]], log: Path
) -> YoctovirtError | None:
    """Map pytest's exit codes (pytest.ExitCode); failed checks are for the caller to judge."""
    broken = [status for status in statuses if status not in _RAN]
    if 2 in broken:
        return InterruptedRunError("the smoke run was interrupted")
    if not broken:
        if verdicts:
            return None
        return UsageError("no check ran", "are -k and --check right? see 'yoctovirt smoke --list'")
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-8:])
    if broken[0] == 4:
        return UsageError(f"pytest refused its arguments:\n{tail}")
    return InfrastructureError(f"pytest broke with exit status {broken[0]}:\n{tail}", f"see {log}")


def judge(verdicts: list[dict[str, Any]]) -> None:
    """Raise ChecksFailedError unless every check passed, a flaky one at a later attempt.

    Raises UsageError where the nodes could be put to none of them.
    """
    good = ("passed", "flaky", NOT_RUN)
    if verdicts and all(verdict["outcome"] == NOT_RUN for verdict in verdicts):
        reasons = "; ".join(f"{verdict['id']}: {verdict['message']}" for verdict in verdicts)
        raise UsageError(f"no check ran: {reasons}", "choose a node that can be put to it")
    bad = [verdict for verdict in verdicts if verdict["outcome"] not in good]
    if bad:
        names = ", ".join(verdict["id"] for verdict in bad[:6])
        more = f" and {len(bad) - 6} more" if len(bad) > 6 else ""
        raise ChecksFailedError(
            f"{len(bad)} of {len(verdicts)} checks failed: {names}{more}",
            "the report shows for each what was expected and what came",
        )
