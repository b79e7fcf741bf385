"""Nodes that runqemu starts: two on one network, resumed warm, with disks and files of theirs."""

from __future__ import annotations

import json

import pytest

from tests.integration.conftest import Yoctovirt

pytestmark = [pytest.mark.layers, pytest.mark.timeout(2400)]


def boot(quick: Yoctovirt, *words: str) -> list[dict[str, str]]:
    """Boot what *words* say, and return the states of the nodes that run then."""
    done = quick.run("boot", *words, "--detach", timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    states: list[dict[str, str]] = json.loads(quick.run("nodes", "--json").stdout)
    assert all(state["command"][0].endswith("/scripts/runqemu") for state in states)
    return [{"name": state["name"], "said": done.stderr} for state in states]


def test_two_nodes_find_one_another(quick: Yoctovirt) -> None:
    """Without root: addresses on the second NIC, names of each other, packets both ways."""
    try:
        first, second = (state["name"] for state in boot(quick, "quick:2", "--hosts"))
        for one, other in ((first, second), (second, first)):
            pinged = quick.run("ssh", one, f"ping -c 2 -w 20 {other}")
            assert pinged.returncode == 0, pinged.stdout + pinged.stderr
            assert "192.168.7." in pinged.stdout, "by the private network"
        macs = [quick.run("ssh", name, "cat /sys/class/net/eth1/address").stdout
                for name in (first, second)]  # fmt: skip
        assert macs[0] != macs[1]
    finally:
        quick.run("stop", "--all")
    quick.assert_nothing_left()


def test_warm_start(quick: Yoctovirt) -> None:
    """What was in memory when the state was kept is there again; runqemu is the same one."""
    quick.run("warm", "drop", "quick")
    try:
        (cold,) = boot(quick, "quick", "--warm")
        assert "state kept for the next --warm" in cold["said"]
        asked = "head -n 1 /proc/1/maps"  # where init lies in memory, another place each boot
        place = quick.run("ssh", "quick", asked).stdout
        quick.run("stop", "quick", "--now")
        (warm,) = boot(quick, "quick", "--warm")
        assert "resumed from its warm state" in warm["said"]
        assert quick.run("ssh", "quick", asked).stdout == place
    finally:
        quick.run("stop", "--all", "--now")
        quick.run("warm", "drop", "quick")
    quick.assert_nothing_left()


def test_disk_memory_and_persist(quick: Yoctovirt) -> None:
    """The options of a boot come to a node of runqemu as they come to one of plain QEMU."""
    options = ("--disk", "1G", "--memory", "640", "--smp", "1", "--persist")
    try:
        boot(quick, "quick", *options)
        told = quick.run("ssh", "quick", "cat /proc/partitions; nproc; grep MemTotal /proc/meminfo")
        assert "1048576 vdb" in told.stdout, told.stdout
        assert "\n1\n" in told.stdout
        total = int(told.stdout.split("MemTotal:")[1].split()[0]) // 1024
        assert 500 < total < 640
        assert quick.run("ssh", "quick", "echo kept >/root/kept; sync").returncode == 0
        quick.run("stop", "quick")
        boot(quick, "quick", *options)
        assert quick.run("ssh", "quick", "cat /root/kept").stdout == "kept\n"
    finally:
        quick.run("stop", "--all", "--now")
    quick.assert_nothing_left()
