"""Where the pinned commits are at hand: mirrors and the checkouts of a workspace."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from yoctovirt.errors import InfrastructureError
from yoctovirt.pins.git import Git
from yoctovirt.pins.objects import ObjectStore, object_store
from yoctovirt.pins.sources import Pin, candidates, is_local

#: In a mirror that ``mirror sync`` made: a ref for each commit that it is for.
SYNCED = "refs/yoctovirt/pins/"
#: In such a mirror: a branch that was put at the pin without proof.
UNPROVEN = "refs/yoctovirt/unproven/"


@dataclass
class Found:
    """Where a pin was looked for: what has its commit, and why the others do not."""

    stores: list[ObjectStore] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)


class Places:
    """The repositories at hand, each opened once; to be used as a context manager.

    *mirrors* are those of YOCTOVIRT_LAYER_MIRRORS (of URLs only the local ones count),
    *layers* is the folder of a workspace that holds a folder of checkouts a release.
    """

    def __init__(self, git: Git, mirrors: list[str], layers: Path | None = None) -> None:
        self.git = git
        self._mirrors = mirrors
        self._layers = layers
        self._open: dict[Path, ObjectStore] = {}
        self._stack = ExitStack()
        self._more: dict[str, Path] = {}

    def __enter__(self) -> Places:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def add(self, pin: Pin, folder: Path) -> None:
        """Count *folder*, a clone of the repository of *pin*, among what is at hand."""
        self._more[pin.url] = folder

    def folders(self, pin: Pin, release: str, checkouts: bool = True) -> list[Path]:
        """Return the folders in which the repository of *pin* may be, best first.

        Without *checkouts* those of the workspace do not count.
        """
        found = [self._more[pin.url]] if pin.url in self._more else []
        found += [
            Path(source.removeprefix("file://"))
            for source in candidates(pin.url, self._mirrors)
            if is_local(source)
        ]
        if checkouts and self._layers is not None and (self._layers / release / pin.name).is_dir():
            found.append(self._layers / release / pin.name)
        return list(dict.fromkeys(found))

    def store(self, folder: Path) -> ObjectStore:
        """Return the objects of the repository in *folder*."""
        if folder not in self._open:
            self._open[folder] = self._stack.enter_context(object_store(self.git, folder))
        return self._open[folder]

    def find(self, pin: Pin, release: str) -> Found:
        """Return where the commit of *pin* is, with the reason for each place where it is not."""
        found = Found()
        for folder in self.folders(pin, release):
            if not folder.is_dir():
                found.reasons.append(f"{folder}: there is no such folder")
                continue
            if not os.access(folder, os.R_OK | os.X_OK):
                found.reasons.append(f"{folder}: you may not read it")
                continue
            try:
                store = self.store(folder)
                if store.has_commit(pin.commit):
                    found.stores.append(store)
                    continue
            except InfrastructureError:
                found.reasons.append(f"{folder}: it is no git repository that can be read")
                continue
            cut = " (it is shallow)" if store.shallow else ""
            found.reasons.append(f"{folder}: it does not have commit {pin.commit[:12]}{cut}")
        return found


def branch_tip(store: ObjectStore, branch: str) -> str | None:
    """Return the commit at which *branch* stands in a mirror, or stood when it was fetched."""
    for ref in (f"refs/remotes/origin/{branch}", f"refs/heads/{branch}"):
        # In a checkout what kas calls its branches is older than what was fetched.
        tip = store.resolve(ref)
        if tip:
            return tip
    return None


def on_branch(
    git: Git, stores: list[ObjectStore], commit: str, branch: str
) -> tuple[Literal["yes", "no", "unknown"], str]:
    """Return whether *commit* is on *branch*, as far as *stores* know, and why.

    A shallow mirror proves only what its short history holds.
    """
    verdict: Literal["no", "unknown"] = "unknown"
    why = "no mirror at hand has the branch"
    for store in stores:
        tip = branch_tip(store, branch)
        if tip is None:
            continue
        if store.resolve(f"{UNPROVEN}{branch}"):
            why = f"{store.folder} holds the pinned commits only"
            continue
        reached = tip == commit or not git.attempt(
            store.folder, "merge-base", "--is-ancestor", commit, tip
        )
        if reached:
            return "yes", f"in {store.folder}"
        if store.shallow:
            why = f"{store.folder} is shallow: its history ends before"
        else:
            verdict, why = "no", f"{store.folder} has all of the branch, which ends at {tip[:12]}"
    return verdict, why
