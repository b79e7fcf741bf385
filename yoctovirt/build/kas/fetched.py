"""What bitbake's fetcher says of sources that it could not get: from where, and why not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from yoctovirt.build.kas.failures import (
    FailedTask,
    disk_failed,
    explain_tasks,
    failed_tasks,
)
from yoctovirt.errors import BuildError, InfrastructureError, YoctovirtError

#: Before what the fetcher runs; git's and wget's own words follow.
_ASKS = "Fetcher accessed the network with the command "
_URL = re.compile(r"[a-z][a-z0-9+]*://[^\s'\"]+")
_REASONS = (
    (re.compile(r"ERROR (\d{3}: [^\n]*?)\.?$", re.MULTILINE), "{}"),
    (re.compile(r"awaiting response\.\.\. ([45]\d\d[^\n]*)"), "{}"),
    (re.compile(r"unable to resolve host address|Could not resolve host"), "unknown host"),
    (re.compile(r"Connecting to .* failed: ([^\n.]*)"), "{}"),
    (re.compile(r"ERROR: (cannot verify [^\n]*certificate)"), "{}"),
    (re.compile(r"(Connection timed out|Read error[^\n]*)"), "{}"),
    (re.compile(r"^(?:fatal|error): (?:unable to access '[^']*': )?([^\n]*)", re.MULTILINE), "{}"),
)
#: Answers of a host that has the source no more; all others are of no host.
_ANSWERED = re.compile(
    r"4(?:04|10): |not found$|checksum|does not (?:exist|appear to be)|couldn't find"
)
_CHECKSUM = re.compile(r"has (\w+) checksum '(\w+)' when '(\w+)' was expected")
_SHOWN = 8


@dataclass(frozen=True)
class Attempt:
    """A place that was asked for a source, and why it did not come from there."""

    url: str
    reason: str

    def __str__(self) -> str:
        return f"{self.url}: {self.reason}"


@dataclass(frozen=True)
class Unfetched:
    """A source that no place could give."""

    recipe: str  #: file name of the recipe
    url: str  #: as SRC_URI has it
    attempts: tuple[Attempt, ...]
    log: Path | None

    @property
    def gone(self) -> bool:
        """Whether a place that should have it answered, and does not have it (as it was)."""
        own = _location(self.url)
        return any(
            _ANSWERED.search(one.reason)
            for one in self.attempts
            if _location(one.url) == own or "checksum" in one.reason
        )

    def lines(self) -> list[str]:
        """Return what a person is to read of it."""
        tried = [f"    {one}" for one in self.attempts[:_SHOWN]]
        if len(self.attempts) > _SHOWN:
            tried.append(f"    and {len(self.attempts) - _SHOWN} more")
        return [
            f"  {self.recipe}: {self.url}", *tried,
            *([f"    log: {self.log}"] if self.log else []),
        ]  # fmt: skip


def _location(url: str) -> str:
    """Return host and path of *url*, which git's URLs have without their protocol."""
    return url.partition(";")[0].partition("://")[2].rstrip("/")


def read_log(text: str) -> tuple[str, tuple[Attempt, ...]]:
    """Return the URL that a do_fetch has failed for, and what it has tried.

    The task ends at the first URL of its recipe that it cannot get.
    """
    # Before that are sources that were found.
    _, mark, last = text.rpartition("DEBUG: Trying PREMIRRORS")
    text = last if mark else text
    failed = re.findall(r"FetchError\('Unable to fetch URL from any source\.', '([^']+)'", text)
    barred = re.findall(r"NetworkAccess\(['\"]([^'\"]+)", text)
    url = (failed or barred or [""])[-1]
    attempts = []
    for part in text.split(_ASKS)[1:]:
        command, _, said = part.partition("\n")
        urls = _URL.findall(command)
        reason = _reason(said)
        if urls and reason:
            attempts.append(Attempt(urls[-1], reason))
    wrong = _CHECKSUM.search(text)
    if wrong:
        attempts.append(
            Attempt(url, f"checksum mismatch: {wrong[1]} is {wrong[2]}, expected {wrong[3]}")
        )
    if barred and not attempts:
        attempts.append(Attempt(url, "not asked (offline)"))
    return url, tuple(dict.fromkeys(attempts))


def _reason(said: str) -> str:
    for pattern, form in _REASONS:
        match = pattern.search(said)
        if match:
            return form.format(*match.groups())
    return ""


def unfetched(tasks: Sequence[FailedTask]) -> list[Unfetched]:
    """Return the sources that the failed do_fetch among *tasks* could not get."""
    found = []
    for task in tasks:
        if task.task != "do_fetch":
            continue
        text = task.log.read_text(errors="replace") if task.log and task.log.is_file() else ""
        found.append(Unfetched(Path(task.recipe).name, *read_log(text), task.log))
    return sorted(found, key=lambda one: one.recipe)


def fetch_error(output: str, recipes: int, build_log: Path) -> YoctovirtError | None:
    """Return the error for failed fetches in *output*; None where something else has failed.

    BuildError where a source is gone or is another one, InfrastructureError where no host
    that should have one could be asked: then nothing is known of the source.
    """
    tasks = failed_tasks(output)
    if not tasks or any(task.task != "do_fetch" for task in tasks):
        return None
    if any(disk_failed(one.cause) for one in explain_tasks(tasks, output)):
        return None  # no host is to blame
    missing = unfetched(tasks)
    lines = [f"{len(missing)} of {recipes} recipes could not be fetched; tried:"]
    for one in missing:
        lines += one.lines()
    message = "\n".join(lines)
    if all(not one.gone for one in missing):
        return InfrastructureError(
            message,
            "can this host reach these hosts, through its proxy (proxies in site.yml)? A mirror "
            "that it can reach: source_mirrors in site.yml",
        )
    if "quick-packages.lock.json" in output:
        hint = "Debian removes packages that it has superseded: 'yoctovirt quick-lock'"
    else:
        hint = "name a mirror that has it (source_mirrors in site.yml), or put the file into DL_DIR"
    return BuildError(message, f"{hint}; the whole output is {build_log}")
