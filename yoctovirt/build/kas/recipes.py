"""Recipes by their files: which layer one belongs to, and which have a name like another."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_COLLECTION = re.compile(r'^BBFILE_COLLECTIONS\s*\+?=\s*"\s*(\S+?)\s*"', re.MULTILINE)
_PRUNED = {".git", "scripts", "documentation", "files", "lib", "node_modules"}


@dataclass(frozen=True)
class Place:
    """A recipe in a layer."""

    name: str
    file: Path
    layer: str
    used: bool  #: whether the layer is among those of the build


def layer_of(recipe: Path) -> tuple[str, Path] | None:
    """Return name (``BBFILE_COLLECTIONS``) and folder of the layer that *recipe* lies in."""
    for folder in recipe.parents:
        conf = folder / "conf" / "layer.conf"
        if conf.is_file():
            named = _COLLECTION.search(conf.read_text(errors="replace"))
            return (named[1] if named else folder.name), folder
    return None


def used_layers(build_dir: Path) -> list[Path]:
    """Return the layers in ``conf/bblayers.conf`` of a build directory."""
    try:
        text = (build_dir / "conf" / "bblayers.conf").read_text(errors="replace")
    except OSError:
        return []
    words = re.findall(r"(?:\$\{TOPDIR\}|/)[^\s\"\\]*", text)
    paths = [os.path.normpath(word.replace("${TOPDIR}", str(build_dir))) for word in words]
    return [Path(path) for path in paths if Path(path, "conf", "layer.conf").is_file()]


def _recipe_files(root: Path) -> Iterator[Path]:
    for folder, names, files in os.walk(root):
        names[:] = [name for name in names if name not in _PRUNED]
        yield from (Path(folder, name) for name in files if name.endswith(".bb"))


def look_up(name: str, layers: Path, build_dir: Path) -> tuple[list[Place], list[Place]]:
    """Return the recipes *name*, and those with names near to it.

    *layers* is the folder of the checkouts, in which there are layers that the build does
    not take. A name is read from the file: what a recipe PROVIDES besides is not seen.
    """
    used = used_layers(build_dir)
    found: dict[str, list[Path]] = {}
    for root in dict.fromkeys([layers, *used]):
        for path in _recipe_files(root):
            found.setdefault(path.stem.partition("_")[0], []).append(path)
    wanted = re.sub(r"-(?:dev|dbg|doc|native|staticdev|locale)$", "", name)
    near = [other for other in difflib.get_close_matches(wanted, found, n=4, cutoff=0.75)
            if other != wanted]  # fmt: skip

    def places(names: list[str]) -> list[Place]:
        files = dict.fromkeys(path for one in names for path in found.get(one, ()))
        return [_place(path, used) for path in files]

    return places([wanted]), places(near)


def _place(path: Path, used: list[Path]) -> Place:
    name, folder = layer_of(path) or ("", path.parent)
    return Place(path.stem.partition("_")[0], path, name, folder in used)
