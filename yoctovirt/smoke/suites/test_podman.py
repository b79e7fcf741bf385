"""Suite podman: containers without a daemon, on its own network and without one."""

from __future__ import annotations

import re

import pytest

from yoctovirt.smoke.checked import SmokeNode
from yoctovirt.smoke.cleanup import Undo
from yoctovirt.smoke.suites.aids.dockerimage import container_name, import_image
from yoctovirt.smoke.suites.nets import given

DIAGNOSTICS = ("podman info", "podman ps -a", "podman network ls")


@pytest.fixture(scope="module")
def image(node: SmokeNode, module_undo: Undo) -> str:
    """Import an image."""
    return import_image(node, module_undo, "podman")


def test_info(node: SmokeNode) -> None:
    """Podman tells its version, a storage driver with copy-on-write, and a runtime that exists."""
    told = node.check(
        "podman info --format '{{.Version.Version}} {{.Store.GraphDriverName}} "
        "{{.Host.OCIRuntime.Path}}' 2>/dev/null",
        timeout=90,
        why="podman does not work",
    ).split()
    assert len(told) == 3, f"podman info gave {told}"
    version, storage, runtime = told
    assert re.match(r"\d+\.\d+", version), f"no version: {version!r}"
    assert storage in ("overlay", "btrfs", "zfs"), f"the storage driver is {storage}"
    node.check(f"{runtime} --version", why="the runtime that podman calls does not run")


def test_exit_status(node: SmokeNode, image: str, undo: Undo) -> None:
    """A container without a network runs; its output and exit status come through."""
    name = container_name(undo, "podman")
    done = node.run(
        f"podman run --name {name} --network none {image} "
        f"/bin/sh -c 'echo {name}; ls /sys/class/net; exit 42'",
        timeout=90,
    )
    assert done.exit_status == 42, (
        f"the container exits with 42, podman run did with {done.exit_status}:\n{done.output}"
    )
    interfaces = given(done.output.split())
    assert interfaces[-2:] == [name, "lo"], f"the container printed {done.output!r}"


def test_network(node: SmokeNode, image: str, undo: Undo) -> None:
    """A container on podman's network has an address and reaches the node."""
    name = container_name(undo, "podman")
    node.check(
        f"podman run -d --cap-add NET_RAW --name {name} {image} /bin/sleep 1000",
        timeout=110,
        why="a container on podman's network cannot be started",
    )
    gateway = node.check(
        f"podman inspect --format '{{{{range .NetworkSettings.Networks}}}}{{{{.Gateway}}}} "
        f"{{{{end}}}}' {name}"
    ).split()
    assert gateway, "podman names no gateway for a container on its network"
    node.check(
        f"podman exec {name} /bin/ping -c 1 -W 10 {gateway[0]}",
        timeout=60,
        why="a container cannot reach the node",
    )
    node.check(f"podman rm -f -t 0 {name}", timeout=60)
    left = node.check("podman ps -a --format '{{.Names}}'").split()
    assert name not in left, "a removed container is still listed"
