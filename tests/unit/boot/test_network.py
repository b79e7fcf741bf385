"""The private network of nodes: addresses, names, MACs, ports, tap devices."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from yoctovirt.boot.network import (
    Segment,
    check_taps,
    hosts_script,
    node_names,
    parse_count,
    plan_members,
    set_up_script,
    tap_commands,
    tap_qemuparams,
)
from yoctovirt.errors import InfrastructureError, UsageError


def addresses(*nodes: tuple[str, str | None]) -> dict[str, str]:
    return {member.name: member.address for member in plan_members(nodes)}


def test_openstack_images_have_the_addresses_that_they_expect() -> None:
    found = addresses(("compute", "compute"), ("controller", "controller"), ("network", "network"))
    assert found == {
        "compute": "192.168.7.4", "controller": "192.168.7.2", "network": "192.168.7.6",
    }  # fmt: skip


def test_further_nodes_take_no_address_of_a_role() -> None:
    found = addresses(*[(f"compute-{n}", "compute") for n in (1, 2, 3)], ("other", None))
    assert found == {
        "compute-1": "192.168.7.4", "compute-2": "192.168.7.8", "compute-3": "192.168.7.10",
        "other": "192.168.7.12",
    }  # fmt: skip


def test_addresses_end() -> None:
    assert len(set(addresses(*[(f"n{i}", None) for i in range(124)]).values())) == 124
    with pytest.raises(UsageError, match="125 nodes do not fit"):
        plan_members([(f"n{i}", None) for i in range(125)])


def test_macs_are_unique_and_stay() -> None:
    nodes = [(f"n{i}", None) for i in range(120)]
    members = plan_members(nodes)
    assert len({member.mac for member in members}) == 120
    assert [member.mac for member in plan_members(nodes)] == [member.mac for member in members]
    # Locally administered, and no group address.
    assert all(int(member.mac[:2], 16) & 3 == 2 for member in members)


def test_a_clash_of_macs_is_solved(monkeypatch: pytest.MonkeyPatch) -> None:
    def clashing(name: str, interface: int = 0) -> str:
        return f"52:54:00:00:00:0{len(name)}"

    monkeypatch.setattr("yoctovirt.boot.network.mac_address", clashing)
    assert [m.mac[-1] for m in plan_members([("ab", None), ("cd", None)])] == ["2", "4"]


def test_two_nodes_of_one_name() -> None:
    with pytest.raises(UsageError, match="two nodes would be called compute"):
        plan_members([("compute", "compute"), ("compute", "compute")])


def test_counts() -> None:
    assert node_names([parse_count("controller"), parse_count("compute:2")]) == [
        ("controller", "controller"), ("compute-1", "compute"), ("compute-2", "compute"),
    ]  # fmt: skip
    assert node_names([("compute", 1)]) == [("compute", "compute")]
    for text in ("compute:", "compute:0", "compute:x", "compute:-1", "compute:1000"):
        with pytest.raises(UsageError, match="is no number of nodes"):
            parse_count(text)


def test_each_run_has_a_port_and_group_of_its_own() -> None:
    first, second = Segment(), Segment()
    try:
        assert first.port != second.port
        assert first.group != second.group
        (member,) = plan_members([("node", None)])
        words = first.qemuparams(member).split()
        assert words[1] == (f"socket,id=net1,mcast={first.group}:{first.port},localaddr=127.0.0.1")
        assert words[3] == f"virtio-net-pci,netdev=net1,mac={member.mac}"
    finally:
        first.close()
        second.close()


def test_taps_are_numbered_as_runqemu_does() -> None:
    members = plan_members([("controller", "controller"), ("compute", "compute")])
    assert [member.tap for member in members] == ["tap0", "tap1"]
    assert "tap,id=net1,ifname=tap1,script=no,downscript=no" in tap_qemuparams(members[1])
    commands = tap_commands(members, "joe")
    assert "ip address add 192.168.7.3/32 dev tap1" in commands
    assert "ip route add 192.168.7.4/32 dev tap1" in commands
    assert "ip tuntap add dev tap0 mode tap user joe" in commands


def tap(folder: Path, name: str = "tap0", **files: str) -> None:
    values = {"tun_flags": "0x1002", "flags": "0x1003", "carrier": "0", **files}
    (folder / name).mkdir(parents=True)
    for key, value in values.items():
        if value:
            (folder / name / key).write_text(value + "\n")


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({"tun_flags": ""}, "is no tap device"),
        ({"flags": "0x1002"}, "is down"),
        ({"carrier": "1"}, "is in use by another program"),
        ({}, "has no proxy_arp"),
    ],
)
def test_tap_devices_that_cannot_be_used(
    tmp_path: Path, files: dict[str, str], problem: str
) -> None:
    tap(tmp_path / "net", **files)
    proxy = tmp_path / "ipv4" / "conf" / "tap0"
    proxy.mkdir(parents=True)
    (proxy / "proxy_arp").write_text("0\n")
    members = plan_members([("node", "controller")])
    places = {"net": tmp_path / "net", "settings": tmp_path / "ipv4", "device": tmp_path}
    with pytest.raises(InfrastructureError, match=problem) as caught:
        check_taps(members, **places)
    assert "ip link set tap0 up" in caught.value.hint
    if problem == "has no proxy_arp":
        (proxy / "proxy_arp").write_text("1\n")
        check_taps(members, **places)


def test_no_tap_devices_at_all(tmp_path: Path) -> None:
    members = plan_members([("node", "controller")])
    with pytest.raises(InfrastructureError, match="tap0 for node") as caught:
        check_taps(members, net=tmp_path, device=tmp_path, ifup=Path("/layers/runqemu-ifup"))
    assert "/layers/runqemu-ifup" in caught.value.hint
    with pytest.raises(InfrastructureError, match="/nowhere is missing"):
        check_taps(members, device=Path("/nowhere"))


def test_scripts_are_valid_shell(tmp_path: Path) -> None:
    members = plan_members([("a", None), ("b", None)])
    for script in (set_up_script(members[0]), hosts_script(members[0], members)):
        assert subprocess.run(["sh", "-n", "-c", script], check=False).returncode == 0
        assert not re.search(r"\{(mac|address|length)\}", script)


def test_hosts_are_written_anew_not_twice(tmp_path: Path) -> None:
    members = plan_members([("a", None), ("b", None)])
    hosts, name = tmp_path / "hosts", tmp_path / "hostname"
    hosts.write_text("127.0.0.1 localhost\n")
    script = hosts_script(members[0], members).replace("/etc/hosts", str(hosts))
    script = script.replace("/proc/sys/kernel/hostname", str(name))
    for _ in range(2):
        subprocess.run(["sh", "-c", script], check=True)
    assert hosts.read_text().splitlines() == [
        "127.0.0.1 localhost",
        f"{members[0].address} a # nodes booted together",
        f"{members[1].address} b # nodes booted together",
    ]
    assert name.read_text() == "a\n"
