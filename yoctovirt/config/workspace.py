"""The folder in which a user builds: ``yoctovirt.yml`` and what lies beside it.

``build-<role>/``, ``nodes/`` (running nodes), ``runs/`` (records), and with the
kas builder ``layers/``, ``downloads/``, ``sstate-cache/``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yoctovirt.base.files import make_folder, write_atomically
from yoctovirt.config.yamlfile import load_mapping
from yoctovirt.errors import UsageError

WORKSPACE_FILE = "yoctovirt.yml"
#: The user's boards and servers (:mod:`yoctovirt.boot.hosts`).
NODES_FILE = "nodes.yml"

TEMPLATE = """\
# This folder is a yoctovirt workspace; build directories, nodes and run records lie beside
# this file. Keys:
#   cache_dir: FOLDER    where images of the debian builder are kept
#                        (default: $YOCTOVIRT_CACHE_DIR, else ~/.cache/yoctovirt)
version: 1
"""


@dataclass(frozen=True)
class Workspace:
    """A workspace on disk."""

    path: Path
    cache_dir: Path

    @property
    def runs(self) -> Path:
        """Folder of the run records."""
        return self.path / "runs"

    @property
    def bundles(self) -> Path:
        """Folder of the bundles that were unpacked."""
        return self.path / "bundles"

    @property
    def nodes(self) -> Path:
        """Folder of the running nodes."""
        return self.path / "nodes"

    def build_dir(self, role: str) -> Path:
        """Build directory of a role."""
        return self.path / f"build-{role}"


def _default_cache() -> Path:
    named = os.environ.get("YOCTOVIRT_CACHE_DIR")
    if named:
        return Path(named).absolute()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base).absolute() / "yoctovirt"


def _open(path: Path) -> Workspace:
    values: dict[str, Any] = load_mapping(path / WORKSPACE_FILE)
    unknown = sorted(map(str, set(values) - {"version", "cache_dir"}))
    if unknown:
        raise UsageError(
            f"{path / WORKSPACE_FILE}: unknown key {', '.join(unknown)}",
            "known keys: version, cache_dir",
        )
    if values.get("version") != 1:
        raise UsageError(
            f"{path / WORKSPACE_FILE}: version is {values.get('version')!r}, expected 1",
            "use the yoctovirt that made this workspace, or write 'version: 1'",
        )
    cache = values.get("cache_dir")
    if cache is not None and not isinstance(cache, str):
        raise UsageError(f"{path / WORKSPACE_FILE}: cache_dir is not a folder name: {cache!r}")
    return Workspace(path, (path / cache).absolute() if cache else _default_cache())


def planned_workspace(named: Path | None = None) -> Workspace:
    """Return the workspace that ``find_workspace(named, create=True)`` would; none is made."""
    start, found = _search(named)
    return found or Workspace(start, _default_cache())


def find_workspace(named: Path | None = None, *, create: bool = False) -> Workspace:
    """Return the workspace *named*, or the nearest one upwards from the current folder.

    With *create* one is made where there is none; so it is where a user has described hosts, who
    need no build before they are used. Raises UsageError where there is none to be found, or its
    file is not as it should be.
    """
    start, found = _search(named)
    if found is not None:
        return found
    if not (create or (start / NODES_FILE).is_file()):
        raise UsageError(
            f"there is no workspace {'in' if _is_named(named) else 'at or above'} {start}",
            "go to one, name it with --workspace, or make one with 'yoctovirt build ROLE'",
        )
    make_folder(start)
    write_atomically(start / WORKSPACE_FILE, TEMPLATE)
    return _open(start)


def _is_named(named: Path | None) -> bool:
    return named is not None or bool(os.environ.get("YOCTOVIRT_WORKSPACE"))


def _search(named: Path | None) -> tuple[Path, Workspace | None]:
    """Return where the search begins (and a workspace would be made), and what it finds."""
    start = named or Path(os.environ.get("YOCTOVIRT_WORKSPACE") or Path.cwd())
    start = start.absolute()
    for folder in (start,) if _is_named(named) else (start, *start.parents):
        if (folder / WORKSPACE_FILE).is_file():
            return start, _open(folder)
    return start, None
