"""Suite openvswitch, with two nodes: tunnels between their switches."""

from __future__ import annotations

import pytest

from yoctovirt.smoke.checked import SmokeNode
from yoctovirt.smoke.cleanup import Undo
from yoctovirt.smoke.suites.nets import join, make_hosts, must_not_reach, must_reach, unique

pytestmark = pytest.mark.usefixtures("started")

VSCTL = "ovs-vsctl --timeout=30"


@pytest.mark.nodes(2, promise="openvswitch")
@pytest.mark.parametrize("kind", ["vxlan", "gre"])
def test_tunnel(nodes: dict[str, SmokeNode], undo: Undo, kind: str) -> None:
    """Hosts on switches of two nodes reach one another through a tunnel, and only through it."""
    pair = [node for node in nodes.values() if "openvswitch" in node.promises][:2]
    bridge = f"{unique()}b"
    ends = join(pair, undo, "10.94.0")
    hosts = []
    for number, node in enumerate(pair):
        host = make_hosts(node, undo, [f"10.94.1.{number + 1}"])[0]
        hosts.append(host)
        undo(f"{VSCTL} --if-exists del-br {bridge}", timeout=90, node=node)
        out = node.check(
            f"{VSCTL} add-br {bridge} -- add-port {bridge} {host.port} "
            f"-- add-port {bridge} {bridge}t -- set interface {bridge}t type={kind} "
            f"options:remote_ip={ends[1 - number]} options:key=94 2>&1",
            timeout=90,
            why=f"the switch of {node.name} makes no {kind} tunnel",
        )
        assert "Error" not in out, f"the switch of {node.name} makes no {kind} tunnel:\n{out}"
    why = f"the {kind} tunnel does not carry packets"
    must_reach(pair[0], hosts[0].name, hosts[1].address, why)
    pair[0].check(f"{VSCTL} del-port {bridge} {bridge}t")
    must_not_reach(
        pair[0], hosts[0].name, hosts[1].address, "the tunnel was removed, and packets still pass"
    )
