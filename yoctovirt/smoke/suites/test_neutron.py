"""Suite neutron: a guest gets its address and its metadata, and is reached by whom it may be."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import pytest

from yoctovirt.boot.results import CommandResult
from yoctovirt.smoke.checked import SmokeNode
from yoctovirt.smoke.cleanup import Undo
from yoctovirt.smoke.suites.aids.nova import (
    VERSION,
    Server,
    compute_hosts,
    make_flavor,
    new_name,
    open_rest,
    removal,
    start_server,
    upload_guest,
)
from yoctovirt.smoke.suites.aids.rest import Rest
from yoctovirt.smoke.suites.aids.waiting import until

pytestmark = pytest.mark.usefixtures("started")

PROMISES = ("neutron-server",)
UNITS = (
    "neutron-server.service", "neutron-api.service", "neutron-rpc-server.service",
    "neutron-dhcp-agent.service", "neutron-metadata-agent.service", "neutron-l3-agent.service",
    "neutron-linuxbridge-agent.service", "neutron-openvswitch-agent.service",
)  # fmt: skip
DIAGNOSTICS = ("tail -n 60 /var/log/neutron/*.log", "ip netns list", "ip -d link show type vxlan")

#: Agents that a node may promise: the program that neutron knows it by.
_AGENTS = ("neutron-dhcp-agent", "neutron-metadata-agent", "neutron-l3-agent",
           "neutron-linuxbridge-agent", "neutron-openvswitch-agent")  # fmt: skip


@pytest.fixture(scope="module")
def rest(node: SmokeNode, module_undo: Undo) -> Rest:
    """Return the services, as the administrator."""
    return open_rest(node, module_undo)


def _make(rest: Rest, undo: Undo, kind: str, **further: object) -> str:
    """Make a thing of neutron's with a name of ours and return its id; *undo* deletes it."""
    plural = f"{kind}s".replace("_", "-")
    body = {kind: {"name": new_name(), **further}}
    made: str = rest.post("network", f"/v2.0/{plural}", body, f"no {kind} can be made")[kind]["id"]
    undo(removal(rest, "network", f"/v2.0/{plural}/{made}"), 120)
    return made


def _range() -> str:
    """Return a subnet for tests (RFC 2544), which no node has on its own cards."""
    return f"198.18.{secrets.randbelow(250) + 1}.0/24"


@dataclass
class Guest:
    """A server on a network of ours, and the security group that guards it."""

    server: Server
    network: str
    subnet: str
    port: str
    address: str
    group: str
    rule: str = ""

    def open(self) -> None:
        """Let ICMP in."""
        if not self.rule:
            rule = {"security_group_id": self.group, "protocol": "icmp",
                    "direction": "ingress", "ethertype": "IPv4"}  # fmt: skip
            made = self.server.rest.post(
                "network", "/v2.0/security-group-rules", {"security_group_rule": rule},
                "no rule can be made",
            )  # fmt: skip
            self.rule = made["security_group_rule"]["id"]

    def close(self) -> None:
        """Let nothing in."""
        if self.rule:
            path = f"/v2.0/security-group-rules/{self.rule}"
            done = self.server.rest.call("DELETE", "network", path)
            assert done.ok, f"a rule cannot be removed: {done.said}"
            self.rule = ""

    def ping(self, node: SmokeNode, seconds: int, want: bool = True) -> CommandResult:
        """Ping it from the namespace of its network's DHCP server until it does as wanted."""
        line = f"ip netns exec qdhcp-{self.network} ping -c 1 -W 2 {self.address}"
        return until(node, line if want else f"! {line} && ip netns exec qdhcp-{self.network} true",
                     seconds)  # fmt: skip


@pytest.fixture(scope="module")
def guest(rest: Rest, nodes: dict[str, SmokeNode], module_undo: Undo) -> Guest:
    """Start a server on a network of its own, behind a security group that lets nothing in."""
    compute_hosts(rest, nodes)
    images, flavor = upload_guest(rest, module_undo), make_flavor(rest, module_undo)
    network = _make(rest, module_undo, "network")
    subnet = _make(rest, module_undo, "subnet", network_id=network, ip_version=4, cidr=_range())
    group = _make(rest, module_undo, "security_group")
    port = _make(rest, module_undo, "port", network_id=network, security_groups=[group])
    shown = rest.get("network", f"/v2.0/ports/{port}")["port"]
    address = shown["fixed_ips"][0]["ip_address"]
    server = start_server(rest, module_undo, images, flavor, networks=[{"port": port}])
    return Guest(server, network, subnet, port, address, group)


def _dhcp_node(nodes: dict[str, SmokeNode]) -> SmokeNode:
    return next(one for one in nodes.values() if "neutron-dhcp-agent" in one.promises)


@pytest.mark.deadline(180)
def test_agents(rest: Rest, nodes: dict[str, SmokeNode]) -> None:
    """Each agent that a node of the run promises is alive there, and no agent is dead."""
    promised = {
        (agent, one.check("hostname").strip().partition(".")[0])
        for one in nodes.values()
        for agent in _AGENTS
        if agent in one.promises
    }

    def look() -> str:
        agents = rest.get("network", "/v2.0/agents")["agents"]
        alive = {(one["binary"], one["host"].partition(".")[0]) for one in agents if one["alive"]}
        dead = [f"{one['binary']} on {one['host']} is dead" for one in agents if not one["alive"]]
        absent = [f"{name} on {host} never reported" for name, host in sorted(promised - alive)]
        return "\n".join(dead or absent)

    said = rest.until(look, 90)
    assert not said, said


@pytest.mark.deadline(240)
def test_network(rest: Rest, undo: Undo) -> None:
    """A network, a subnet and a port are made, have an address, and are gone when deleted."""
    network, cidr = _make(rest, undo, "network"), _range()
    subnet = _make(rest, undo, "subnet", network_id=network, ip_version=4, cidr=cidr)
    port = _make(rest, undo, "port", network_id=network)
    shown = rest.get("network", f"/v2.0/ports/{port}")["port"]["fixed_ips"]
    prefix = cidr.rpartition(".")[0]
    assert shown, "the port has no address"
    address = shown[0]["ip_address"]
    assert address.startswith(f"{prefix}."), f"the port has {address}, outside of {cidr}"
    second = {"port": {"network_id": network, "fixed_ips": [{"ip_address": address}]}}
    twice = rest.call("POST", "network", "/v2.0/ports", second)
    assert twice.status == 409, f"an address given twice should be refused with 409: {twice.said}"
    for plural, one in (("ports", port), ("subnets", subnet), ("networks", network)):
        done = rest.call("DELETE", "network", f"/v2.0/{plural}/{one}")
        assert done.ok, f"{plural}: cannot be deleted: {done.said}"
        left = rest.call("GET", "network", f"/v2.0/{plural}/{one}")
        assert left.status == 404, f"{plural}: deleted, and still there: {left.said}"


@pytest.mark.deadline(600)
@pytest.mark.nodes(1, promise="nova-compute")
def test_dhcp(guest: Guest) -> None:
    """The guest, ACTIVE, is given its address by DHCP: that which neutron has for its port."""
    guest.server.wait_for("ACTIVE")
    address = guest.server.hear("address")
    assert address == guest.address, (
        f"the server is ACTIVE, but its guest has the address {address} instead of {guest.address}"
    )


@pytest.mark.deadline(400)
@pytest.mark.nodes(1, promise="nova-compute")
def test_ping(nodes: dict[str, SmokeNode], guest: Guest) -> None:
    """The guest answers in its network, and is not reached from outside of it."""
    guest.server.hear("address")
    guest.open()
    node = _dhcp_node(nodes)
    done = guest.ping(node, 60)
    assert done.ok, f"the guest does not answer within its network: {done.output.strip()}"
    for name, one in nodes.items():
        outside = one.run(f"ping -c 2 -W 2 {guest.address}")
        assert outside.exit_status != 127, f"{name} has no ping"
        assert not outside.ok, f"the guest is reached from outside its network, from {name}"


@pytest.mark.deadline(400)
@pytest.mark.nodes(1, promise="nova-compute")
def test_metadata(guest: Guest) -> None:
    """The metadata service tells the guest who it is."""
    came = guest.server.hear("metadata")
    assert came == guest.server.id, (
        f"the guest asked the metadata service for its id, {guest.server.id}; it got {came}"
    )


@pytest.mark.deadline(400)
@pytest.mark.nodes(1, promise="nova-compute")
def test_security_group(nodes: dict[str, SmokeNode], guest: Guest) -> None:
    """A security group lets in what it has a rule for, only as long as it has it."""
    guest.server.hear("address")
    node = _dhcp_node(nodes)
    guest.close()
    done = guest.ping(node, 60, want=False)
    assert done.ok, (
        "the security group has no rule that lets anything in, and the guest still answers"
    )
    guest.open()
    done = guest.ping(node, 60)
    assert done.ok, f"a rule lets ICMP in, and the guest does not answer: {done.output.strip()}"
    guest.close()
    done = guest.ping(node, 60, want=False)
    assert done.ok, "the rule for ICMP was removed, and the guest still answers"


@pytest.mark.deadline(300)
@pytest.mark.nodes(1, promise="neutron-l3-agent")
def test_router(rest: Rest, undo: Undo, nodes: dict[str, SmokeNode]) -> None:
    """A router between two subnets: its namespace has both gateways, and passes packets on."""
    router = _make(rest, undo, "router")
    path = f"/v2.0/routers/{router}"
    gateways, networks = [], []
    for number in (1, 2):
        network = _make(rest, undo, "network")
        cidr = f"198.19.{secrets.randbelow(120) * 2 + number}.0/24"
        subnet = _make(rest, undo, "subnet", network_id=network, ip_version=4, cidr=cidr)
        given = {"subnet_id": subnet}
        leave = rest.line("PUT", "network", f"{path}/remove_router_interface")
        undo(f'. {rest.cloud.openrc}\necho \'{{"subnet_id": "{subnet}"}}\' | {leave}')
        joined = rest.call("PUT", "network", f"{path}/add_router_interface", given)
        assert joined.ok, f"the router cannot be joined to a subnet: {joined.said}"
        gateways.append(cidr.replace(".0/24", ".1"))
        networks.append(network)
    node = next(one for one in nodes.values() if "neutron-l3-agent" in one.promises)
    space = f"ip netns exec qrouter-{router}"
    for gateway in gateways:
        done = until(node, f"{space} ip -4 addr show | grep -F 'inet {gateway}/24'", 90)
        assert done.ok, f"the router's namespace has not got {gateway}: {done.output.strip()}"
    done = node.run(f"{space} cat /proc/sys/net/ipv4/ip_forward")
    assert done.output.strip() == "1", f"the router does not forward: {done.output.strip()}"
    done = until(node, f"ip netns exec qdhcp-{networks[0]} ping -c 1 -W 2 {gateways[1]}", 60)
    assert done.ok, f"no way from one subnet over the router: {done.output.strip()}"


@pytest.mark.deadline(400)
@pytest.mark.nodes(1, promise="nova-compute")
def test_delete(rest: Rest, nodes: dict[str, SmokeNode], guest: Guest) -> None:
    """With the server its port is released, and with the network its namespace goes."""
    guest.server.wait_for("ACTIVE")
    done = rest.call("DELETE", "compute", guest.server.path, None, VERSION)
    assert done.ok, f"the server cannot be deleted: {done.said}"

    def bound() -> str:
        port = rest.get("network", f"/v2.0/ports/{guest.port}")["port"]
        return f"the server is deleted, and its port belongs to {port['device_id']}" * bool(
            port["device_id"]
        )

    said = rest.until(bound, 90)
    assert not said, said
    node = _dhcp_node(nodes)
    for plural, one in (("ports", guest.port), ("networks", guest.network)):
        done = rest.call("DELETE", "network", f"/v2.0/{plural}/{one}")
        assert done.ok, f"{plural}: cannot be deleted: {done.said}"
    gone = until(node, f"! ip netns list | grep -F qdhcp-{guest.network}", 60)
    assert gone.ok, f"the network is deleted, and its namespace is left: {gone.output.strip()}"
