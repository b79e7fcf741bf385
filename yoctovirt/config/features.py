"""Optional features: software that a role can take in besides what it promises itself.

``kas/feature/<name>.yml`` is merged over the role by kas; what kas has no word for stands
in ``<name>.feature.yml`` beside it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from yoctovirt.base.suggest import did_you_mean
from yoctovirt.config.resources import data_root
from yoctovirt.config.roles import Role
from yoctovirt.config.yamlfile import load_mapping
from yoctovirt.errors import UsageError

SUFFIX = ".feature.yml"
_KEYS = {"description", "roles", "promises", "memory", "disk_gib"}


@dataclass(frozen=True)
class Feature:
    """An optional part of some roles."""

    name: str
    description: str
    roles: tuple[str, ...]  #: roles that can take it in
    promises: tuple[str, ...] = ()  #: what the role promises with it, besides its own
    memory: int = 0  #: MiB that a node needs more
    disk_gib: int = 0  #: GiB that a build needs more


def feature_files() -> dict[str, Path]:
    """Return the files of all features by name."""
    folder = data_root() / "kas" / "feature"
    return {path.name.removesuffix(SUFFIX): path for path in sorted(folder.glob(f"*{SUFFIX}"))}


def load_feature(name: str) -> Feature:
    """Return the feature *name*; UsageError for an unknown one, and for a wrong file."""
    files = feature_files()
    if name not in files:
        raise UsageError(f"there is no feature {name!r}", did_you_mean(name, files))
    values: dict[str, Any] = load_mapping(files[name])
    wrong = sorted(map(str, set(values) - _KEYS)) or sorted({"description", "roles"} - set(values))
    if wrong:
        raise UsageError(f"{files[name]}: {wrong[0]}: unknown or missing key")
    return Feature(
        name,
        str(values["description"]),
        tuple(values["roles"]),
        tuple(values.get("promises", ())),
        int(values.get("memory", 0)),
        int(values.get("disk_gib", 0)),
    )


def features_of(role: str) -> list[Feature]:
    """Return the features that the role *role* can take in."""
    found = [load_feature(name) for name in feature_files()]
    return [feature for feature in found if role in feature.roles]


def check_feature(role: Role, name: str) -> Feature:
    """Return the feature *name* of *role*; UsageError where the role cannot take it in."""
    feature = load_feature(name)
    if role.name not in feature.roles:
        offered = [other.name for other in features_of(role.name)]
        raise UsageError(
            f"role {role.name} cannot take in the feature {name}",
            f"roles that can: {', '.join(feature.roles)}; features of {role.name}: "
            f"{', '.join(offered) or 'none'}",
        )
    return feature


def with_features(role: Role, names: Iterable[str]) -> Role:
    """Return *role* as it is with the features *names*: what it promises and needs then.

    Raises UsageError for a feature that is unknown or that the role cannot take in.
    """
    for name in dict.fromkeys(names):
        feature = check_feature(role, name)
        role = replace(
            role,
            promises=tuple(dict.fromkeys([*role.promises, *feature.promises])),
            disk_gib=role.disk_gib + feature.disk_gib,
            node=replace(role.node, memory=role.node.memory + feature.memory),
        )
    return role
