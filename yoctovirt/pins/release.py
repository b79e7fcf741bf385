"""Releases: their pins (a plain kas file) and what kas has no word for (a file beside it)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

from yoctovirt.base.schema import check_file
from yoctovirt.base.suggest import did_you_mean
from yoctovirt.base.yamlfile import key_lines, load_mapping
from yoctovirt.errors import UsageError
from yoctovirt.pins.sources import Pin, pins_of

#: End of the name of the file that stands beside a release.
SUFFIX = ".release.yml"


@dataclass(frozen=True)
class ReleaseInfo:
    """What kas has no word for (``<release>.release.yml``, see ``release.schema.json``)."""

    series: str
    yocto: str
    bitbake: str
    core: str  #: repository that holds openembedded-core
    status: str  #: ``supported`` or ``ended``, as the file says
    until: str  #: last month of upstream support, ``YYYY-MM``
    lts: bool
    machines: tuple[str, ...]
    roles: tuple[str, ...]
    openstack: str | None = None
    distro_version: str | None = None
    unused: dict[str, str] = field(default_factory=dict)

    def supported(self, today: date) -> bool:
        """Whether upstream still supports the release on *today*."""
        return today.strftime("%Y-%m") <= self.until


@dataclass(frozen=True)
class Release:
    """One release: its name, its file, its pins."""

    name: str
    path: Path
    pins: tuple[Pin, ...]
    info: ReleaseInfo

    def pin(self, repo: str) -> Pin:
        """Return the pin of the repository *repo*; UsageError with near matches."""
        for pin in self.pins:
            if pin.name == repo:
                return pin
        raise UsageError(
            f"release {self.name} has no repository {repo!r}",
            did_you_mean(repo, (pin.name for pin in self.pins)),
        )


def release_files(folder: Path) -> dict[str, Path]:
    """Return the files of the releases in *folder* (``layers-manifest/``) by name."""
    return {
        path.stem: path for path in sorted(folder.glob("*.yml")) if not path.name.endswith(SUFFIX)
    }


def load_release(folder: Path, name: str) -> Release:
    """Return the release *name* of *folder*.

    Raises UsageError for an unknown name (with near matches), for a file that is not YAML,
    a repository without a full commit, two with one path (each with file and line), and
    for a file beside it that does not fit its schema.
    """
    files = release_files(folder)
    if name not in files:
        raise UsageError(f"there is no release {name!r}", did_you_mean(name, files))
    path = files[name]
    return Release(name, path, tuple(read_pins(path)), load_info(path.with_name(name + SUFFIX)))


def read_pins(path: Path) -> list[Pin]:
    """Return the pins of the kas file *path*; UsageError names file and line."""
    config = load_mapping(path)
    repos = config.get("repos")
    if not isinstance(repos, dict):
        raise UsageError(f"{path}: there are no repositories", "write them below 'repos:'")
    lines = key_lines(path, "repos")

    def locate(repo: str, key: str) -> str:
        line = lines.get((repo, key)) or lines.get((repo, "")) or 1
        return f"{path}:{line}: "

    return pins_of(config, locate)


@lru_cache(maxsize=1)
def _schema() -> dict[str, Any]:
    text = Path(__file__).with_name("release.schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def load_info(path: Path) -> ReleaseInfo:
    """Return what stands in the file *path* beside a release.

    Raises UsageError where it is missing or does not fit ``release.schema.json``.
    """
    values = load_mapping(path)
    check_file(path, values, _schema(), "see docs/pins.md")
    support = values["support"]
    return ReleaseInfo(
        series=values["series"],
        yocto=values["yocto"],
        bitbake=values["bitbake"],
        core=values["core"],
        status=support["status"],
        until=support["until"],
        lts=support["lts"],
        machines=tuple(values["machines"]),
        roles=tuple(values["roles"]),
        openstack=values.get("openstack"),
        distro_version=values.get("distro_version"),
        unused=dict(values.get("unused", {})),
    )
