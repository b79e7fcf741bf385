"""Check out the pinned layers, from mirrors first, whole or not at all.

Each repository is fetched aside and renamed into place with the pinned commit
checked out, so that kas finds everything done and needs no network.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yoctovirt.base.files import Lock, make_folder
from yoctovirt.base.process import CommandLog, Guarded, missing_tool
from yoctovirt.base.screen import Screen
from yoctovirt.errors import InfrastructureError, UsageError

MIRRORS_VARIABLE = "YOCTOVIRT_LAYER_MIRRORS"


@dataclass(frozen=True)
class Pin:
    """One repository of a configuration, at one commit."""

    name: str
    url: str
    commit: str
    branch: str | None


def pins_of(config: dict[str, Any]) -> list[Pin]:
    """Return the repositories of a flattened kas configuration.

    Raises UsageError for one that is not pinned to a full commit.
    """
    pins = []
    for name, entry in config.get("repos", {}).items():
        if not entry or not entry.get("url"):
            continue
        commit = str(entry.get("commit") or "")
        if len(commit) != 40 or any(c not in "0123456789abcdef" for c in commit):
            raise UsageError(
                f"repository {name} is not pinned: its commit is {commit or 'missing'!r}",
                "write the full 40 hexadecimal digits; a branch or a tag moves",
            )
        pins.append(Pin(name, entry["url"], commit, entry.get("branch")))
    return pins


def mirror_list(text: str | None = None) -> list[str]:
    """Return the entries of ``YOCTOVIRT_LAYER_MIRRORS``: folders or URL prefixes.

    They stand between white space, or between ``:`` where all are folders.
    """
    text = os.environ.get(MIRRORS_VARIABLE, "") if text is None else text
    words = text.split()
    if len(words) == 1 and "://" not in words[0]:
        words = [part for part in words[0].split(":") if part]
    return words


def candidates(url: str, mirrors: Iterable[str]) -> list[str]:
    """Return where *url* may be found: in each mirror in turn, the public URL last.

    Two repositories with one basename are kept apart: ``OWNER+NAME.git`` and
    ``OWNER/NAME.git`` are looked for before ``NAME.git``.
    """
    path = url.split("://", 1)[-1].split("/", 1)[-1].strip("/").removesuffix(".git")
    owner, _, base = path.rpartition("/")
    owner = owner.rpartition("/")[2]
    names = ([f"{owner}+{base}", f"{owner}/{base}"] if owner else []) + [base]
    found = []
    for mirror in mirrors:
        if "://" in mirror:
            found += [f"{mirror.rstrip('/')}/{name}.git" for name in names]
            continue
        for name in names:
            for folder in (Path(mirror) / f"{name}.git", Path(mirror) / name):
                if folder.is_dir():
                    found.append(str(folder.absolute()))
    return [*dict.fromkeys(found), url]


class Checkout:
    """Makes the repositories of one release below *folder*."""

    def __init__(self, folder: Path, log: CommandLog, screen: Screen) -> None:
        self._folder = folder
        self._log = log
        self._screen = screen
        self._config = ""

    def all(self, pins: Iterable[Pin], mirrors: list[str] | None = None) -> list[str]:
        """Make sure that every pin is checked out; return warnings.

        Raises InfrastructureError where a repository or commit is found nowhere: which,
        what was tried, what to set.
        """
        if shutil.which("git") is None:
            raise missing_tool("git")
        make_folder(self._folder)
        mirrors = mirror_list() if mirrors is None else mirrors
        absent = [entry for entry in mirrors if "://" not in entry and not Path(entry).is_dir()]
        if absent:
            raise UsageError(f"{MIRRORS_VARIABLE} names {absent[0]}, which is no folder")
        lock = Lock(self._folder / ".lock")
        if not lock.acquire():
            self._screen.note("another checkout is running here: waiting for it")
            lock.acquire(wait=True)
        warnings = []
        try:
            with tempfile.NamedTemporaryFile("w", prefix="yoctovirt-git-") as config:
                # A mirror may belong to another user; that it is ours to read was decided
                # by the one who named it.
                config.write("[safe]\n\tdirectory = *\n[advice]\n\tdetachedHead = false\n")
                config.flush()
                self._config = config.name
                for stale in self._folder.glob(".tmp-*"):
                    shutil.rmtree(stale, ignore_errors=True)
                for pin in pins:
                    warnings += self._one(pin, mirrors)
        finally:
            lock.release()
        return warnings

    def _one(self, pin: Pin, mirrors: list[str]) -> list[str]:
        final = self._folder / pin.name
        if (final / ".git").exists() and self._is_there(final, pin):
            return []
        work = Path(tempfile.mkdtemp(prefix=f".tmp-{pin.name}-", dir=self._folder))
        try:
            reasons = []
            for source in candidates(pin.url, mirrors):
                self._screen.status(f"{pin.name} from {source}")
                reason = self._fetch(work / "git", pin, source)
                if reason is None:
                    self._git(work / "git", "checkout", "-q", "--detach", pin.commit)
                    if final.exists():
                        final.rename(work / "old")
                    (work / "git").rename(final)
                    self._screen.note(f"{pin.name}: {pin.commit[:12]} from {source}")
                    return self._branch_warning(final, pin)
                reasons.append(f"  {source}: {reason}")
                shutil.rmtree(work / "git", ignore_errors=True)
            raise InfrastructureError(
                f"repository {pin.name} at {pin.commit} is found nowhere; tried:\n"
                + "\n".join(reasons),
                f"set {MIRRORS_VARIABLE} to a folder of bare repositories that has it "
                f"({pin.name}.git), or to a URL prefix",
            )
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _is_there(self, final: Path, pin: Pin) -> bool:
        """Whether *final* stands at the pin already, or can be moved there without a fetch."""
        if self._try(final, "cat-file", "-e", f"{pin.commit}^{{commit}}"):
            return False
        dirty = self._output(final, "status", "--porcelain", "--untracked-files=no")
        if self._output(final, "rev-parse", "HEAD") == pin.commit:
            return True
        if dirty:
            raise UsageError(
                f"{final} is at another commit and has changes of yours",
                "commit them elsewhere, or remove the folder",
            )
        return self._try(final, "checkout", "-q", "--detach", pin.commit) == ""

    def _fetch(self, work: Path, pin: Pin, source: str) -> str | None:
        """Fetch *pin* from *source* into *work*; return the reason where that fails."""
        self._git(self._folder, "init", "-q", str(work))
        self._git(work, "remote", "add", "origin", pin.url)
        fetch = ("fetch", "-q", "--no-tags", "--update-shallow", source)
        reason = "it names no branch"
        if pin.branch:
            ref = f"+refs/heads/{pin.branch}:refs/remotes/origin/{pin.branch}"
            reason = self._try(work, *fetch, ref)
        if not reason and not self._try(work, "cat-file", "-e", f"{pin.commit}^{{commit}}"):
            return None
        # The branch is gone or was moved: the commit itself may still be there.
        if self._try(work, *fetch, pin.commit):
            return reason or f"it does not have commit {pin.commit[:12]} (branch {pin.branch})"
        return None

    def _branch_warning(self, final: Path, pin: Pin) -> list[str]:
        if pin.branch and self._try(
            final, "merge-base", "--is-ancestor", pin.commit, f"origin/{pin.branch}"
        ):
            return [
                f"{pin.name}: commit {pin.commit[:12]} is not on branch {pin.branch} of where it "
                "came from; it is used without the branch"
            ]
        return []

    def _try(self, folder: Path, *arguments: str) -> str:
        """Run git; return '' where it succeeds, its last line of error where not."""
        argv = ["git", "-C", str(folder), *arguments]
        self._log.note(argv)
        env = {**os.environ, "GIT_CONFIG_GLOBAL": self._config, "GIT_TERMINAL_PROMPT": "0",
               "LC_ALL": "C"}  # fmt: skip
        with tempfile.TemporaryFile() as output:
            job = Guarded(argv, env=env, output=output)
            try:
                status = job.wait()
                job.close()
            except BaseException:
                job.stop()
                raise
            output.seek(0)
            text = output.read().decode(errors="replace").strip()
        if status == 0:
            return ""
        lines = [line for line in text.splitlines() if line.startswith(("fatal", "error"))]
        return (lines or text.splitlines() or [f"exit status {status}"])[0]

    def _git(self, folder: Path, *arguments: str) -> None:
        reason = self._try(folder, *arguments)
        if reason:
            hint = "free some space" if "No space left" in reason else ""
            raise InfrastructureError(f"git {arguments[0]} in {folder} failed: {reason}", hint)

    def _output(self, folder: Path, *arguments: str) -> str:
        env = {**os.environ, "GIT_CONFIG_GLOBAL": self._config}
        with suppress(subprocess.CalledProcessError):
            return subprocess.run(
                ["git", "-C", str(folder), *arguments],
                env=env, capture_output=True, text=True, check=True,
            ).stdout.strip()  # fmt: skip
        return ""


def unreachable_branches(warnings: Iterable[str]) -> set[str]:
    """Return the names of the repositories that the warnings of :meth:`Checkout.all` are about."""
    return {warning.partition(":")[0] for warning in warnings}
