"""Cells of the matrix role x release x machine: their kas files, and a fingerprint of those.

The fingerprint changes with all that can change how bitbake resolves a cell: the pinned
commits, the content (not the comments) of the kas files, and our own layers that it takes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from yoctovirt.base.files import sha256_file
from yoctovirt.base.suggest import did_you_mean
from yoctovirt.config.resources import data_root
from yoctovirt.config.roles import Role
from yoctovirt.config.yamlfile import load_mapping
from yoctovirt.errors import UsageError

#: Name of the repository that holds our own layers, in the role files.
OWN_REPO = "yoctovirt"
#: In a layer of ours: what bitbake does not read.
_NO_CONTENT = ("__pycache__", ".git")
#: What bitbake parses in a folder of recipes.
_METADATA = (".bb", ".bbappend", ".bbclass", ".inc")


@dataclass(frozen=True, order=True)
class Cell:
    """A role on a release and a machine, with optional features."""

    role: str
    release: str
    machine: str
    features: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Name of the cell in results: ``docker-host+podman/scarthgap/qemux86-64``."""
        return "/".join(("+".join((self.role, *self.features)), self.release, self.machine))

    def __str__(self) -> str:
        features = f" with {', '.join(self.features)}" if self.features else ""
        return f"{self.role}{features} on {self.release} for {self.machine}"


def machines() -> dict[str, Path]:
    """Return the files of the machines that our roles are made for, by name."""
    return {path.stem: path for path in sorted((data_root() / "kas" / "machine").glob("*.yml"))}


def choose_machine(role: Role, named: str | None, own: bool = False) -> str:
    """Return the machine to build *role* for: *named*, else the role's own.

    Raises UsageError for an unknown one, with near matches; where the user brings kas
    files (*own*), they may bring a layer with machines of its own.
    """
    machine = named or role.machine
    known = {*machines(), role.machine}
    if machine in known or own:
        return machine
    raise UsageError(
        f"there is no machine {machine!r}",
        f"{did_you_mean(machine, known)} (a machine of a layer of yours: bring the layer --with "
        "a kas file)",
    )


def kas_files(
    role: Role, release: str, machine: str | None, features: Iterable[str] = ()
) -> list[str]:
    """Return the kas files that make a cell, in the order in which kas merges them.

    They are names below :func:`data_root`; see :func:`find_kas_file`. A release that
    differs has ``<role>.<release>.yml``: a small file merged over the role, never a second
    release merged over a first.
    """
    names = [f"layers-manifest/{release}.yml", f"kas/inc/{role.name}.yml",
             f"kas/inc/{role.name}.{release}.yml"]  # fmt: skip
    if machine:
        names.append(f"kas/machine/{machine}.yml")
    for feature in features:
        names += [f"kas/feature/{feature}.yml", f"kas/feature/{feature}.{release}.yml"]
    always = names[:2]
    return always + [name for name in names[2:] if find_kas_file(role, name).is_file()]


def find_kas_file(role: Role, name: str) -> Path:
    """Return the file *name* of kas/ or layers-manifest/, the workspace's own one first."""
    own = role.source.parent / Path(name).name
    if name.startswith("kas/inc/") and own.is_file():
        return own
    return data_root() / name


def merged(role: Role, names: Sequence[str]) -> dict[str, Any]:
    """Return the content of kas files with all that they include, later ones winning.

    Only to look at: what is built is merged by kas itself.
    """
    result: dict[str, Any] = {}
    for name in names:
        path = find_kas_file(role, name)
        content = _load(path, path.stat().st_mtime_ns) if path.is_file() else {}
        header = content.get("header") or {}
        includes = [entry for entry in header.get("includes", ()) if isinstance(entry, str)]
        _merge(result, merged(role, includes))
        _merge(result, {key: value for key, value in content.items() if key != "header"})
    return result


@lru_cache(maxsize=256)
def _load(path: Path, _changed: int) -> dict[str, Any]:
    return load_mapping(path)


def _merge(into: dict[str, Any], other: dict[str, Any]) -> None:
    for key, value in other.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = json.loads(json.dumps(value, default=str))


def fingerprint(role: Role, cell: Cell) -> str:
    """Return a SHA-256, in hexadecimal, over all that decides how *cell* resolves."""
    content = merged(role, kas_files(role, cell.release, cell.machine, cell.features))
    content["machine"] = cell.machine
    repos: dict[str, Any] = {}
    for name, entry in (content.pop("repos", None) or {}).items():
        if not isinstance(entry, dict):
            continue
        layers = {
            layer: values
            for layer, values in (entry.get("layers") or {}).items()
            if values != "disabled"
        }
        if name == OWN_REPO:
            repos[name] = {layer: [values, _layer_hash(layer)] for layer, values in layers.items()}
        elif entry.get("url") or layers:
            # Where a commit comes from, and on which branch it is, changes nothing in it.
            repos[name] = {"commit": entry.get("commit"), "layers": layers}
    content["repos"] = repos
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def missing_repos(role: Role, cell: Cell) -> list[str]:
    """Return the repositories whose layers *cell* takes and its release does not have."""
    content = merged(role, kas_files(role, cell.release, cell.machine, cell.features))
    absent = []
    for name, entry in (content.get("repos") or {}).items():
        if name == OWN_REPO or not isinstance(entry, dict) or "url" in entry or "path" in entry:
            continue
        if any(values != "disabled" for values in (entry.get("layers") or {}).values()):
            absent.append(name)
    return absent


@lru_cache(maxsize=32)
def _layer_hash(layer: str) -> str:
    """Return a SHA-256 over a layer of ours: the names of its files, the content of metadata."""
    folder = data_root() / layer
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix != ".md" and not set(_NO_CONTENT) & set(path.parts):
            name = path.relative_to(folder)
            content = sha256_file(path) if _is_metadata(name) else ""
            digest.update(f"{name} {content}\n".encode())
    return digest.hexdigest()


def _is_metadata(name: Path) -> bool:
    """Return whether bitbake reads *name*, of a layer, before it runs a task.

    What lies beside a recipe is fetched by it (SRC_URI): it must be there, and what stands in it
    decides on nothing but what the recipe's own tasks make of it.
    """
    in_recipes = any(part.startswith("recipes-") for part in name.parts)
    return not in_recipes or name.suffix in _METADATA
