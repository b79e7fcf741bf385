"""Why kas or bitbake failed: the task and the error lines of its log."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from yoctovirt.errors import BuildError, InfrastructureError, YoctovirtError
from yoctovirt.pins.sources import offline

_MAX_LINES = 12
#: What bitbake's fetcher says where it was not allowed to ask (BB_NO_NETWORK).
_WANTED = re.compile(r"Fetcher Error: NetworkAccess\(['\"]([^'\";]+)")
#: The environment that bitbake writes before what its fetcher ran.
_FETCH = re.compile(r"Fetch command (?:export [^;]*; )+")


@dataclass(frozen=True)
class FailedTask:
    """A task that bitbake could not run."""

    recipe: str  #: path of the recipe
    task: str
    log: Path | None

    def __str__(self) -> str:
        return f"{Path(self.recipe).name}:{self.task}"


def failed_tasks(output: str) -> list[FailedTask]:
    """Return the failed tasks that *output* of bitbake names, each with its log."""
    logs = list(dict.fromkeys(re.findall(r"Logfile of failure stored in: (\S+)", output)))
    tasks = []
    pattern = r"ERROR: Task \((?:mc:[^:]*:)?(?:virtual:([^/()]+):)?([^:()]+):(do_\w+)\) failed"
    for variant, recipe, task in re.findall(pattern, output):
        log = _log_of(_name(recipe, variant), task, logs)
        entry = FailedTask(os.path.normpath(recipe), task, log)
        if entry not in tasks:
            tasks.append(entry)
    return tasks


def _name(recipe: str, variant: str) -> str:
    """Return PN of the file *recipe*, as ``virtual:<variant>:`` before its path changes it."""
    name = Path(recipe).stem.split("_")[0]
    kind, _, prefix = variant.partition(":")
    if kind == "native" and not name.endswith("-native"):
        return f"{name}-native"
    return f"{prefix or kind}-{name}" if kind in ("nativesdk", "multilib") else name


def _log_of(name: str, task: str, logs: list[str]) -> Path | None:
    """Return the log of *task* of the recipe *name*: below a folder of that name."""
    mine = [log for log in logs if re.search(rf"/log\.{task}\.\d+$", log)]
    found = [log for log in mine if f"/{name}/" in log] or (mine if len(mine) == 1 else [])
    return Path(found[0]) if found else None


def error_lines(text: str) -> list[str]:
    """Return the lines of a task's log that say what went wrong."""
    wanted = re.compile(
        r"^ERROR:|(?i:\berror:)|^make(\[\d+\])?: \*\*\*|(?i:fatal:)|No space left on device"
        r"|(?i:cannot (?:find|open|stat))|^E: |not found$|Exception:|Error:|\bfailed with\b"
    )
    # The stack of bitbake's own Python says nothing about the recipe.
    noise = re.compile(
        r'^(DEBUG|NOTE):|ExecutionError\(|WARNING: exit code|Function failed|^Command "'
    )
    lines = [_FETCH.sub("Fetch command ", line.rstrip()) for line in text.splitlines()]
    found = [line for line in lines if wanted.search(line) and not noise.search(line)]
    return list(dict.fromkeys(found))[:_MAX_LINES]


def explain(output: str, status: int, build_log: Path) -> YoctovirtError:
    """Return the error for a kas that ended with *status*."""
    tasks = failed_tasks(output)
    plain = [re.sub(r"^[\d-]+ [\d:]+ - \w+ +- ", "", line) for line in output.splitlines()]
    text = "\n".join(plain)
    if "No space left on device" in text:
        return InfrastructureError(
            f"the disk became full during the build (log: {build_log})", "free some space"
        )
    if not tasks:
        lines = error_lines(text) or plain[-5:]
        return BuildError(
            f"kas ended with status {status} before a task was run:\n{_indent(lines)}",
            f"the whole output is {build_log}",
        )
    absent = _absent_sources(text, tasks) if offline() else []
    if absent:
        return InfrastructureError(
            "offline, and these sources are not in the download folder (DL_DIR):\n"
            + "\n".join(f"  {line}" for line in absent),
            "build once with a network, and copy the workspace's downloads/ here; bitbake stops at "
            "the first that is missing: 'bitbake -k --runall=fetch IMAGE' fetches all",
        )
    parts = []
    for task in tasks:
        said = task.log.read_text(errors="replace") if task.log and task.log.is_file() else text
        where = f"\n    log: {task.log}" if task.log else ""
        parts.append(
            f"{task} failed\n    recipe: {task.recipe}{where}\n"
            + _indent(error_lines(said) or said.splitlines()[-5:])
        )
    return BuildError("\n".join(parts), f"{_advice(text, tasks)}the whole output is {build_log}")


def _absent_sources(text: str, tasks: list[FailedTask]) -> list[str]:
    """Return recipe and URL of each source that bitbake wanted to have over a network."""
    found = []
    for task in tasks:
        if task.task != "do_fetch":
            continue
        said = task.log.read_text(errors="replace") if task.log and task.log.is_file() else text
        urls = dict.fromkeys(_WANTED.findall(said))
        found += [f"{Path(task.recipe).name}: {url}" for url in urls]
    return found


def _advice(text: str, tasks: list[FailedTask]) -> str:
    """Return what to do about failed downloads; bitbake says it outside of their logs."""
    if all(task.task != "do_fetch" for task in tasks):
        return ""
    if "quick-packages.lock.json could not be fetched" in text:
        return (
            "Debian removes packages that it has superseded: refresh the lock with "
            "'yoctovirt quick-lock' and build again; "
        )
    return "can this host reach that URL, through its proxy? "


def _indent(lines: list[str]) -> str:
    return "\n".join(f"    | {line[:400]}" for line in lines)
