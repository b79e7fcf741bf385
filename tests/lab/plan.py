"""What the lab is made of, read from lab.yml: layers with their keys, and nodes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from yoctovirt.build.debian.hostapt import HostApt

HERE = Path(__file__).parent
SETUP = HERE / "setup"
#: Programs whose content decides what a layer holds.
_MAKERS = {
    "base": (),
    "packages": ("packages.sh",),
    "added": ("packages.sh", "added.sh"),
    "setup": ("node.sh", "inside.py"),
}


@dataclass(frozen=True)
class Layer:
    """One layer: what it is made of, and a key of that and of all below it."""

    kind: str  #: ``base``, ``packages``, ``added`` (packages on a node that is set up), ``setup``
    name: str
    key: str
    packages: tuple[str, ...] = ()
    script: Path | None = None


@dataclass(frozen=True)
class LabNode:
    """A node of the lab; its layers from the lowest up."""

    name: str
    address: str
    layers: tuple[Layer, ...]
    promises: tuple[str, ...]
    answers: tuple[str, ...]  #: URLs that are answered when its services have started


@dataclass(frozen=True)
class Plan:
    """All that lab.yml says."""

    address: str  #: of the host, with the length of the prefix
    suite: str
    debconf: str
    nodes: tuple[LabNode, ...]


def read_plan(host: HostApt, path: Path = HERE / "lab.yml") -> Plan:
    """Return the plan of *path* with the apt sources of *host*."""
    said = yaml.safe_load(path.read_text(encoding="utf-8"))
    sources = [source.read_text(errors="replace") for source in host.sources]
    hosts = "".join(f"{node['address']} {name}\n" for name, node in said["nodes"].items())
    nodes = []
    for name, node in said["nodes"].items():
        stack = _Stack(said, name, hosts, json.dumps([said["suite"], sources]))
        for group in node["packages"]:
            stack.add_packages("packages" if stack.layers else "base", group, group)
        for script in node["setup"]:
            stack.add_setup(script)
        for service in node.get("services", []):
            stack.add_packages("added", f"{name}-{service}-packages", service)
            stack.add_setup(service)
        answers = tuple(f"http://{node['address']}{rest}" for rest in node["answers"])
        nodes.append(
            LabNode(name, node["address"], tuple(stack.layers), tuple(node["promises"]), answers)
        )
    return Plan(said["address"], said["suite"], said["debconf"], tuple(nodes))


@dataclass
class _Stack:
    """The layers of one node, while they are put on one another."""

    said: dict[str, Any]  #: all of lab.yml
    node: str
    hosts: str
    below: str  #: key of all so far
    layers: list[Layer] = field(default_factory=list)

    def add_packages(self, kind: str, name: str, group: str) -> None:
        packages = tuple(self.said["packages"][group].split())
        made_of = [kind, packages, self.said["debconf"]]
        self._add(kind, name, made_of, packages=packages)

    def add_setup(self, script: str) -> None:
        where = SETUP / f"{script}.sh"
        address = self.said["nodes"][self.node]["address"]
        made_of = [self.node, address, self.hosts, where.read_text(encoding="utf-8")]
        self._add("setup", f"{self.node}-{script}", made_of, script=where)

    def _add(self, kind: str, name: str, made_of: list[object], **further: Any) -> None:
        self.below = _key([self.below, *made_of, _texts(*_MAKERS[kind])])
        self.layers.append(Layer(kind, name, self.below, **further))


def hosts_file(plan: Plan) -> str:
    """Return the lines of /etc/hosts that name the nodes."""
    return "".join(f"{node.address} {node.name}\n" for node in plan.nodes)


def _texts(*names: str) -> list[str]:
    return [(HERE / name).read_text(encoding="utf-8") for name in names]


def _key(inputs: list[object]) -> str:
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:12]
