"""Suite neutron: a guest gets its address and its metadata, and is reached by whom it may be."""

from __future__ import annotations

import secrets

import pytest

from yoctovirt.smoke.checked import SmokeNode
from yoctovirt.smoke.cleanup import Undo
from yoctovirt.smoke.notrun import not_run
from yoctovirt.smoke.suites.aids.neutron import (
    Guest,
    address_of,
    find_outside,
    join_router,
    make,
    make_gateway,
    new_range,
    start_guest,
)
from yoctovirt.smoke.suites.aids.nova import (
    VERSION,
    compute_hosts,
    open_rest,
    removal,
    start_server,
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


@pytest.fixture(scope="module")
def guest(rest: Rest, nodes: dict[str, SmokeNode], module_undo: Undo) -> Guest:
    """Start a server on a network of its own, behind a security group that lets nothing in."""
    return start_guest(rest, module_undo, nodes)


def _dhcp_node(nodes: dict[str, SmokeNode]) -> SmokeNode:
    return next(one for one in nodes.values() if "neutron-dhcp-agent" in one.promises)


def _l3_node(nodes: dict[str, SmokeNode]) -> SmokeNode | None:
    return next((one for one in nodes.values() if "neutron-l3-agent" in one.promises), None)


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
    network, cidr = make(rest, undo, "network"), new_range()
    subnet = make(rest, undo, "subnet", network_id=network, ip_version=4, cidr=cidr)
    port = make(rest, undo, "port", network_id=network)
    address, prefix = address_of(rest, port), cidr.rpartition(".")[0]
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
    router = make(rest, undo, "router")
    gateways, networks = [], []
    for number in (1, 2):
        network = make(rest, undo, "network")
        cidr = f"198.19.{secrets.randbelow(120) * 2 + number}.0/24"
        subnet = make(rest, undo, "subnet", network_id=network, ip_version=4, cidr=cidr)
        join_router(rest, undo, router, subnet)
        gateways.append(cidr.replace(".0/24", ".1"))
        networks.append(network)
    node = _l3_node(nodes)
    assert node, "no node promises neutron-l3-agent"
    space = f"ip netns exec qrouter-{router}"
    for gateway in gateways:
        done = until(node, f"{space} ip -4 addr show | grep -F 'inet {gateway}/24'", 90)
        assert done.ok, f"the router's namespace has not got {gateway}: {done.output.strip()}"
    done = node.run(f"{space} cat /proc/sys/net/ipv4/ip_forward")
    assert done.output.strip() == "1", f"the router does not forward: {done.output.strip()}"
    done = until(node, f"ip netns exec qdhcp-{networks[0]} ping -c 1 -W 2 {gateways[1]}", 60)
    assert done.ok, f"no way from one subnet over the router: {done.output.strip()}"


@pytest.mark.deadline(600)
@pytest.mark.nodes(1, promise="nova-compute")
def test_floating(rest: Rest, undo: Undo, nodes: dict[str, SmokeNode], guest: Guest) -> None:
    """At a floating address the guest is reached from outside, as long as it has that address."""
    node = _l3_node(nodes)
    if node is None:
        not_run("no node of the run promises neutron-l3-agent")
    guest.server.hear("address")
    guest.open()
    outside = find_outside(rest, undo)
    join_router(rest, undo, make_gateway(rest, undo, outside), guest.subnet)
    # Outside of the cloud is whoever is on that network; here a router that leads nowhere else.
    stranger = f"ip netns exec qrouter-{make_gateway(rest, undo, outside)}"
    body = {"floatingip": {"floating_network_id": outside, "port_id": guest.port}}
    made = rest.post("network", "/v2.0/floatingips", body, "no floating address can be had")
    floating = made["floatingip"]["id"]
    path, address = f"/v2.0/floatingips/{floating}", made["floatingip"]["floating_ip_address"]
    undo(removal(rest, "network", path), 120)
    ping = f"{stranger} ping -c 1 -W 2 {address}"
    done = until(node, ping, 90)
    assert done.ok, (
        f"the guest does not answer at its floating address {address}: {done.output.strip()}"
    )
    # The router has the address, too, and would answer in the guest's place.
    silent = f"{stranger} true && ! {ping}"
    guest.close()
    done = until(node, silent, 60)
    assert done.ok, (
        f"somebody else answers at the floating address {address}: no rule of its security group "
        "lets anything in to the guest"
    )
    guest.open()
    done = until(node, ping, 60)
    assert done.ok, f"its rule is back, and the guest is silent at {address}: {done.output.strip()}"
    freed = rest.call("PUT", "network", path, {"floatingip": {"port_id": None}})
    assert freed.ok, f"the floating address cannot be taken away: {freed.said}"
    done = until(node, silent, 60)
    assert done.ok, f"the guest has no floating address any more, and still answers at {address}"


@pytest.mark.deadline(600)
@pytest.mark.nodes(2, promise="nova-compute")
def test_two_guests(rest: Rest, undo: Undo, nodes: dict[str, SmokeNode], guest: Guest) -> None:
    """Guests on two compute nodes reach one another over the network that they share."""
    here, there = sorted(compute_hosts(rest, nodes))[:2]
    guest.server.hear("address")
    guest.open()
    port = make(rest, undo, "port", network_id=guest.network)
    second = start_server(
        rest, undo, guest.images, guest.flavor, host=there, networks=[{"port": port}],
        metadata={"peer": guest.address},
    )  # fmt: skip
    # Without an address, or without the metadata that names the other one, it could not try.
    assert second.hear("address") != "none", f"the guest on {there} is given no address"
    came = second.hear("metadata")
    assert came == second.id, f"the guest on {there} gets no metadata: {came}"
    second.hear(
        "reached", why=f"the guest on {there} does not reach that on {here}, {guest.address}"
    )


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
