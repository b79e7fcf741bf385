"""The lock of the role ``quick``: which Debian packages, by version, URL and SHA-256.

The names in quick-packages.yml are resolved by apt itself. A URL in the lock begins
with a bitbake variable, so that no host name of an archive is written down.
"""

from __future__ import annotations

import json
import os
import re
import runpy
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from yoctovirt.errors import InfrastructureError, UsageError
from yoctovirt.pins.privateapt import Mirrors, PrivateApt, Stanza

FORMAT = 1
MAIN, SECURITY = "YV_DEBIAN_MIRROR", "YV_DEBIAN_SECURITY_MIRROR"


@dataclass(frozen=True)
class Locked:
    """One Debian package in the lock file."""

    version: str
    source: str
    url: str
    size: int
    sha256: str
    licence: str
    depends: list[str]


def find_mirrors(layer: Path) -> Mirrors:
    """Return the mirrors that the environment names, else those of the host's apt sources.

    They are read as *layer*, the layer of the role, reads them at build time.
    """
    found = {name: os.environ.get(name, "").rstrip("/") for name in (MAIN, SECURITY)}
    if not all(found.values()):
        # Not imported: no byte code is to be left in the layer.
        read = runpy.run_path(str(layer / "lib" / "quick_mirrors.py"))["host_mirrors"]
        found = {**read(), **{name: value for name, value in found.items() if value}}
    missing = [name for name in (MAIN, SECURITY) if not found.get(name)]
    if missing:
        raise InfrastructureError(
            "the apt sources of this host name no Debian archive for its own release "
            f"({', '.join(missing)})",
            f"set {' and '.join(missing)} to the URL of one",
        )
    return Mirrors(found[MAIN], found[SECURITY])


def clauses(fields: Stanza, *keys: str) -> Iterator[list[str]]:
    """Yield the alternatives of each dependency in the fields *keys*, names only."""
    for key in keys:
        for clause in filter(None, (part.strip() for part in fields.get(key, "").split(","))):
            yield [re.sub(r"[\s(:].*", "", one.strip()) for one in clause.split("|")]


def locked_depends(name: str, all_fields: dict[str, Stanza], present: Iterable[str]) -> list[str]:
    """Return Debian's dependencies of *name* as names of locked packages.

    Raises UsageError for one that is neither locked nor left out.
    """
    providers = {
        one: other
        for other, fields in all_fields.items()
        for one, *_ in clauses(fields, "Provides")
    }
    depends: set[str] = set()
    for alternatives in clauses(all_fields[name], "Pre-Depends", "Depends"):
        hits = [one if one in all_fields else providers.get(one) for one in alternatives]
        chosen = next((hit for hit in hits if hit), None)
        if chosen is None and not set(alternatives) & set(present):
            raise UsageError(
                f"{name} needs {' | '.join(alternatives)}, which is neither locked nor left out",
                "name it in a group of quick-packages.yml, or under left-out with the reason",
            )
        if chosen and chosen != name:
            depends.add(chosen)
    return sorted(depends)


def with_variable(uri: str, mirrors: Mirrors) -> str:
    """Return *uri* with the bitbake variable in place of its mirror."""
    # The security archive first: its address often begins with the main one.
    for prefix, variable in ((mirrors.security, SECURITY), (mirrors.main, MAIN)):
        if uri.startswith(prefix + "/"):
            return f"${{{variable}}}{uri.removeprefix(prefix)}"
    raise InfrastructureError(f"{uri} comes from neither {mirrors.main} nor {mirrors.security}")


def make_lock(
    names: dict[str, Any], mirrors: Mirrors, show: Callable[[str], None] | None = None
) -> dict[str, Any]:
    """Return what the lock file is to hold for *names*, the content of quick-packages.yml.

    Raises InfrastructureError where the archives cannot be read, UsageError where the
    list of names is not whole.
    """
    groups: dict[str, list[str]] = names["groups"]
    present: dict[str, str] = names.get("left-out") or {}
    licences: dict[str, str] = names.get("licences") or {}
    with tempfile.TemporaryDirectory(prefix="yoctovirt-apt-") as state:
        apt = PrivateApt(Path(state), mirrors, names["suite"], names["architecture"], present, show)
        apt.update()
        everything = apt.closure([name for members in groups.values() for name in members])
        fields, uris = apt.show(everything), apt.uris(everything)
        closures = {group: apt.closure(members) for group, members in groups.items()}
    versions = dict(everything)
    locked: dict[str, dict[str, Any]] = {}
    taken: set[str] = set()
    unlicensed: set[str] = set()
    for group, closure in closures.items():
        # A package goes to the first group that needs it.
        mine = sorted({name for name, _ in closure if name in versions} - taken)
        taken.update(mine)
        locked[group] = {}
        for name in mine:
            source = fields[name].get("Source", name).split()[0]
            if source not in licences:
                unlicensed.add(source)
            locked[group][name] = asdict(
                Locked(
                    version=versions[name],
                    source=source,
                    url=with_variable(uris[name], mirrors),
                    size=int(fields[name]["Size"]),
                    sha256=fields[name]["SHA256"],
                    licence=licences.get(source, ""),
                    depends=locked_depends(name, fields, present),
                )
            )
    if unlicensed:
        raise UsageError(
            f"no licence is given for the source packages {', '.join(sorted(unlicensed))}",
            "write their SPDX expressions under licences in quick-packages.yml",
        )
    return {
        "format": FORMAT,
        "suite": names["suite"],
        "architecture": names["architecture"],
        "groups": locked,
    }


def packages_of(lock: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the packages of all groups of *lock* by name."""
    groups: dict[str, dict[str, dict[str, Any]]] = lock.get("groups", {})
    return {name: package for packages in groups.values() for name, package in packages.items()}


def changes(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Return what is different in *new*, a line for each package."""
    before, after = packages_of(old), packages_of(new)
    lines = []
    for name in sorted(before.keys() | after.keys()):
        was, now = before.get(name), after.get(name)
        if was is None and now is not None:
            lines.append(f"added    {name} {now['version']}")
        elif now is None and was is not None:
            lines.append(f"removed  {name} {was['version']}")
        elif was is not None and now is not None and was["version"] != now["version"]:
            lines.append(f"updated  {name} {was['version']} -> {now['version']}")
        elif was is not None and now is not None and was != now:
            keys = ", ".join(key for key in now if was.get(key) != now[key])
            lines.append(f"changed  {name} {now['version']} (same version, other {keys})")
    if not lines and old != new:
        lines.append("changed  the grouping or the head of the file")
    return lines


def load_lock(path: Path) -> dict[str, Any]:
    """Return the lock in *path*, an empty one where there is no such file.

    Raises UsageError where the file is something else.
    """
    try:
        lock = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except (ValueError, OSError) as error:
        raise UsageError(f"{path} is no lock of packages: {error}", "remove it") from error
    if not isinstance(lock, dict) or lock.get("format", FORMAT) != FORMAT:
        raise UsageError(f"{path} is no lock of packages of format {FORMAT}", "remove it")
    return lock


def to_text(lock: dict[str, Any]) -> str:
    """Return *lock* as it stands in its file."""
    return json.dumps(lock, indent=1) + "\n"
