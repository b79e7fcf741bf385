"""Suite docker: limits, volumes, restarts, builds, and the kernel that all of it needs."""

from __future__ import annotations

import secrets

import pytest

from yoctovirt.smoke.checked import SmokeNode
from yoctovirt.smoke.cleanup import Undo
from yoctovirt.smoke.suites.aids.busybox import make_archive
from yoctovirt.smoke.suites.aids.dockerimage import container_name, import_image
from yoctovirt.smoke.suites.aids.kernelconfig import HIDDEN, read_config
from yoctovirt.smoke.suites.aids.waiting import until

#: What a kernel must have for Docker (moby: contrib/check-config.sh, "Generally Necessary"),
#: and overlayfs. ``A|B``: one of them.
_OPTIONS = (
    "NAMESPACES", "NET_NS", "PID_NS", "IPC_NS", "UTS_NS", "CGROUPS", "CGROUP_CPUACCT",
    "CGROUP_DEVICE", "CGROUP_FREEZER", "CGROUP_SCHED", "CPUSETS", "MEMCG", "KEYS", "VETH", "BRIDGE",
    "BRIDGE_NETFILTER", "IP_NF_FILTER|NFT_COMPAT", "IP_NF_MANGLE|NFT_COMPAT",
    "IP_NF_TARGET_MASQUERADE|NETFILTER_XT_TARGET_MASQUERADE", "NETFILTER_XT_MATCH_ADDRTYPE",
    "NETFILTER_XT_MATCH_CONNTRACK", "NETFILTER_XT_MATCH_IPVS", "NETFILTER_XT_MARK",
    "IP_NF_NAT|NFT_NAT", "NF_NAT", "POSIX_MQUEUE", "CGROUP_BPF", "OVERLAY_FS",
)  # fmt: skip


@pytest.fixture(scope="module")
def image(node: SmokeNode, module_undo: Undo) -> str:
    """Import an image."""
    return import_image(node, module_undo)


def test_kernel_config(node: SmokeNode) -> None:
    """The kernel is configured with all that Docker's own check asks for."""
    node.check("docker --version", why="Docker is not on the node")
    config = read_config(node)
    assert config is not None, HIDDEN
    absent = [
        f"CONFIG_{option.replace('|', ' or CONFIG_')}"
        for option in _OPTIONS
        if not any(name in config for name in option.split("|"))
    ]
    assert not absent, f"the kernel lacks what Docker needs: {', '.join(absent)}"


def test_memory_limit(node: SmokeNode, image: str, undo: Undo) -> None:
    """The kernel kills a container that takes more memory than its limit, and no other."""
    limit = "--network none --memory 48m --memory-swap 48m"
    take = "/bin/dd if=/dev/zero of=/dev/null count=1 bs"
    modest, greedy = container_name(undo), container_name(undo)
    node.check(
        f"docker run --name {modest} {limit} {image} {take}=4M",
        timeout=90,
        why="a container that takes 4 of its 48 MiB does not run",
    )
    done = node.run(f"docker run --name {greedy} {limit} {image} {take}=160M", timeout=90)
    assert done.exit_status == 137, (
        f"a container limited to 48 MiB took 160 MiB, and was not killed: docker run exited with "
        f"{done.exit_status}\n{done.output}"
    )


def test_volume(node: SmokeNode, image: str, undo: Undo) -> None:
    """What one container writes into a volume the next one reads; the volume can be removed."""
    word, volume = secrets.token_hex(8), f"yoctovirt-{secrets.token_hex(4)}"
    undo(f"docker volume rm -f {volume} >/dev/null 2>&1; true")
    run = f"docker run --rm --network none -v {volume}:/data {image} /bin/sh -c"
    node.check(f"docker volume create {volume}", why="no volume can be made")
    node.check(f"{run} 'echo {word} >/data/word'", timeout=90, why="a volume cannot be written")
    got = node.check(f"{run} 'cat /data/word'", timeout=90, why="the volume lost a file").strip()
    assert got == word, f"a container wrote {word} into the volume, the next one read {got!r}"
    node.check(f"docker volume rm {volume}")
    left = node.check("docker volume ls -q").split()
    assert volume not in left, "a removed volume is still listed"


def test_restart_policy(node: SmokeNode, image: str, undo: Undo) -> None:
    """A container that fails is started again, as often as its restart policy says."""
    name = container_name(undo)
    node.check(
        f"docker run -d --name {name} --network none --restart on-failure:2 {image} "
        "/bin/sh -c 'echo begun; exit 3'",
        timeout=90,
    )
    status = f"docker inspect --format '{{{{.RestartCount}}}} {{{{.State.Status}}}}' {name}"
    seen = until(node, f'[ "$({status})" = "2 exited" ]', 90)
    counted = node.check(f"docker logs {name} 2>&1").split().count("begun")
    told = node.check(status).strip()
    assert seen.ok and counted == 3, (  # noqa: PT018
        f"a container that fails, with on-failure:2, should have begun 3 times and have ended; it "
        f"began {counted} times, docker says (restarts, state): {told}"
    )


def test_build(node: SmokeNode, undo: Undo) -> None:
    """An image is built from a Dockerfile that begins with FROM scratch, and it runs."""
    word, folder = secrets.token_hex(8), f"/var/tmp/yoctovirt-{secrets.token_hex(4)}"
    name = f"yoctovirt-{secrets.token_hex(4)}:built"
    archive = make_archive(node)
    undo(f"rm -rf {folder} {archive}")
    undo(f"docker rmi -f {name} >/dev/null 2>&1; docker image prune -f >/dev/null", timeout=90)
    node.check(f"mkdir {folder} && mv {archive} {folder}/tree.tar")
    dockerfile = f"FROM scratch\nADD tree.tar /\nENV WORD={word}\n"
    dockerfile += 'CMD ["/bin/sh", "-c", "echo $WORD"]\n'
    node.put(dockerfile.encode(), f"{folder}/Dockerfile")
    # Not by buildx, which has to be pulled where it is not installed.
    node.check(f"DOCKER_BUILDKIT=0 docker build -t {name} {folder} 2>&1", timeout=110,
               why="an image cannot be built")  # fmt: skip
    got = node.check(f"docker run --rm --network none {name}", timeout=90).strip()
    assert got == word, f"the image that was built should print {word}, it printed {got!r}"
