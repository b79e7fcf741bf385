"""What the lab is made of, read from lab.yml: layers with their keys, and nodes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import yaml

from yoctovirt.build.debian.hostapt import HostApt

HERE = Path(__file__).parent
SETUP = HERE / "setup"
#: Programs whose content decides what a layer holds.
_MAKERS = {"base": (), "packages": ("packages.sh",), "setup": ("node.sh", "inside.py")}


@dataclass(frozen=True)
class Layer:
    """One layer: what it is made of, and a key of that and of all below it."""

    kind: str  #: ``base``, ``packages`` or ``setup``
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
        layers: list[Layer] = []
        below = json.dumps([said["suite"], sources])
        for group in node["packages"]:
            kind = "packages" if layers else "base"
            packages = tuple(said["packages"][group].split())
            inputs = [below, kind, packages, said["debconf"], _texts(*_MAKERS[kind])]
            layers.append(Layer(kind, group, _key(inputs), packages))
            below = layers[-1].key
        for script in node["setup"]:
            where = SETUP / f"{script}.sh"
            inputs = [
                below,
                name,
                node["address"],
                hosts,
                where.read_text(),
                _texts(*_MAKERS["setup"]),
            ]
            layers.append(Layer("setup", f"{name}-{script}", _key(inputs), script=where))
            below = layers[-1].key
        answers = tuple(f"http://{node['address']}{rest}" for rest in node["answers"])
        nodes.append(
            LabNode(name, node["address"], tuple(layers), tuple(node["promises"]), answers)
        )
    return Plan(said["address"], said["suite"], said["debconf"], tuple(nodes))


def hosts_file(plan: Plan) -> str:
    """Return the lines of /etc/hosts that name the nodes."""
    return "".join(f"{node.address} {node.name}\n" for node in plan.nodes)


def _texts(*names: str) -> list[str]:
    return [(HERE / name).read_text(encoding="utf-8") for name in names]


def _key(inputs: list[object]) -> str:
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:12]
