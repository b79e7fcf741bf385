"""Pinned repositories, and where each may be had: mirrors first, the public URL last."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yoctovirt.errors import UsageError

MIRRORS_VARIABLE = "YOCTOVIRT_LAYER_MIRRORS"
#: Set (to anything but 0) where nothing may be fetched over a network: ``--offline``.
OFFLINE_VARIABLE = "YOCTOVIRT_OFFLINE"


@dataclass(frozen=True)
class Pin:
    """One repository of a configuration, at one commit."""

    name: str
    url: str
    commit: str
    branch: str | None


def _anywhere(_repo: str, _key: str) -> str:
    return ""


def pins_of(config: dict[str, Any], locate: Callable[[str, str], str] = _anywhere) -> list[Pin]:
    """Return the repositories of a flattened kas configuration, or of a release.

    *locate* gives, for a repository and one of its keys, where it stands (``file:line: ``).
    Raises UsageError for one that is not pinned to a full commit, and for two that would
    be checked out into one folder.
    """
    pins = []
    folders: dict[str, str] = {}
    for name, entry in (config.get("repos") or {}).items():
        if not isinstance(entry, dict) or not entry.get("url"):
            continue
        folder = os.path.normpath(str(entry.get("path") or name))
        if folder in folders:
            raise UsageError(
                f"{locate(name, 'path')}repositories {folders[folder]} and {name} have one "
                f"path: {folder}",
                "give each a path of its own, or remove one of them",
            )
        folders[folder] = name
        pins.append(_pin(name, entry, locate(name, "commit")))
    return pins


def _pin(name: str, entry: dict[str, Any], where: str) -> Pin:
    commit = entry.get("commit")
    branch = entry.get("branch")
    if isinstance(commit, str) and re.fullmatch(r"[0-9a-f]{40}", commit):
        return Pin(name, str(entry["url"]), commit, str(branch) if branch is not None else None)
    hint = "write the full 40 hexadecimal digits; a branch or a tag moves"
    if not commit and branch:
        hint = f"name the commit of branch {branch} that is meant: the full 40 hexadecimal digits"
    elif isinstance(commit, (int, float)):
        hint = "YAML reads it as a number: put the 40 hexadecimal digits between quotes"
    elif commit and re.fullmatch(r"[0-9a-f]{4,39}", str(commit)):
        hint = "it is cut short: write the full 40 hexadecimal digits ('git rev-parse' gives them)"
    elif commit and not re.fullmatch(r"[0-9A-Fa-f]*", str(commit)):
        hint = f"{commit} is the name of a branch or a tag, which moves: {hint.split(';')[0]}"
    what = f"its commit is {str(commit)!r}" if commit else "it has no commit"
    raise UsageError(f"{where}repository {name} is not pinned: {what}", hint)


def offline() -> bool:
    """Whether nothing may be fetched over a network (``--offline``, ``YOCTOVIRT_OFFLINE``)."""
    return os.environ.get(OFFLINE_VARIABLE, "") not in ("", "0")


def is_local(source: str) -> bool:
    """Whether *source* is on this machine: a folder, or a ``file://`` URL."""
    if source.startswith("file://"):
        return True
    return "://" not in source and not re.match(r"[^/]+:", source)


def why_unreadable(source: str) -> str:
    """Return why the folder *source* may not be read, '' where it may, and for a URL.

    git calls such a folder no repository.
    """
    folder = Path(source.removeprefix("file://"))
    if not is_local(source) or not folder.is_dir() or os.access(folder, os.R_OK | os.X_OK):
        return ""
    try:
        owner = folder.owner()
    except KeyError:
        owner = f"the user {folder.stat().st_uid}"
    return f"it belongs to {owner}, and you may not read it (chmod -R a+rX by its owner)"


def mirror_list(text: str | None = None) -> list[str]:
    """Return the entries of ``YOCTOVIRT_LAYER_MIRRORS``: folders or URL prefixes.

    They stand between white space, or between ``:`` where all are folders.
    """
    text = os.environ.get(MIRRORS_VARIABLE, "") if text is None else text
    words = text.split()
    if len(words) == 1 and "://" not in words[0]:
        words = [part for part in words[0].split(":") if part]
    return words


def check_mirrors(mirrors: Iterable[str], named_by: str = MIRRORS_VARIABLE) -> None:
    """Raise UsageError where one of *mirrors* is neither a URL nor a folder that can be read."""
    for entry in mirrors:
        if "://" in entry:
            continue
        if not Path(entry).is_dir():
            raise UsageError(
                f"{named_by} names {entry}, which is no folder",
                "name folders of bare repositories, or prefixes of URLs",
            )
        if not os.access(entry, os.R_OK | os.X_OK):
            raise UsageError(
                f"{named_by} names {entry}, which you may not read",
                "let its owner give you the right to (chmod -R a+rX), or use another one",
            )


def owner_and_name(url: str) -> tuple[str, str]:
    """Return the last two parts of the path of *url* without ``.git``; the owner may be ''."""
    if "://" in url or not re.match(r"[^/]+:", url):
        path = url.split("://", 1)[-1].split("/", 1)[-1]
    else:
        path = url.partition(":")[2]  # user@host:path
    owner, _, base = path.strip("/").removesuffix(".git").rpartition("/")
    return owner.rpartition("/")[2], base


def candidates(url: str, mirrors: Iterable[str]) -> list[str]:
    """Return where *url* may be found: in each mirror in turn, the public URL last.

    Two repositories with one basename are kept apart: ``OWNER+NAME.git`` and
    ``OWNER/NAME.git`` are looked for before ``NAME.git``.
    """
    owner, base = owner_and_name(url)
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
