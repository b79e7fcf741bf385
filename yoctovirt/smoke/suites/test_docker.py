"""Suite docker: the daemon really makes, runs and removes containers.

Nodes have no network: the image is made on the node of its own BusyBox (and the
libraries that it needs), as a tar archive given to ``docker import``.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator

import pytest

from yoctovirt.smoke.checked import SmokeNode

#: Lists the libraries of a program without ldd: the loader of glibc and musl does it.
_MAKE_TREE = """
set -e
tree=$(mktemp -d)
mkdir -p "$tree/bin" "$tree/tmp" "$tree/etc"
# Not `command -v`: the shell of BusyBox answers with the name alone.
for busybox in /bin/busybox /usr/bin/busybox /usr/local/bin/busybox; do
    [ -x "$busybox" ] && break
done
[ -x "$busybox" ] || { echo "no busybox in /bin, /usr/bin, /usr/local/bin"; exit 1; }
cp "$busybox" "$tree/bin/busybox"
for file in $(LD_TRACE_LOADED_OBJECTS=1 "$busybox" true 2>/dev/null | grep -o '/[^ ]*'); do
    mkdir -p "$tree/$(dirname "$file")"
    cp -L "$file" "$tree/$file"
done
for name in sh echo ls ping ip cat sleep hostname; do ln -sf busybox "$tree/bin/$name"; done
tar -C "$tree" -cf "$tree.tar" .
rm -rf "$tree"
echo "$tree.tar"
"""


@pytest.fixture(scope="module")
def image(node: SmokeNode) -> Iterator[str]:
    """Make an image of a local tar archive; remove it at the end."""
    name = f"yoctovirt-{secrets.token_hex(4)}:smoke"
    archive = node.check(_MAKE_TREE, why="no BusyBox to make an image of").split()[-1]
    try:
        node.check(f"docker import {archive} {name}", timeout=120, why="docker import failed")
    finally:
        node.run(f"rm -f {archive}")
    yield name
    node.check(f"docker rmi -f {name}", timeout=90)


@pytest.fixture(scope="module")
def container(node: SmokeNode, image: str) -> Iterator[str]:
    """Start a container in the background; remove it at the end."""
    name = f"yoctovirt-{secrets.token_hex(4)}"
    node.check(
        f"docker run -d --name {name} --network none {image} "
        f"/bin/sh -c 'echo out-{name}; echo err-{name} >&2; exec sleep 1000'",
        timeout=90,
        why="a container could not be started in the background",
    )
    yield name
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


def test_run_without_network(node: SmokeNode, image: str) -> None:
    """A container without a network runs, and has the loopback only."""
    word = secrets.token_hex(8)
    out = node.check(
        f"docker run --rm --network none {image} /bin/sh -c 'echo {word}; ls /sys/class/net'",
        timeout=90,
    )
    lines = out.split()
    assert lines[:1] == [word], f"the container did not print {word}:\n{out}"
    assert lines[1:] == ["lo"], f"expected the loopback only, the container has {lines[1:]}"


def test_run_with_network(node: SmokeNode, image: str) -> None:
    """A container on the bridge has an address and reaches the node."""
    gateway = node.check(
        "docker network inspect bridge --format '{{(index .IPAM.Config 0).Gateway}}'"
    ).strip()
    if not gateway:  # older daemons leave it out; it is the bridge's own address
        bridge = node.check("ip -4 -o addr show dev docker0")
        gateway = re.findall(r"inet ([\d.]+)", bridge)[0]
    out = node.check(
        f"docker run --rm {image} /bin/sh -c "
        f"'ip -4 -o addr show dev eth0; ping -c 1 -W 10 {gateway} && echo reached'",
        timeout=90,
        why=f"a container cannot reach the node at {gateway}",
    )
    assert re.search(r"inet \d+\.\d+\.\d+\.\d+", out), f"no address on eth0:\n{out}"
    assert "reached" in out, f"no answer from {gateway}:\n{out}"


def test_exit_status(node: SmokeNode, image: str) -> None:
    """The exit status of a container is the exit status of docker run."""
    node.check(f"docker run --rm --network none {image} /bin/sh -c 'exit 42'", 90, status=42)


def test_exec(node: SmokeNode, container: str) -> None:
    """A command runs in a running container, and its exit status comes through."""
    word = secrets.token_hex(8)
    out = node.check(f"docker exec {container} /bin/sh -c 'echo {word}; hostname'")
    assert out.split()[:1] == [word], f"docker exec gave {out!r}"
    inside = node.check(f"docker inspect --format '{{{{.Config.Hostname}}}}' {container}").strip()
    assert out.split()[1:] == [inside], f"the host name inside is {out.split()[1:]}, not {inside}"
    node.check(f"docker exec {container} /bin/sh -c 'exit 9'", status=9)


def test_logs(node: SmokeNode, container: str) -> None:
    """What a container prints is kept by docker logs, both streams of it."""
    lines = node.check(f"docker logs {container}").split()
    assert sorted(lines) == [f"err-{container}", f"out-{container}"], f"docker logs gave {lines}"


def test_removal(node: SmokeNode, image: str) -> None:
    """A removed container is gone, and its file system with it."""
    name = f"yoctovirt-{secrets.token_hex(4)}"
    node.check(f"docker create --name {name} --network none {image} /bin/true", timeout=60)
    try:
        listed = node.check("docker ps -a --format '{{.Names}}'").split()
        assert name in listed, f"a created container is not listed: {listed}"
        node.check(f"docker rm {name}")
        listed = node.check("docker ps -a --format '{{.Names}}'").split()
        assert name not in listed, "a removed container is still listed"
        node.check(f"docker inspect {name}", status=1)
    finally:
        node.run(f"docker rm -f {name}")
