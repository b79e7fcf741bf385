"""The run records of a workspace: which there are, which is meant, which may go."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from yoctovirt.base.record import RUN_FILE
from yoctovirt.base.suggest import did_you_mean
from yoctovirt.errors import InfrastructureError, UsageError
from yoctovirt.report.load import load_run

#: Outcomes of a check that count as bad.
BAD = ("failed", "error")


@dataclass(frozen=True)
class Run:
    """A record that can be read: its folder, and what its run.json says."""

    folder: Path
    data: dict[str, Any]

    @property
    def name(self) -> str:
        """What was run: the part of the id behind its time, without a number behind it."""
        name = self.folder.name.partition("-")[2]
        head, _, number = name.rpartition("-")
        # Runs that began in the same second have a number; a role has none behind a verb.
        return head if head and number.isdigit() else name

    @property
    def started(self) -> datetime:
        """When it began."""
        return datetime.fromisoformat(self.data["started"])

    @property
    def alive(self) -> bool:
        """Whether the process that writes it is still there."""
        if self.data["result"] != "running":
            return False
        try:
            os.kill(int(self.data["pid"]), 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True

    @property
    def result(self) -> str:
        """What came of it; ``killed`` where its process went without a word."""
        result: str = self.data["result"]
        return "killed" if result == "running" and not self.alive else result

    def count(self, *outcomes: str) -> int:
        """Return how many checks had one of *outcomes*."""
        return sum(check["outcome"] in outcomes for check in self.data["checks"])


def all_runs(folder: Path) -> tuple[list[Run], list[str]]:
    """Return the records below *folder*, oldest first, and what is wrong with the others.

    Raises InfrastructureError where the folder is there and cannot be read: glob is silent then.
    """
    found, wrong = [], []
    try:
        os.scandir(folder).close()
    except FileNotFoundError:
        return [], []
    except OSError as error:
        raise InfrastructureError(
            f"the run records in {folder} cannot be read: {error.strerror}",
            "call as the user whose workspace it is",
        ) from error
    for path in folder.glob(f"*/{RUN_FILE}"):
        try:
            found.append(Run(path.parent, load_run(path.parent)))
        except UsageError as error:
            wrong.append(error.message)
    return sorted(found, key=lambda run: (run.data["started"], run.folder.name)), sorted(wrong)


def find_run(folder: Path, named: str | None, role: str | None = None) -> Run:
    """Return the run *named*: its id, the begin of one, or the path of its folder.

    Without a name it is the newest (of *role*). Raises UsageError where there is none, where
    several begin so, or where it cannot be read.
    """
    if named is not None and (Path(named) / RUN_FILE).is_file():
        return Run(Path(named), load_run(Path(named)))
    if named is not None and (folder / named / RUN_FILE).is_file():
        return Run(folder / named, load_run(folder / named))
    known, _ = all_runs(folder)
    if named is None:
        fitting = [run for run in known if role in (None, run.data["role"])]
        if not fitting:
            what = f"of role {role} " if role else ""
            raise UsageError(f"there is no run record {what}in {folder}", "yoctovirt ci ROLE")
        return fitting[-1]
    fitting = [run for run in known if run.folder.name.startswith(named)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        names = ", ".join(run.folder.name for run in fitting[:5])
        raise UsageError(f"{len(fitting)} run records begin with {named!r}", f"such as {names}")
    raise UsageError(
        f"there is no run record {named!r} in {folder}",
        did_you_mean(named, [run.folder.name for run in known]),
    )


def prunable(
    runs: Sequence[Run], keep: int, days: float | None, in_use: Iterable[Path] = ()
) -> list[Run]:
    """Return which of *runs* (oldest first) may go.

    Of each name the newest *keep* stay, and always the newest that passed and the newest that
    did not: what a red run is compared with is the last green one. With *days* only older ones
    go. What is running, and what a node writes its console into (*in_use*), stays.
    """
    stay = {folder.resolve() for folder in in_use}
    by_name: dict[str, list[Run]] = {}
    for run in runs:
        if not run.alive:
            by_name.setdefault(run.name, []).append(run)
    for group in by_name.values():
        newest = group[len(group) - min(keep, len(group)) :]
        passed = [run for run in group if run.result == "passed"][-1:]
        others = [run for run in group if run.result != "passed"][-1:]
        stay |= {run.folder.resolve() for run in (*newest, *passed, *others)}
    limit = datetime.now(timezone.utc) - timedelta(days=days) if days is not None else None
    return [
        run
        for run in runs
        if run.folder.resolve() not in stay
        and not run.alive
        and (limit is None or run.started < limit)
    ]
