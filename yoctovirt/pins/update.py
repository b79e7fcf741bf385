"""Move a pin along its branch, and write it into the release's file without touching the rest."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from yoctovirt.base.yamlfile import key_lines
from yoctovirt.errors import InfrastructureError, UsageError
from yoctovirt.pins.git import Git
from yoctovirt.pins.objects import ObjectStore
from yoctovirt.pins.places import SYNCED, Places, branch_tip
from yoctovirt.pins.release import read_pins
from yoctovirt.pins.sources import Pin, candidates, is_local, offline

_COMMIT = re.compile(r"""^(\s*commit:\s*)(["']?)[0-9a-f]{40}\2""")
_BRANCH = re.compile(r"^(\s*)branch:")
_WITHOUT_BRANCH = """\
{0}# WARNING: without a branch. The commit below is not on branch {1} of the repository,
{0}# and kas refuses a commit that its branch does not contain. Keep a mirror that has it.
"""


@dataclass(frozen=True)
class Move:
    """A pin, where it goes, and what lies between."""

    old: Pin
    new: Pin
    source: str  #: where the history was read
    added: tuple[str, ...]  #: commits that it brings, newest first: id, date, subject
    removed: tuple[str, ...]  #: commits that it takes away

    @property
    def stays(self) -> bool:
        """Whether nothing changes."""
        return self.old == self.new


class Updater:
    """Finds out where pins can go. Clones for a history are made below *work*."""

    def __init__(self, git: Git, places: Places, mirrors: Sequence[str], work: Path) -> None:
        self._git = git
        self._places = places
        self._mirrors = list(mirrors)
        self._work = work

    def move(self, release: str, pin: Pin, to: str | None) -> Move:
        """Return the move of *pin* to the commit *to*, or to where its branch stands.

        Raises UsageError where *to* is no commit of the repository, InfrastructureError
        where no source has the history that it takes, with the reason of each.
        """
        if pin.branch is None and to is None:
            raise UsageError(
                f"{pin.name} is pinned without a branch: there is nothing to follow",
                "name the commit with --to",
            )
        reasons = []
        # Where the branch stands now a checkout does not know: it was fetched for its pin.
        for folder in self._places.folders(pin, release, checkouts=to is not None):
            try:
                found = self._look(self._places.store(folder), pin, to, str(folder))
            except InfrastructureError:
                found = f"{folder}: it is no git repository that can be read"
            if isinstance(found, Move):
                return found
            reasons.append(found)
        for source in candidates(pin.url, self._mirrors):
            if is_local(source) and source != pin.url:
                continue
            if offline() and not is_local(source):
                reasons.append(f"{source}: not asked (offline)")
                continue
            clone = self._work / pin.name
            branch = ("--branch", pin.branch) if pin.branch else ()
            reason = self._git.attempt(
                self._work, "clone", "-q", "--bare", "--no-tags", "--filter=blob:none", *branch,
                source, str(clone),
            )  # fmt: skip
            if reason:
                reasons.append(f"{source}: {reason}")
                continue
            self._places.add(pin, clone)
            found = self._look(self._places.store(clone), pin, to, source)
            if isinstance(found, Move):
                return found
            reasons.append(found)
        tried = "".join(f"\n  {reason}" for reason in reasons)
        wanted = f"to {to}" if to else f"along branch {pin.branch}"
        raise InfrastructureError(
            f"{pin.name} cannot be moved {wanted}: no source has the history; tried:{tried}",
            "name a mirror with the whole history in YOCTOVIRT_LAYER_MIRRORS ('git clone --bare "
            f"{pin.url}'), or let the public URL be asked",
        )

    def _look(self, store: ObjectStore, pin: Pin, to: str | None, source: str) -> Move | str:
        """Return the move as *store* knows it, or why it cannot tell."""
        short = f"{source}: it is shallow, and its history does not reach"
        tip = branch_tip(store, pin.branch) if pin.branch else None
        if pin.branch and tip is None:
            return f"{source}: it has no branch {pin.branch}"
        if to is None and store.resolve(f"{SYNCED}{pin.commit}"):
            return f"{source}: it holds the pinned commits only (mirror sync made it)"
        target = tip if to is None else store.resolve(to)
        if target is None:
            return f"{short} {to}" if store.shallow else f"{source}: it does not have {to}"
        new = replace(pin, commit=target)
        if not store.has_commit(pin.commit):
            return (
                f"{short} {pin.commit[:12]}"
                if store.shallow
                else (f"{source}: it does not have {pin.commit[:12]}, which is pinned now")
            )
        if tip is not None and not self._ancestor(store, target, tip):
            if store.shallow:
                return f"{short} from {target[:12]} to branch {pin.branch}"
            new = replace(new, branch=None)
        related = self._ancestor(store, pin.commit, target) or self._ancestor(
            store, target, pin.commit
        )
        if not related and store.shallow:
            return f"{short} from {pin.commit[:12]} to {target[:12]}"
        return Move(
            pin, new, source,
            self._commits(store, pin.commit, target), self._commits(store, target, pin.commit),
        )  # fmt: skip

    def _ancestor(self, store: ObjectStore, old: str, new: str) -> bool:
        return old == new or not self._git.attempt(
            store.folder, "merge-base", "--is-ancestor", old, new
        )

    def _commits(self, store: ObjectStore, old: str, new: str) -> tuple[str, ...]:
        """Return the commits that *new* has and *old* has not, newest first."""
        arguments = ("log", "--format=%h %cs %s", f"{old}..{new}")
        return tuple(self._git.output(store.folder, *arguments).splitlines())


def edited(path: Path, moves: Sequence[Move]) -> str:
    """Return the text of the release's file *path* with the new pins of *moves*.

    Only the lines of those commits change (and of a branch that has to go), comments and
    order stay. Raises UsageError where a pin does not stand in a line of its own.
    """
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines(keepends=True)
    places = key_lines(path, "repos")
    for move in moves:
        name = move.old.name
        at = places.get((name, "commit"), 0) - 1
        line, count = _COMMIT.subn(rf"\g<1>\g<2>{move.new.commit}\g<2>", lines[at])
        if at < 0 or not count:
            raise _by_hand(path, name)
        lines[at] = line
        if move.old.branch is not None and move.new.branch is None:
            at = places[name, "branch"] - 1
            indent = _BRANCH.match(lines[at])
            if indent is None:
                raise _by_hand(path, name)
            lines[at] = _WITHOUT_BRANCH.format(indent[1], move.old.branch)
    text = "".join(lines)
    with tempfile.TemporaryDirectory(prefix="yoctovirt-pins-") as folder:
        copy = Path(folder) / path.name
        copy.write_text(text, encoding="utf-8")
        wanted = {move.new for move in moves}
        if not wanted <= set(read_pins(copy)):
            raise _by_hand(path, ", ".join(move.old.name for move in moves))
    return text


def _by_hand(path: Path, name: str) -> UsageError:
    return UsageError(
        f"{path}: the pin of {name} is not written as lines 'branch: NAME' and 'commit: ID'",
        "write it so, or change it by hand",
    )
