"""Why kas or bitbake failed: each task with its cause and the error lines of its log."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from yoctovirt.base.files import free_bytes, human_bytes, is_read_only
from yoctovirt.base.passing import is_passing
from yoctovirt.build.kas.causes import Cause, find_cause
from yoctovirt.build.kas.excerpt import MAX_LINES, bitbake_text, error_lines, last_words, read_log
from yoctovirt.build.kas.recipes import Place, layer_of, look_up
from yoctovirt.doctor.packages import find_manager
from yoctovirt.errors import BuildError, InfrastructureError, YoctovirtError
from yoctovirt.pins.sources import offline

#: What bitbake's fetcher says where it was not allowed to ask (BB_NO_NETWORK).
_WANTED = re.compile(r"Fetcher Error: NetworkAccess\(['\"]([^'\";]+)")
#: Causes that concern the whole build wherever they show.
_EVERYWHERE = ("disk-full", "disk-monitor", "disk-write")
#: One that does where it is a place of the build, and is not what a recipe tries to write to.
_READ_ONLY = "disk-read-only"


@dataclass(frozen=True)
class FailedTask:
    """A task that bitbake could not run.

    From bitbake's output, or from its events (``bb.build.TaskFailed`` has task and logfile).
    """

    recipe: str  #: path of the recipe
    task: str
    log: Path | None

    def __str__(self) -> str:
        return f"{Path(self.recipe).name}:{self.task}"


@dataclass(frozen=True)
class Failure:
    """What went wrong, and why: of one task, or of bitbake where it ran none."""

    lines: tuple[str, ...]
    cause: Cause | None
    task: FailedTask | None = None
    layer: str | None = None
    notes: tuple[str, ...] = field(default=())  #: what was found out besides

    def as_json(self) -> dict[str, Any]:
        """Return it in the form in which run.json has it."""
        task = self.task
        return {
            "recipe": Path(task.recipe).stem if task else None,
            "task": task.task if task else None,
            "file": task.recipe if task else None,
            "layer": self.layer,
            "log": str(task.log) if task and task.log else None,
            "cause": self.cause.name if self.cause else None,
            "title": self.cause.title if self.cause else None,
            "remedy": self.cause.remedy if self.cause else None,
            "facts": {name: list(seen) for name, seen in self.cause.facts.items()}
            if self.cause
            else {},
            "notes": list(self.notes),
            "lines": list(self.lines),
        }

    def text(self) -> str:
        """Return it as a person reads it."""
        rows = [f"{self.task} failed"] if self.task else []
        if self.cause:
            rows.append(f"    cause:  {self.cause.title}")
            rows.append(f"    remedy: {self.cause.remedy}")
        else:
            rows.append("    cause:  unknown")
        rows += [f"    note:   {note}" for note in self.notes]
        if self.task:
            layer = f" (layer {self.layer})" if self.layer else ""
            rows.append(f"    recipe: {self.task.recipe}{layer}")
            rows += [f"    log:    {self.task.log}"] if self.task.log else []
        rows += [f"    | {line[:400]}" for line in self.lines]
        return "\n".join(rows)


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


def explain_tasks(tasks: Sequence[FailedTask], text: str = "") -> list[Failure]:
    """Return why *tasks* failed; *text* is bitbake's output, for where a log is gone."""
    failures = []
    for task in tasks:
        log = task.log
        said = read_log(log) if log and log.is_file() else _shown_log(task, text)
        cause = find_cause(said, task.task, Path(task.recipe).name)
        lines = (cause.lines if cause else ()) or tuple(error_lines(said) or last_words(said))
        layer = layer_of(Path(task.recipe))
        failures.append(Failure(lines[:MAX_LINES], cause, task, layer[0] if layer else None))
    return failures


def _shown_log(task: FailedTask, text: str) -> str:
    """Return the log of *task* as far as bitbake's output has it, else all of that."""
    begin = text.find(f"Logfile of failure stored in: {task.log}\n") if task.log else -1
    if begin < 0:
        return text
    end = text.find("\nERROR: Task (", begin)
    part = text[begin : end if end >= 0 else None]
    return re.sub(r"^\| ?", "", part.partition("\n")[2], flags=re.MULTILINE)


def explain(
    output: str,
    status: int,
    build_log: Path,
    *,
    layers: Path | None = None,
    build_dir: Path | None = None,
    caches: Mapping[str, Path] | None = None,
) -> YoctovirtError:
    """Return the error for a kas that ended with *status*.

    Its ``details`` hold the failures for run.json. With *layers* and *build_dir* a recipe
    that is missing is looked for in all layers that are checked out. A full disk may be that
    of *build_dir*, or of one of *caches* (DL_DIR, SSTATE_DIR): it is said what each has left.
    """
    text = bitbake_text(output)
    tasks = failed_tasks(output)
    absent = _absent_sources(text, tasks) if offline() else []
    failures = explain_tasks(tasks, text)
    general = find_cause(text)
    seen = [failure.cause.name for failure in failures if failure.cause]
    if not tasks or (general and general.name in _EVERYWHERE and general.name not in seen):
        lines = (general.lines if general else ()) or tuple(error_lines(text) or last_words(text))
        notes = _notes(general, layers, build_dir) if general else ()
        failures.append(Failure(lines[:MAX_LINES], general, notes=notes))
    known = [failure.cause for failure in failures]
    places = {**({"build directory": build_dir} if build_dir else {}), **(caches or {})}
    parts = [failure.text() for failure in failures]
    if not tasks:
        parts.insert(0, f"kas ended with status {status} before a task was run")
    error: YoctovirtError
    whole = f"the whole output is {build_log}"
    if absent:
        error = InfrastructureError(
            "offline, and these sources are not in the download folder (DL_DIR):\n"
            + "\n".join(f"  {line}" for line in absent),
            "build once with a network, and copy the workspace's downloads/ here; bitbake stops at "
            "the first that is missing: 'bitbake -k --runall=fetch IMAGE' fetches all",
        )
    elif head := _disk_trouble(known, places):
        error = InfrastructureError("\n".join([head, *_room(places), *parts]), whole)
    elif _servers_failed(tasks, known, text):
        head = "sources could not be fetched: the network, or their servers, did not answer"
        error = InfrastructureError("\n".join([head, *parts]), f"{_advice(text)}{whole}",
                                    passing=True)  # fmt: skip
    elif all(cause and cause.blame == "host" for cause in known):
        error = InfrastructureError("\n".join(parts), whole)
    else:
        error = BuildError("\n".join(parts), f"{_advice(text)}{whole}")
    error.details["failures"] = [failure.as_json() for failure in failures]
    return error


def disk_failed(cause: Cause | None) -> bool:
    """Whether it is a disk that could not be written, and no recipe or server."""
    return cause is not None and cause.name in (*_EVERYWHERE, _READ_ONLY)


def _disk_trouble(causes: Sequence[Cause | None], places: Mapping[str, Path]) -> str | None:
    """Return what is wrong with the build's disks, None where it is something else."""
    names = {cause.name for cause in causes if cause}
    if names & {"disk-full", "disk-monitor"}:
        return "the disk became full during the build"
    if names.intersection(_EVERYWHERE):
        return "a disk could not be written during the build"
    if _READ_ONLY in names and any(is_read_only(path) for path in places.values()):
        return "a file system of the build is mounted read-only"
    return None


def _room(places: Mapping[str, Path]) -> list[str]:
    """Return what is left on the file system of each place: to see which is full."""
    return [
        f"    {name}: {human_bytes(free_bytes(path))} free at {path}"
        + (", mounted read-only" if is_read_only(path) else "")
        for name, path in places.items()
    ]


def _notes(cause: Cause, layers: Path | None, build_dir: Path | None) -> tuple[str, ...]:
    """Return what can be found out about *cause* besides: layers with a recipe, packages."""
    if cause.look_up == "host-tools":
        return (f"as root: {find_manager().line(cause.values['tools'].split())}",)
    if cause.look_up == "recipes" and layers and build_dir:
        same, near = look_up(cause.values["name"], layers, build_dir)
        if same:
            return tuple(map(_there, same))
        return tuple(f"there is {place.name} in layer {place.layer}" for place in near)
    return ()


def _there(place: Place) -> str:
    why = (
        "left out by BBMASK, or by the recipe itself"
        if place.used
        else "a layer that this build does not take"
    )
    return f"layer {place.layer} has {place.name} ({why}): {place.file}"


def _absent_sources(text: str, tasks: list[FailedTask]) -> list[str]:
    """Return recipe and URL of each source that bitbake wanted to have over a network."""
    found = []
    for task in tasks:
        if task.task != "do_fetch":
            continue
        said = read_log(task.log) if task.log and task.log.is_file() else text
        urls = dict.fromkeys(_WANTED.findall(said))
        found += [f"{Path(task.recipe).name}: {url}" for url in urls]
    return found


def _servers_failed(tasks: list[FailedTask], causes: list[Cause | None], text: str) -> bool:
    """Whether nothing but fetches failed, each because somebody did not answer.

    A source that its servers say they do not have (404) is the recipe's matter.
    """
    names = [cause.name if cause else "" for cause in causes]
    if not tasks or offline() or not set(names) <= {"fetch", "host-unknown"}:
        return False
    logs = [read_log(task.log) if task.log and task.log.is_file() else _shown_log(task, text)
            for task in tasks]  # fmt: skip
    return all(map(is_passing, logs))


def _advice(text: str) -> str:
    """Return what to do about a download; bitbake says it outside of the task's log."""
    if "quick-packages.lock.json could not be fetched" in text:
        return (
            "Debian removes packages that it has superseded: refresh the lock with "
            "'yoctovirt quick-lock' and build again; "
        )
    return ""
