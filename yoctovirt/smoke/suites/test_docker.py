"""Suite docker: the daemon really makes, runs and removes containers.

Nodes have no network: the image is made on the node of its own BusyBox (and the
libraries that it needs), as a tar archive given to ``docker import``.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from yoctovirt.smoke.checked import SmokeNode
from yoctovirt.smoke.suites.aids.busybox import make_archive
from yoctovirt.smoke.suites.nets import given


@pytest.fixture(scope="module")
def image(node: SmokeNode) -> Iterator[str]:
    """Make an image of a local tar archive; remove it at the end."""
    name = f"yoctovirt-{secrets.token_hex(4)}:smoke"
    archive = make_archive(node)
    try:
        node.check(f"docker import {archive} {name}", timeout=120, why="docker import failed")
    finally:
        node.run(f"rm -f {archive}")
    yield name
    node.check(f"docker rmi -f {name}", timeout=90)


@pytest.fixture(scope="module")
def container(node: SmokeNode, image: str) -> Iterator[str]:
    """Start a container on the bridge, in the background; remove it at the end.

    Its host name is its name.
    """
    name = f"yoctovirt-{secrets.token_hex(4)}"
    try:
        node.check(
            f"docker run -d --name {name} --hostname {name} {image} /bin/sleep 1000",
            timeout=90,
            why="a container could not be started in the background",
        )
        yield name
    finally:
        node.run(f"docker rm -f {name}", timeout=60)


@dataclass(frozen=True)
class Exited:
    """A container that has run to its end, and what docker run gave."""

    name: str
    exit_status: int
    output: str


@pytest.fixture(scope="module")
def exited(node: SmokeNode, image: str) -> Iterator[Exited]:
    """Run a container without a network that writes to both streams and exits with 42.

    One container serves several checks: where CPUs are emulated each start takes seconds.
    """
    name = f"yoctovirt-{secrets.token_hex(4)}"
    script = f"echo out-{name}; echo err-{name} >&2; ls /sys/class/net; exit 42"
    done = node.run(
        f"docker run --name {name} --network none {image} /bin/sh -c '{script}' 2>&1", timeout=90
    )
    yield Exited(name, done.exit_status, done.output)
    node.run(f"docker rm -f {name}", timeout=60)


def test_daemon(node: SmokeNode) -> None:
    """The daemon answers, and says which storage and cgroup driver it uses."""
    told = node.check(
        "docker info --format "
        "'{{.ServerVersion}} {{.Driver}} {{.CgroupDriver}} {{.CgroupVersion}}'",
        timeout=90,
        why="the Docker daemon does not answer",
    ).split()
    assert len(told) == 4, f"docker info gave {told}"
    version, storage, cgroup, cgroup_version = told
    assert re.match(r"\d+\.\d+", version), f"no server version: {version!r}"
    assert storage in ("overlay2", "overlayfs", "fuse-overlayfs", "btrfs", "zfs"), (
        f"the storage driver is {storage}: it works without copy-on-write, or not at all"
    )
    assert cgroup in ("systemd", "cgroupfs"), f"the cgroup driver is {cgroup!r}"
    assert cgroup_version in ("1", "2"), f"the cgroup version is {cgroup_version!r}"


def test_image_from_tarball(node: SmokeNode, image: str) -> None:
    """An image made of a local tar archive is there with its content."""
    listed = node.check(f"docker image inspect --format '{{{{.Size}}}}' {image}").strip()
    assert int(listed) > 100_000, f"the image has {listed} bytes"


def test_run_without_network(exited: Exited) -> None:
    """A container without a network runs, and has the loopback only."""
    lines = exited.output.split()
    assert f"out-{exited.name}" in lines, f"the container did not print its word:\n{exited.output}"
    words = (f"out-{exited.name}", f"err-{exited.name}")
    interfaces = given(line for line in lines if line not in words)
    assert interfaces == ["lo"], f"expected the loopback only, the container has {interfaces}"


def test_exit_status(node: SmokeNode, exited: Exited) -> None:
    """The exit status of a container is the exit status of docker run, and is kept."""
    assert exited.exit_status == 42, (
        f"the container exits with 42, docker run did with {exited.exit_status}:\n{exited.output}"
    )
    kept = node.check(f"docker inspect --format '{{{{.State.ExitCode}}}}' {exited.name}").strip()
    assert kept == "42", f"the container exited with 42, docker has kept {kept}"


def test_logs(node: SmokeNode, exited: Exited) -> None:
    """What a container prints is kept by docker logs, both streams of it."""
    kept = node.check(f"docker logs {exited.name} 2>&1").split()
    for stream in ("out", "err"):
        assert kept.count(f"{stream}-{exited.name}") == 1, f"docker logs gave {kept}"


def test_removal(node: SmokeNode, exited: Exited) -> None:
    """A removed container is gone."""
    listing = "docker ps -a --format '{{.Names}}'"
    listed = node.check(listing).split()
    assert exited.name in listed, f"a container that has exited is not listed: {listed}"
    node.check(f"docker rm {exited.name}")
    listed = node.check(listing).split()
    assert exited.name not in listed, "a removed container is still listed"


def test_run_with_network(node: SmokeNode, container: str) -> None:
    """A container on the bridge has an address and reaches the node."""
    gateway = node.check(
        "docker network inspect bridge --format '{{(index .IPAM.Config 0).Gateway}}'"
    ).strip()
    if not gateway:  # older daemons leave it out; it is the bridge's own address
        bridge = node.check("ip -4 -o addr show dev docker0")
        gateway = re.findall(r"inet ([\d.]+)", bridge)[0]
    out = node.check(
        f"docker exec {container} /bin/sh -c "
        f"'ip -4 -o addr show dev eth0; ping -c 1 -W 10 {gateway} && echo reached'",
        timeout=90,
        why=f"a container cannot reach the node at {gateway}",
    )
    assert re.search(r"inet \d+\.\d+\.\d+\.\d+", out), f"no address on eth0:\n{out}"
    assert "reached" in out, f"no answer from {gateway}:\n{out}"


def test_exec(node: SmokeNode, container: str) -> None:
    """A command runs in a running container, and its exit status comes through."""
    word = secrets.token_hex(8)
    out = node.check(
        f"docker exec {container} /bin/sh -c 'echo {word}; hostname; exit 9'", status=9
    )
    assert out.split() == [word, container], f"docker exec gave {out!r}"
