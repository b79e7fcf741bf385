"""Roles: what a node is for, what it promises, what it needs.

What kas has no word for stands in ``kas/inc/<role>.role.yml``. A workspace may
bring roles of its own, or replace one of ours, in its ``kas/inc/``.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from yoctovirt.base.schema import at, check_file
from yoctovirt.base.suggest import did_you_mean
from yoctovirt.config.resources import data_root
from yoctovirt.config.yamlfile import load_mapping
from yoctovirt.errors import UsageError

SUFFIX = ".role.yml"


@dataclass(frozen=True)
class NodeNeeds:
    """What a node of the role is given when it is booted."""

    memory: int = 1024  #: MiB
    cpus: int = 1
    order: int = 1  #: nodes of a set start in this order
    qemuparams: tuple[str, ...] = ()  #: more arguments of QEMU, each a line as for a shell
    bootparams: tuple[str, ...] = ()  #: more arguments of the kernel


@dataclass(frozen=True)
class DebianImage:
    """What the ``debian`` builder makes of a role."""

    packages: tuple[str, ...]
    enable: tuple[str, ...] = ()
    disable: tuple[str, ...] = ()
    after_ssh: tuple[str, ...] = ()
    size_mib: int = 2560
    kernel: str = ""  #: package of the kernel; '' for the distribution's small one
    hypervisor: str = ""  #: package of a Xen that starts, with the kernel as its first domain's


@dataclass(frozen=True)
class Role:
    """A role as its file describes it."""

    name: str
    description: str
    builder: str  #: ``kas`` or ``debian``
    source: Path
    promises: tuple[str, ...] = ()
    machine: str = "qemux86-64"
    release: str | None = None  #: default release of a role of the kas builder
    releases: tuple[str, ...] = ()  #: releases that it is made for (empty: its default)
    machines: tuple[str, ...] = ()  #: machines that it is made for (empty: its default)
    disk_gib: int = 4  #: disk that a build from nothing needs
    node: NodeNeeds = NodeNeeds()
    allowed_failed_units: tuple[str, ...] = ()
    allowed_console: tuple[str, ...] = ()  #: regular expressions: lines that are no failure
    debian: DebianImage | None = None

    def is_made_for(self, release: str, machine: str) -> bool:
        """Whether the role claims to hold on *release* and *machine*."""
        return release in (self.releases or (self.release,)) and machine in (
            self.machines or (self.machine,)
        )


def _node_needs(values: dict[str, Any]) -> NodeNeeds:
    return NodeNeeds(
        memory=values.get("memory", NodeNeeds.memory),
        cpus=values.get("cpus", NodeNeeds.cpus),
        order=values.get("order", NodeNeeds.order),
        qemuparams=tuple(values.get("qemuparams", ())),
        bootparams=tuple(values.get("bootparams", ())),
    )


@lru_cache(maxsize=1)
def _schema() -> dict[str, Any]:
    text = Path(__file__).with_name("role.schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def _folders(workspace: Path | None) -> list[Path]:
    own = [workspace / "kas" / "inc"] if workspace else []
    return [*own, data_root() / "kas" / "inc"]


def role_files(workspace: Path | None = None) -> dict[str, Path]:
    """Return the files of all known roles by name; a workspace's own come first."""
    found: dict[str, Path] = {}
    for folder in _folders(workspace):
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            found.setdefault(path.name.removesuffix(SUFFIX), path)
    return found


def load_role(name: str, workspace: Path | None = None) -> Role:
    """Return the role *name*.

    Raises UsageError for an unknown name (with near matches) and for a file
    that does not fit the schema ``role.schema.json``.
    """
    files = role_files(workspace)
    if name not in files:
        raise UsageError(f"there is no role {name!r}", did_you_mean(name, files))
    path = files[name]
    return role_from_mapping(name, load_mapping(path), path)


def role_as_mapping(role: Role) -> dict[str, Any]:
    """Return what a file of *role* would say: :func:`role_from_mapping` makes the same of it."""
    node = asdict(role.node)
    values: dict[str, Any] = {
        "description": role.description, "builder": role.builder, "machine": role.machine,
        "release": role.release, "releases": role.releases, "machines": role.machines,
        "disk_gib": role.disk_gib, "promises": role.promises, "node": node,
        "allowed_failed_units": role.allowed_failed_units,
        "allowed_console": role.allowed_console,
        "debian": asdict(role.debian) if role.debian else None,
    }  # fmt: skip
    if values["debian"]:
        values["debian"] = {key: value for key, value in values["debian"].items() if value}
    plain: dict[str, Any] = json.loads(json.dumps(values))  # lists, no tuples
    return {key: value for key, value in plain.items() if value not in (None, [])}


def _patterns(texts: list[str], source: Path) -> tuple[str, ...]:
    for text in texts:
        try:
            re.compile(text)
        except re.error as error:
            raise UsageError(
                f"{at(source, ['allowed_console', texts.index(text)])}allowed_console: {text!r} is "
                f"no regular expression: {error}",
                "see docs/roles.md",
            ) from error
    return tuple(texts)


def role_from_mapping(name: str, values: dict[str, Any], source: Path) -> Role:
    """Return a role from the content of its file; raise UsageError where it does not fit."""
    check_file(source, values, _schema(), "see docs/roles.md")
    debian = values.get("debian")
    return Role(
        name=name,
        description=values["description"],
        builder=values["builder"],
        source=source,
        promises=tuple(values.get("promises", ())),
        machine=values.get("machine", Role.machine),
        release=values.get("release"),
        releases=tuple(values.get("releases", ())),
        machines=tuple(values.get("machines", ())),
        disk_gib=values.get("disk_gib", Role.disk_gib),
        node=_node_needs(values.get("node", {})),
        allowed_failed_units=tuple(values.get("allowed_failed_units", ())),
        allowed_console=_patterns(values.get("allowed_console", []), source),
        debian=DebianImage(
            packages=tuple(debian["packages"]),
            enable=tuple(debian.get("enable", ())),
            disable=tuple(debian.get("disable", ())),
            after_ssh=tuple(debian.get("after_ssh", ())),
            size_mib=debian.get("size_mib", DebianImage.size_mib),
            kernel=debian.get("kernel", ""),
            hypervisor=debian.get("hypervisor", ""),
        )
        if debian
        else None,
    )
