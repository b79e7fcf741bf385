"""Make a folder of bare repositories that holds exactly the pinned commits.

Each repository is made aside and renamed into place, so that an interrupted run leaves
the old one or the new one. The names are those that :func:`candidates` looks for first.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from yoctovirt.base.files import Lock, make_folder
from yoctovirt.base.screen import Screen
from yoctovirt.errors import InfrastructureError, UsageError
from yoctovirt.pins.git import Git
from yoctovirt.pins.places import SYNCED, UNPROVEN
from yoctovirt.pins.sources import (
    Pin,
    candidates,
    is_local,
    offline,
    owner_and_name,
    why_unreadable,
)

#: In the settings of a mirror of ours: what it was made to hold.
_MARK = "yoctovirt.pins"
#: Branches of a mirror for commits that have none, so that a plain clone gets them, too.
_PIN_BRANCH = "yoctovirt-pin-"


@dataclass
class Synced:
    """What was done for one mirror."""

    folder: Path
    pins: list[Pin]
    source: str  #: where the commits came from; '' where all was there
    warnings: list[str]


def mirror_name(url: str) -> str:
    """Return the name of the mirror of *url*; the owner keeps two of one basename apart."""
    owner, base = owner_and_name(url)
    return f"{owner}+{base}.git" if owner else f"{base}.git"


class MirrorSync:
    """Makes or refreshes mirrors in *folder*, from *sources* in their order, the URL last."""

    def __init__(self, folder: Path, sources: list[str], git: Git, screen: Screen) -> None:
        self._folder = folder
        self._sources = sources
        self._git = git
        self._screen = screen

    def all(self, pins: Iterable[Pin]) -> list[Synced]:
        """Make sure that the mirrors hold *pins*; return what was done.

        Raises UsageError where a folder in the way is not ours, InfrastructureError with
        all that is missing and what was tried. Mirrors that could be made are kept.
        """
        make_folder(self._folder)
        lock = Lock(self._folder / ".lock")
        if not lock.acquire():
            self._screen.note("another 'mirror sync' is running here: waiting for it")
            lock.acquire(wait=True)
        done = []
        missing = []
        try:
            self._tidy()
            for name, wanted in _by_mirror(pins).items():
                try:
                    done.append(self._one(self._folder / name, wanted))
                except InfrastructureError as error:
                    missing.append(error.message)
        finally:
            lock.release()
        if missing:
            raise InfrastructureError(
                f"{len(missing)} of {len(missing) + len(done)} mirrors could not be made:\n"
                + "\n".join(missing),
                "name a folder of mirrors or a URL prefix that has them with --from; those that "
                "were made are kept",
            )
        return done

    def _tidy(self) -> None:
        """Remove what an interrupted run has left; put back what it was about to replace."""
        for left in self._folder.glob(".tmp-*"):
            final = self._folder / left.name.removeprefix(".tmp-").rpartition("-")[0]
            if (left / "old").is_dir() and not final.exists():
                (left / "old").rename(final)
            shutil.rmtree(left, ignore_errors=True)

    def _one(self, final: Path, pins: list[Pin]) -> Synced:
        mark = " ".join(sorted({f"{pin.commit}={pin.branch or ''}" for pin in pins}))
        if final.exists():
            ours = self._git.output(final, "config", "--local", "--get", _MARK)
            if not ours:
                return self._foreign(final, pins)
            if ours == mark and not any(self._lacks(final, pin) for pin in pins):
                return Synced(final, pins, "", [])
        work = Path(tempfile.mkdtemp(prefix=f".tmp-{final.name}-", dir=self._folder))
        try:
            new = work / "new"
            self._must(self._folder, "init", "-q", "--bare", str(new))
            warnings: list[str] = []
            sources: list[str] = []
            for pin in pins:
                source, warning = self._fetch(new, pin, final)
                sources.append(source)
                warnings += warning
            self._head(new)
            self._must(new, "config", _MARK, mark)
            if final.exists():
                final.rename(work / "old")
            new.rename(final)
        finally:
            # Between the two renames a signal may come.
            if (work / "old").is_dir() and not final.exists():
                (work / "old").rename(final)
            shutil.rmtree(work, ignore_errors=True)
        source = ", ".join(dict.fromkeys(sources))
        self._screen.note(f"{final.name}: {len(pins)} commits from {source}")
        return Synced(final, pins, source, warnings)

    def _foreign(self, final: Path, pins: list[Pin]) -> Synced:
        """Leave alone what somebody else has made; it will do where it has the commits."""
        lacking = [pin.commit[:12] for pin in pins if self._lacks(final, pin)]
        if lacking:
            raise UsageError(
                f"{final} is in the way: 'mirror sync' did not make it, and it does not have "
                f"{', '.join(lacking)}",
                "name another folder with --to (and this one with --from), or move it away",
            )
        return Synced(final, pins, "", [f"{final.name} is not ours: left as it is, it will do"])

    def _lacks(self, folder: Path, pin: Pin) -> bool:
        return bool(self._git.attempt(folder, "cat-file", "-e", f"{pin.commit}^{{tree}}"))

    def _fetch(self, new: Path, pin: Pin, final: Path) -> tuple[str, list[str]]:
        """Fetch *pin* into *new*; return where it came from and warnings."""
        reasons = []
        sources = candidates(pin.url, self._sources)
        if final.exists():
            sources.insert(0, str(final))
        for source in sources:
            if offline() and not is_local(source):
                reasons.append(f"    {source}: not asked (offline)")
                continue
            self._screen.status(f"{pin.name} from {source}")
            reason = self._from(new, pin, source)
            if not reason:
                return source, self._branch(new, pin, source)
            if source != str(final):
                reasons.append(f"    {source}: {reason}")
        raise InfrastructureError(
            f"  {pin.name} at {pin.commit} ({mirror_name(pin.url)}); tried:\n" + "\n".join(reasons)
        )

    def _from(self, new: Path, pin: Pin, source: str) -> str:
        """Fetch the commit from *source*: alone where it gives single commits."""
        unreadable = why_unreadable(source)
        if unreadable:
            return unreadable
        target = f"{SYNCED}{pin.commit}"
        common = ("fetch", "-q", "--no-tags")
        reason = self._git.attempt(new, *common, "--depth=1", source, f"+{pin.commit}:{target}")
        if not reason or not pin.branch:
            return reason
        # An older server gives only branches: then with the history that they have.
        branch = f"refs/yoctovirt/fetched/{pin.branch}"
        second = self._git.attempt(
            new, *common, "--update-shallow", source, f"+refs/heads/{pin.branch}:{branch}"
        )
        if second:
            return second if "find remote ref" in second else reason
        kept = self._git.attempt(new, "update-ref", target, f"{pin.commit}^{{commit}}")
        self._git.attempt(new, "update-ref", "-d", branch)
        return f"it does not have commit {pin.commit[:12]}" if kept else ""

    def _branch(self, new: Path, pin: Pin, source: str) -> list[str]:
        """Give the commit a branch: its own where it is on it, else one of ours."""
        verdict = self._on_branch(pin, source) if pin.branch else "no"
        branch = f"refs/heads/{pin.branch}"
        taken = self._git.output(new, "rev-parse", "-q", "--verify", branch)
        if verdict == "no" or (taken and taken != pin.commit):
            self._must(new, "update-ref", f"refs/heads/{_PIN_BRANCH}{pin.commit[:12]}", pin.commit)
            if not pin.branch:
                return []
            why = (
                f"another pin is on the branch {pin.branch} of the same mirror"
                if verdict != "no"
                else f"it is not on branch {pin.branch} of {source}"
            )
            return [
                f"{pin.name}: commit {pin.commit[:12]}: {why}; kas needs the pin without the "
                "branch ('yoctovirt pins update' writes it so)"
            ]
        self._must(new, "update-ref", branch, pin.commit)
        if verdict == "unknown":
            self._must(new, "update-ref", f"{UNPROVEN}{pin.branch}", pin.commit)
        return []

    def _on_branch(self, pin: Pin, source: str) -> str:
        """Return whether *source* has the commit on its branch: yes, no, unknown."""
        branch = f"refs/heads/{pin.branch}"
        if not is_local(source):
            tip = self._git.output(self._folder, "ls-remote", source, branch).split("\t")[0]
            return "yes" if tip == pin.commit else "unknown"
        folder = Path(source.removeprefix("file://"))
        if self._git.output(folder, "rev-parse", "-q", "--verify", f"{UNPROVEN}{pin.branch}"):
            return "unknown"
        if not self._git.attempt(folder, "merge-base", "--is-ancestor", pin.commit, branch):
            return "yes"
        if not self._git.output(folder, "rev-parse", "-q", "--verify", branch):
            return "unknown"
        shallow = self._git.output(folder, "rev-parse", "--is-shallow-repository") == "true"
        return "unknown" if shallow else "no"

    def _head(self, new: Path) -> None:
        """Let HEAD name a branch that exists: a clone checks it out."""
        first = self._git.output(
            new, "for-each-ref", "--count=1", "--format=%(refname)", "refs/heads"
        )
        self._must(new, "symbolic-ref", "HEAD", first)

    def _must(self, folder: Path, *arguments: str) -> None:
        reason = self._git.attempt(folder, *arguments)
        if reason:
            raise InfrastructureError(f"  git {arguments[0]} in {folder} failed: {reason}")


def _by_mirror(pins: Iterable[Pin]) -> dict[str, list[Pin]]:
    """Return the pins of each mirror; what several releases share stands once."""
    found: dict[str, list[Pin]] = {}
    for pin in pins:
        others = found.setdefault(mirror_name(pin.url), [])
        if not any((pin.commit, pin.branch) == (one.commit, one.branch) for one in others):
            others.append(pin)
    return found
