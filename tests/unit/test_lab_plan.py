"""The keys of the lab's layers: all that a layer is made of decides, and nothing else."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.lab.plan import HERE, Plan, read_plan
from tests.lab.store import Store
from yoctovirt.build.debian.hostapt import HostApt


def plan_of(folder: Path, change: Callable[[dict[str, Any]], object], sources: str = "x") -> Plan:
    """Return the lab's plan after *change*, on a host with *sources*."""
    said = yaml.safe_load((HERE / "lab.yml").read_text())
    change(said)
    (folder / "lab.yml").write_text(yaml.safe_dump(said, sort_keys=False))
    (folder / "sources.list").write_text(sources)
    host = HostApt("debian", "12", "bookworm", (folder / "sources.list",))
    return read_plan(host, folder / "lab.yml")


def keys(plan: Plan) -> list[str]:
    return [layer.key for layer in plan.nodes[0].layers]


def same(one: Plan, other: Plan) -> list[bool]:
    return [left == right for left, right in zip(keys(one), keys(other), strict=True)]


def test_the_layers_of_the_controller(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, lambda said: None)
    names = [(layer.kind, layer.name) for layer in plan.nodes[0].layers]
    assert names == [
        ("base", "base"),
        ("packages", "identity"),
        ("packages", "database"),
        ("packages", "compute"),
        ("setup", "controller-node"),
        ("setup", "controller-identity"),
        ("setup", "controller-controller"),
        ("added", "controller-swift-packages"),
        ("setup", "controller-swift"),
        ("added", "controller-cinder-packages"),
        ("setup", "controller-cinder"),
        ("added", "controller-heat-packages"),
        ("setup", "controller-heat"),
        ("added", "controller-barbican-packages"),
        ("setup", "controller-barbican"),
        ("added", "controller-horizon-packages"),
        ("setup", "controller-horizon"),
        ("added", "controller-openldap-packages"),
        ("setup", "controller-openldap"),
        ("added", "controller-cyrus-sasl-packages"),
        ("setup", "controller-cyrus-sasl"),
        ("added", "controller-qpid-packages"),
        ("setup", "controller-qpid"),
        ("added", "controller-puppet-packages"),
        ("setup", "controller-puppet"),
        ("added", "controller-tempest-packages"),
        ("setup", "controller-tempest"),
        ("added", "controller-ceilometer-packages"),
        ("setup", "controller-ceilometer"),
        ("added", "controller-spice-packages"),
        ("setup", "controller-spice"),
        ("added", "controller-cirros-packages"),
        ("setup", "controller-cirros"),
    ]
    assert len(set(keys(plan))) == len(names)


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        (lambda said: None, None),
        (lambda said: said["nodes"]["controller"].update(promises=[]), None),
        (lambda said: said["nodes"]["controller"].update(address="10.77.0.9"), 4),
        (lambda said: said["packages"].update(identity="keystone"), 1),
        (lambda said: said["packages"].update(base="sshd"), 0),
        (lambda said: said["packages"].update(swift="swift"), 7),
    ],
)
def test_what_changes_a_key(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], kept: int | None
) -> None:
    """The layers from *kept* on are others; where it is None there are none."""
    found = same(plan_of(tmp_path, lambda said: None), plan_of(tmp_path, change))
    assert found == [
        number < (len(found) if kept is None else kept) for number in range(len(found))
    ]


def test_nodes_share_their_packages(tmp_path: Path) -> None:
    controller, compute, second = plan_of(tmp_path, lambda said: None).nodes
    assert controller.layers[:4] == compute.layers[:4] == second.layers[:4]
    own = [{one.key for one in node.layers[4:]} for node in (controller, compute, second)]
    assert not own[0] & own[1] | own[0] & own[2] | own[1] & own[2]


def test_other_sources_are_another_base(tmp_path: Path) -> None:
    one = plan_of(tmp_path, lambda said: None)
    assert not any(same(one, plan_of(tmp_path, lambda said: None, "another archive")))


def test_pruning_leaves_what_the_plan_has(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, lambda said: None)
    host = HostApt("debian", "12", "bookworm", (tmp_path / "sources.list",))
    store = Store(tmp_path / "store", host, plan)
    wanted = store.tree(plan.nodes[0].layers[0])
    other = tmp_path / "store" / "base-0123456789ab" / "tree"
    for folder in (wanted, other, tmp_path / "store" / "mine"):
        folder.mkdir(parents=True)
    store.prune()
    assert sorted(path.name for path in (tmp_path / "store").iterdir()) == sorted(
        [wanted.parent.name, "mine"]
    )


def test_packages_on_a_node_leave_what_it_starts(tmp_path: Path) -> None:
    """Installing fails where it fails; what the set-up of the node has enabled stays enabled."""
    shutil.copy(HERE / "added.sh", tmp_path)
    (tmp_path / "packages.sh").write_text(
        'cd "$1/etc/systemd/system"\n'
        "rm -f multi-user.target.wants/*\n"
        'echo "$2" >installed\n'
        "mkdir -p sockets.target.wants\n"
    )
    wants = tmp_path / "root/etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True)
    (wants / "keystone.service").symlink_to("/lib/systemd/system/keystone.service")
    argv = ["sh", str(tmp_path / "added.sh"), str(tmp_path / "root"), "swift-proxy"]
    subprocess.run(argv, check=True)
    left = {path.name: str(path.readlink()) for path in wants.iterdir()}
    assert left == {"keystone.service": "/lib/systemd/system/keystone.service"}
    assert (wants.parent / "installed").read_text() == "swift-proxy\n"
    (tmp_path / "packages.sh").write_text("exit 4\n")
    assert subprocess.run(argv, check=False).returncode == 4
