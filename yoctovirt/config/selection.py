"""Which layers each role takes of a release: what ``pins check`` has to look at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yoctovirt.config.cells import OWN_REPO, find_kas_file, kas_files, merged
from yoctovirt.config.features import Feature, feature_files, load_feature
from yoctovirt.config.resources import data_root
from yoctovirt.config.roles import Role, load_role, role_files
from yoctovirt.errors import UsageError
from yoctovirt.pins.check import DEFAULT_PRIO, Selection
from yoctovirt.pins.layerconf import Layer
from yoctovirt.pins.release import Release, load_release, release_files


def manifests() -> Path:
    """Return the folder of the releases."""
    return data_root() / "layers-manifest"


def load_releases(names: Iterable[str] = ()) -> list[Release]:
    """Return the releases *names*, or all; UsageError for an unknown one or a wrong file."""
    wanted = list(dict.fromkeys(names)) or list(release_files(manifests()))
    return [load_release(manifests(), name) for name in wanted]


@dataclass(frozen=True)
class Known:
    """All roles of the kas builder and all features, each file read once."""

    roles: tuple[Role, ...]
    features: tuple[Feature, ...]


def known(workspace: Path | None = None) -> Known:
    """Return our roles and features, and the roles of *workspace*."""
    roles = (load_role(name, workspace) for name in role_files(workspace))
    return Known(
        tuple(role for role in roles if role.builder == "kas"),
        tuple(load_feature(name) for name in feature_files()),
    )


def selections(release: Release, all_known: Known) -> list[Selection]:
    """Return what the roles that are made for *release*, or have a file for it, take of it.

    A feature of a role stands for itself (``virt-host+ceph``) where it takes other layers.
    """
    found = []
    for role in all_known.roles:
        claimed = release.name in (role.releases or (role.release,))
        file = find_kas_file(role, f"kas/inc/{role.name}.{release.name}.yml")
        if not claimed and not file.is_file():
            continue
        plain = _selection(role, release, ())
        found.append(plain)
        for feature in all_known.features:
            if role.name not in feature.roles:
                continue
            more = _selection(role, release, (feature.name,))
            if (more.layers, more.own, more.headers) != (plain.layers, plain.own, plain.headers):
                found.append(more)
    return found


def _selection(role: Role, release: Release, features: tuple[str, ...]) -> Selection:
    content = merged(role, kas_files(role, release.name, None, features))
    pinned = {pin.name for pin in release.pins}
    taken = []
    own = []
    foreign = []
    for repo, entry in (content.get("repos") or {}).items():
        if not isinstance(entry, dict):
            continue
        layers = [
            (path, _prio(values))
            for path, values in (entry.get("layers") or {}).items()
            if values not in ("disabled", "excluded")
        ]
        if repo == OWN_REPO:
            own += [_own(path, prio) for path, prio in layers]
        elif repo not in pinned and (entry.get("url") or entry.get("path")):
            foreign.append(repo)
        elif "url" not in entry or entry["url"]:
            taken += [(repo, path, prio) for path, prio in layers]
    headers = content.get("bblayers_conf_header") or {}
    return Selection(
        role="+".join((role.name, *features)),
        layers=tuple(taken),
        own=tuple(own),
        claimed=release.name in (role.releases or (role.release,)),
        headers="\n".join(str(headers[key]) for key in sorted(headers)),
        foreign=tuple(foreign),
    )


def _prio(values: Any) -> int:
    return int(values.get("prio", DEFAULT_PRIO)) if isinstance(values, dict) else DEFAULT_PRIO


def _own(path: str, prio: int) -> Layer:
    folder = data_root() / path
    try:
        text = (folder / "conf" / "layer.conf").read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"{folder} is no layer: {error.strerror}: conf/layer.conf", "correct the role"
        ) from error
    classes = (f"classes/{file.name}" for file in (folder / "classes").glob("*.bbclass"))
    return Layer(OWN_REPO, path, text, prio, frozenset(classes))
