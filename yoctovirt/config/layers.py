"""Check out the pinned layers, from mirrors first, whole or not at all.

Each repository is fetched aside and renamed into place with the pinned commit
checked out, so that kas finds everything done and needs no network.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from yoctovirt.base.files import Lock, make_folder
from yoctovirt.base.passing import is_passing
from yoctovirt.base.process import CommandLog
from yoctovirt.base.screen import Screen
from yoctovirt.errors import InfrastructureError, UsageError
from yoctovirt.pins.git import Git, git_settings
from yoctovirt.pins.sources import (
    MIRRORS_VARIABLE,
    Pin,
    candidates,
    check_mirrors,
    is_local,
    mirror_list,
    offline,
    pins_of,
    why_unreadable,
)

__all__ = ["Checkout", "Pin", "candidates", "mirror_list", "pins_of"]

#: In a repository of ours: the commit that we have put there.
_OUR_REF = "refs/yoctovirt/pin"


class Checkout:
    """Makes the repositories of one release below *folder*."""

    def __init__(self, folder: Path, log: CommandLog, screen: Screen) -> None:
        self._folder = folder
        self._log = log
        self._screen = screen
        self._calls: Git | None = None
        #: Repositories of the last call whose commit is not on their branch.
        self.branchless: set[str] = set()

    def all(self, pins: Iterable[Pin], mirrors: list[str] | None = None) -> list[str]:
        """Make sure that every pin is checked out; return warnings.

        Raises InfrastructureError where a repository or commit is found nowhere: which,
        what was tried, what to set. Raises UsageError where work of the user's own would
        be lost.
        """
        self.branchless = set()
        make_folder(self._folder)
        mirrors = mirror_list() if mirrors is None else mirrors
        check_mirrors(mirrors)
        lock = Lock(self._folder / ".lock")
        if not lock.acquire():
            self._screen.note("another checkout is running here: waiting for it")
            lock.acquire(wait=True)
        try:
            with git_settings(self._log) as self._calls:
                for stale in self._folder.glob(".tmp-*"):
                    shutil.rmtree(stale, ignore_errors=True)
                warnings = self._each(list(pins), mirrors)
        finally:
            lock.release()
        return warnings

    def make(self, config: dict[str, Any]) -> None:
        """Check out every pin of the kas configuration *config*, and fit it to what was found.

        Warnings go to the screen. Raises what :meth:`all` raises.
        """
        for warning in self.all(pins_of(config)):
            self._screen.note(f"warning: {warning}")
        self.fit(config)

    def fit(self, config: dict[str, Any]) -> None:
        """Take the branch of each repository whose commit is not on it: kas would refuse that."""
        for name in self.branchless:
            config["repos"][name]["branch"] = None

    def planned(
        self, pins: Iterable[Pin], mirrors: list[str] | None = None
    ) -> dict[str, list[list[str]]]:
        """Return the git calls of :meth:`all` for each repository that it would fetch.

        Nothing is written. Of each repository the first source only (of folders the first
        that is there): whether a second one is asked is known when the first has failed.
        """
        self.branchless = set()
        mirrors = mirror_list() if mirrors is None else mirrors
        check_mirrors(mirrors)
        calls: dict[str, list[list[str]]] = {}
        with git_settings(self._log) as self._calls:
            for pin in pins:
                final = self._folder / pin.name
                if self._stands(final, pin):
                    self._branch_warning(final, pin)
                    continue
                if final.exists():
                    self._refuse_to_lose(final)
                source = str(final) if final.exists() else _first_there(pin.url, mirrors)
                work = self._folder / f".tmp-{pin.name}" / "git"
                ref = (
                    f"+refs/heads/{pin.branch}:refs/remotes/origin/{pin.branch}"
                    if pin.branch
                    else pin.commit
                )
                inside = ["git", "-C", str(work)]
                calls[pin.name] = [
                    ["git", "init", "-q", str(work)],
                    [*inside, "remote", "add", "origin", pin.url],
                    [*inside, "fetch", "-q", "--no-tags", "--update-shallow", source, ref],
                    [*inside, "checkout", "-q", "--detach", pin.commit],
                    ["mv", str(work), str(final)],
                ]
        return calls

    def _each(self, pins: list[Pin], mirrors: list[str]) -> list[str]:
        warnings = []
        missing = []
        for pin in pins:
            try:
                warnings += self._one(pin, mirrors)
            except InfrastructureError as error:
                # Without a network nothing comes by trying again: say all that is missing.
                if not offline():
                    raise
                missing.append(error.message)
        if missing:
            raise InfrastructureError(
                "offline, and not all is at hand:\n" + "\n".join(missing),
                f"fetch it where there is a network ('yoctovirt mirror sync --to DIR'), and name "
                f"that folder in {MIRRORS_VARIABLE}",
            )
        return warnings

    def _one(self, pin: Pin, mirrors: list[str]) -> list[str]:
        final = self._folder / pin.name
        if self._stands(final, pin):
            return [*self._changes_warning(final, pin), *self._branch_warning(final, pin)]
        sources = candidates(pin.url, mirrors)
        barred = [source for source in sources if offline() and not is_local(source)]
        sources = [source for source in sources if source not in barred]
        if final.exists():
            self._refuse_to_lose(final)
            # What was fetched for another pin may hold this one, too.
            sources.insert(0, str(final))
        work = Path(tempfile.mkdtemp(prefix=f".tmp-{pin.name}-", dir=self._folder))
        try:
            reasons = [f"  {source}: not asked (offline)" for source in barred]
            for source in sources:
                self._screen.status(f"{pin.name} from {source}")
                reason = self._fetch(work / "git", pin, source)
                if reason is None:
                    self._git(work / "git", "checkout", "-q", "--detach", pin.commit)
                    self._git(work / "git", "update-ref", _OUR_REF, pin.commit)
                    if final.exists():
                        final.rename(work / "old")
                    (work / "git").rename(final)
                    self._screen.note(f"{pin.name}: {pin.commit[:12]} from {source}")
                    return self._branch_warning(final, pin)
                if source != str(final):
                    reasons.append(f"  {source}: {reason}")
                shutil.rmtree(work / "git", ignore_errors=True)
            raise InfrastructureError(
                f"repository {pin.name} at {pin.commit} is found nowhere; tried:\n"
                + "\n".join(reasons),
                f"set {MIRRORS_VARIABLE} to a folder of bare repositories that has it "
                f"({pin.name}.git), or to a URL prefix",
                passing=any(map(is_passing, reasons)),
            )
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def exactly_at(self, pin: Pin) -> bool:
        """Whether the checkout is at the commit of *pin*, and not on what kas has patched."""
        final = self._folder / pin.name
        # It may be asked when all() is over, and the folder belong to the build user.
        with git_settings(self._log) as git:
            on_branch = git.output(final, "symbolic-ref", "--short", "HEAD")
            head = git.output(final, "rev-parse", "HEAD")
        return head == pin.commit and not on_branch.startswith("patched-")

    def _stands(self, final: Path, pin: Pin) -> bool:
        """Whether *final* stands at the pin, or where kas has put its patches on it."""
        if not (final / ".git").exists():
            return False
        if self._output(final, "rev-parse", "HEAD") == pin.commit:
            return True
        return self._output(final, "symbolic-ref", "--short", "HEAD") == f"patched-{pin.commit}"

    def _refuse_to_lose(self, final: Path) -> None:
        """Raise UsageError where *final* holds anything that did not come from a fetch of ours."""
        if not (final / ".git").exists():
            raise UsageError(f"{final} is in the way: it is no git repository", "move it away")
        changed = self._changes(final)
        if changed:
            raise UsageError(
                f"{final} is at another commit and has changes of yours: {', '.join(changed[:5])}",
                "commit them elsewhere, or remove the folder",
            )
        # What kas has put patches on is not the user's.
        patched = self._output(final, "symbolic-ref", "--short", "HEAD").startswith("patched-")
        heads = ["--exclude=patched-*", "--branches", *([] if patched else ["HEAD"])]
        own = self._output(
            final, "rev-list", "--max-count=5", "--abbrev-commit", *heads,
            "--not", "--remotes", f"--glob={_OUR_REF}*",
        )  # fmt: skip
        if own:
            raise UsageError(
                f"{final} is at another commit and has commits of yours: {', '.join(own.split())}",
                "push them elsewhere, or remove the folder",
            )

    def _changes(self, final: Path) -> list[str]:
        """Return the files that were changed or added; what Python compiled does not count."""
        lines = self._output(final, "status", "--porcelain", "--untracked-files=all").splitlines()
        names = [line.lstrip()[2:].strip() for line in lines]
        return [name for name in names if not name.endswith(".pyc")]

    def _changes_warning(self, final: Path, pin: Pin) -> list[str]:
        changed = self._changes(final)
        if not changed:
            return []
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        return [
            f"{pin.name}: {final} has changes of yours, which are built: "
            f"{', '.join(changed[:3])}{more}"
        ]

    def _fetch(self, work: Path, pin: Pin, source: str) -> str | None:
        """Fetch *pin* from *source* into *work*; return the reason where that fails."""
        unreadable = why_unreadable(source)
        if unreadable:
            return unreadable
        self._git(self._folder, "init", "-q", str(work))
        self._git(work, "remote", "add", "origin", pin.url)
        fetch = ("fetch", "-q", "--no-tags", "--update-shallow", source)
        reason = "it names no branch"
        if pin.branch:
            # In a checkout of ours, what kas calls its branches is older than what was fetched.
            ours = source == str(self._folder / pin.name)
            theirs = f"refs/{'remotes/origin' if ours else 'heads'}/{pin.branch}"
            ref = f"+{theirs}:refs/remotes/origin/{pin.branch}"
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
            self.branchless.add(pin.name)
            return [
                f"{pin.name}: commit {pin.commit[:12]} is not on branch {pin.branch} of where it "
                "came from; it is used without the branch"
            ]
        return []

    def _try(self, folder: Path, *arguments: str) -> str:
        """Run git; return '' where it succeeds, its last line of error where not."""
        return self._git_calls().attempt(folder, *arguments)

    def _git_calls(self) -> Git:
        if self._calls is None:
            raise RuntimeError("git is called outside of Checkout.all()")
        return self._calls

    def _git(self, folder: Path, *arguments: str) -> None:
        reason = self._try(folder, *arguments)
        if reason:
            hint = "free some space" if "No space left" in reason else ""
            raise InfrastructureError(f"git {arguments[0]} in {folder} failed: {reason}", hint)

    def _output(self, folder: Path, *arguments: str) -> str:
        return self._git_calls().output(folder, *arguments)


def _first_there(url: str, mirrors: list[str]) -> str:
    """Return the first source of *url*; folders that are not there are left out."""
    sources = candidates(url, mirrors)
    for source in sources:
        if not is_local(source) or Path(source.removeprefix("file://")).exists():
            return source
    return sources[0]
