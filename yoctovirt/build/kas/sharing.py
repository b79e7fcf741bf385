"""What two roles share: bitbake's own task signatures, compared.

``bitbake -S lockedsigs IMAGE`` writes the signature of each task that the image needs. A task
with the same signature in both roles is built once and then taken from sstate.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from yoctovirt.base.process import CommandLog
from yoctovirt.base.screen import Screen
from yoctovirt.build.kas.failures import explain
from yoctovirt.build.kas.resolve import Place, prepared, read_output
from yoctovirt.config.cells import Cell
from yoctovirt.config.roles import Role
from yoctovirt.config.workspace import Workspace
from yoctovirt.errors import BuildError

#: One task of a locked-sigs.inc: ``    recipe:task:hash \``.
_TASK = re.compile(r"^\s+(\S+):(\w+):([0-9a-f]{64}) \\$", re.MULTILINE)
#: In the output of bitbake-diffsigs: a difference that another task has caused.
_INHERITED = re.compile(
    r"^(Hash for (dependent )?task|Dependency on task|.* changed from [0-9a-f]{64})"
)
#: How many recipes are explained, and how many lines of each are kept.
_EXPLAINED, _LINES = 40, 4

#: (recipe, task) -> signature.
Signatures = dict[tuple[str, str], str]


@dataclass
class Sharing:
    """The tasks of a second image, compared with those of a first."""

    equal: int = 0
    changed: dict[str, list[str]] = field(default_factory=dict)  #: recipe -> tasks
    new: dict[str, list[str]] = field(default_factory=dict)  #: recipe -> tasks
    why: dict[str, list[str]] = field(default_factory=dict)  #: changed recipe -> reasons

    @property
    def total(self) -> int:
        """Tasks of the second image."""
        return self.equal + sum(map(len, (*self.changed.values(), *self.new.values())))

    def as_json(self) -> dict[str, Any]:
        """Return the comparison for programs."""
        return {
            "tasks": self.total, "equal": self.equal, "changed": self.changed, "new": self.new,
            "why": self.why,
        }  # fmt: skip


def read_signatures(path: Path) -> Signatures:
    """Return what stands in a locked-sigs.inc; BuildError where there is none or nothing in it."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BuildError(f"bitbake has written no {path.name} into {path.parent}") from None
    found = {(recipe, task): hash_ for recipe, task, hash_ in _TASK.findall(text)}
    if not found:
        raise BuildError(f"{path} names no task")
    return found


def compare(first: Signatures, second: Signatures) -> Sharing:
    """Return which tasks of *second* are those of *first*, and which are not."""
    result = Sharing()
    for (recipe, task), hash_ in sorted(second.items()):
        other = first.get((recipe, task))
        if other == hash_:
            result.equal += 1
        else:
            target = result.new if other is None else result.changed
            target.setdefault(recipe, []).append(task)
    return result


def signatures(
    role: Role,
    cell: Cell,
    workspace: Workspace,
    build_user: str | None,
    log: CommandLog,
    screen: Screen,
    *,
    record: Path,
) -> tuple[Signatures, Place]:
    """Return the signatures of all tasks of *cell*; the file is kept in *record*.

    Raises BuildError where the cell does not resolve.
    """
    output_log = record / f"{cell.key.replace('/', '-')}.log"
    with prepared(role, cell, workspace, build_user, log, screen, output_log) as place:
        status, output = place.bitbake(f"bitbake -S lockedsigs {place.images}")
        said = read_output(output, [place.layers, place.build_dir])
        if said.unresolved:
            raise BuildError(
                f"{cell} does not resolve: {said.unresolved[0]}", f"the output is {output_log}"
            )
        written = place.build_dir / "locked-sigs.inc"
        # `-S` runs no task, and ends with an error for it in some releases: the file counts.
        if status and not written.is_file():
            raise explain(output, status, output_log)
        found = read_signatures(written)
        (record / f"{cell.role}.locked-sigs.inc").write_bytes(written.read_bytes())
    return found, place


def explain_changes(sharing: Sharing, first: Signatures, second: Signatures, place: Place) -> None:
    """Fill in why each changed recipe changed, by bitbake-diffsigs.

    What changed only because a task before it did is said to have come through that.
    """
    tool = next(
        (path for name in ("poky/bitbake", "bitbake")
         if (path := place.layers / name / "bin" / "bitbake-diffsigs").is_file()),
        None,
    )  # fmt: skip
    for recipe, tasks in list(sharing.changed.items())[:_EXPLAINED]:
        reasons: list[str] = []
        for task in tasks:
            key = (recipe, task)
            files = [_find(place.build_dir, *key, hashes[key]) for hashes in (first, second)]
            if tool is None or None in files:
                continue
            said = subprocess.run(
                place.user.argv([str(tool), *map(str, files)]),
                stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            ).stdout  # fmt: skip
            reasons += [f"{task}: {line}" for line in _own_reasons(said)]
        through = "through what it depends on"
        sharing.why[recipe] = list(dict.fromkeys(reasons))[:_LINES] or [through]


def _own_reasons(said: str) -> list[str]:
    """Return the lines of bitbake-diffsigs that name a cause in the task itself."""
    lines = [line.rstrip() for line in said.splitlines()]
    return [
        line
        for line in lines
        if line and not line.startswith((" ", "\t")) and not _INHERITED.match(line)
        and not line.startswith("NOTE:") and "dependency" not in line.split(" changed")[0].lower()
    ]  # fmt: skip


def _find(build_dir: Path, recipe: str, task: str, hash_: str) -> Path | None:
    """Return the file with what went into a signature."""
    pattern = f"tmp*/stamps/*/{recipe}/*.{task}.sigdata.{hash_}"
    return next(build_dir.glob(pattern), None)
