"""What ``pins resolve`` has found out about the cells of the matrix, and what it is worth now.

A result counts only while the fingerprint of its cell is the one that it was found with:
after any change of pins, kas files or our layers the cell is ``stale``.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from yoctovirt.base.files import Lock, make_folder, write_atomically
from yoctovirt.config.cells import Cell, fingerprint
from yoctovirt.config.resources import data_root
from yoctovirt.config.roles import Role
from yoctovirt.errors import UsageError

#: The file of results, in ``layers-manifest/`` (shipped) and in a workspace (the user's own).
RESULTS = "resolved.json"
VERSION = 1

Kind = Literal["ok", "fails", "stale", "not checked"]


@dataclass(frozen=True)
class State:
    """What is known of a cell: *entry* is the stored result behind it, where there is one."""

    kind: Kind
    reason: str = ""
    entry: dict[str, Any] | None = None


def shipped_results() -> Path:
    """Return the file of results that travels with the package."""
    return data_root() / "layers-manifest" / RESULTS


def results_file(role: Role, workspace: Path) -> Path:
    """Return where a new result of *role* is stored.

    In a clone of yoctovirt that is the shipped file, so that it can be committed. For a
    role of the workspace, and where yoctovirt is installed, it is the workspace's.
    """
    root = data_root()
    ours = role.source.is_relative_to(root)
    if ours and (root / ".git").exists() and os.access(root / "layers-manifest", os.W_OK):
        return shipped_results()
    return workspace / RESULTS


def load_results(path: Path) -> dict[str, dict[str, Any]]:
    """Return the stored results of *path* by the key of their cell; none where it is not there.

    Raises UsageError where the file is not as ``pins resolve`` writes it.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["version"] != VERSION:
            raise UsageError(
                f"{path}: version is {data['version']!r}, expected {VERSION}",
                "remove the file; 'yoctovirt pins resolve --all' writes it again",
            )
        cells = data["cells"]
        for entry in cells.values():
            entry["fingerprint"], entry["verdict"], entry["date"]
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{path} is not a file of results of 'pins resolve': {error}",
            "remove the file; 'yoctovirt pins resolve --all' writes it again",
        ) from error
    return dict(cells)


def store_result(path: Path, cell: Cell, entry: dict[str, Any]) -> None:
    """Put the result of *cell* into the file *path*, beside those of other cells."""
    make_folder(path.parent)
    lock = Lock(path.with_name(f".{path.name}.lock"))
    lock.acquire(wait=True)
    try:
        cells = {**load_results(path), cell.key: entry}
        data = {"version": VERSION, "cells": dict(sorted(cells.items()))}
        write_atomically(path, json.dumps(data, indent=1) + "\n")
    finally:
        lock.release()


class Results:
    """The shipped results, and those of a workspace, which are newer or of roles of its own."""

    def __init__(self, workspace: Path | None = None) -> None:
        self._files = [load_results(shipped_results())]
        if workspace is not None:
            self._files.append(load_results(workspace / RESULTS))

    def state(self, role: Role, cell: Cell) -> State:
        """Return what is known of *cell*; a result of other pins or files is ``stale``."""
        entries = [file[cell.key] for file in self._files if cell.key in file]
        if not entries:
            return State("not checked")
        current = fingerprint(role, cell)
        fitting = [entry for entry in entries if entry["fingerprint"] == current]
        newest = max(fitting or entries, key=lambda entry: str(entry["date"]))
        if not fitting:
            found = "resolved" if newest["verdict"] == "ok" else "did not resolve"
            return State(
                "stale",
                f"it {found} on {newest['date'][:10]}, but its pins, role files or layers "
                "have changed since",
                newest,
            )
        if newest["verdict"] == "ok":
            return State("ok", "", newest)
        return State("fails", str(newest.get("reason", "")), newest)

    def featured(self, role: Role) -> list[Cell]:
        """Return the cells of *role* with optional features for which there is a result."""
        found = set()
        for key in (key for file in self._files for key in file):
            names, release, machine = key.split("/")
            name, *features = names.split("+")
            if name == role.name and features:
                found.add(Cell(name, release, machine, tuple(features)))
        return sorted(found)

    def require(self, role: Role, cell: Cell, cells: list[Cell]) -> None:
        """Raise UsageError where *cell* is known not to resolve, with the reason.

        *cells* are the other cells of the role: those that hold are named in the hint.
        """
        state = self.state(role, cell)
        if state.kind != "fails":
            return
        good = [other for other in cells if self.state(role, other).kind == "ok"]
        where = ", ".join(f"--release {c.release} --machine {c.machine}" for c in good)
        raise UsageError(
            f"{cell} does not resolve: {state.reason}",
            (f"it resolves with {where}; " if where else "")
            + f"after a change: yoctovirt pins resolve --role {cell.role} "
            f"--release {cell.release} --machine {cell.machine}",
        )
