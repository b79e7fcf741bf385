"""Neutron's networks, a server on one of them, and the world outside, for its checks."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from yoctovirt.boot.results import CommandResult
from yoctovirt.smoke.checked import SmokeNode
from yoctovirt.smoke.cleanup import Undo
from yoctovirt.smoke.notrun import not_run
from yoctovirt.smoke.suites.aids.nova import (
    Images,
    Server,
    compute_hosts,
    make_flavor,
    new_name,
    removal,
    start_server,
    upload_guest,
)
from yoctovirt.smoke.suites.aids.rest import Rest
from yoctovirt.smoke.suites.aids.waiting import until

#: What agents call the physical networks that their node is joined to.
_MAPPINGS = ("interface_mappings", "bridge_mappings")


def make(rest: Rest, undo: Undo, kind: str, **further: object) -> str:
    """Make a thing of neutron's with a name of ours and return its id; *undo* deletes it."""
    plural = f"{kind}s".replace("_", "-")
    body = {kind: {"name": new_name(), **further}}
    made: str = rest.post("network", f"/v2.0/{plural}", body, f"no {kind} can be made")[kind]["id"]
    undo(removal(rest, "network", f"/v2.0/{plural}/{made}"), 120)
    return made


def new_range() -> str:
    """Return a subnet for tests (RFC 2544), which no node has on its own cards."""
    return f"198.18.{secrets.randbelow(250) + 1}.0/24"


@dataclass
class Guest:
    """A server on a network of ours, and the security group that guards it."""

    server: Server
    images: Images
    flavor: str
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


def start_guest(rest: Rest, undo: Undo, nodes: dict[str, SmokeNode]) -> Guest:
    """Start a server on the first compute node, behind a security group that lets nothing in."""
    host = min(compute_hosts(rest, nodes))
    images, flavor = upload_guest(rest, undo), make_flavor(rest, undo)
    network = make(rest, undo, "network")
    subnet = make(rest, undo, "subnet", network_id=network, ip_version=4, cidr=new_range())
    group = make(rest, undo, "security_group")
    port = make(rest, undo, "port", network_id=network, security_groups=[group])
    address = address_of(rest, port)
    server = start_server(rest, undo, images, flavor, host=host, networks=[{"port": port}])
    return Guest(server, images, flavor, network, subnet, port, address, group)


def address_of(rest: Rest, port: str) -> str:
    """Return the address that neutron has given to *port*."""
    fixed = rest.get("network", f"/v2.0/ports/{port}")["port"]["fixed_ips"]
    assert fixed, "the port has no address"
    address: str = fixed[0]["ip_address"]
    return address


def join_router(rest: Rest, undo: Undo, router: str, subnet: str) -> None:
    """Give *router* an interface in *subnet*; *undo* takes it away."""
    path = f"/v2.0/routers/{router}"
    given = {"subnet_id": subnet}
    leave = rest.line("PUT", "network", f"{path}/remove_router_interface")
    undo(f'. {rest.cloud.openrc}\necho \'{{"subnet_id": "{subnet}"}}\' | {leave}')
    joined = rest.call("PUT", "network", f"{path}/add_router_interface", given)
    assert joined.ok, f"the router cannot be joined to a subnet: {joined.said}"


def existing_outside(rest: Rest) -> str:
    """Return the id of an external network of the cloud; '' where it has none."""
    found = rest.get("network", "/v2.0/networks?router:external=true")["networks"]
    return str(found[0]["id"]) if found else ""


def find_outside(rest: Rest, undo: Undo) -> str:
    """Return the external network of the cloud; where it has none, one that *undo* deletes."""
    found = existing_outside(rest)
    if found:
        return found
    agents = rest.get("network", "/v2.0/agents")["agents"]
    physical = {
        name
        for agent in agents
        if agent["alive"]
        for kind in _MAPPINGS
        for name in agent["configurations"].get(kind) or {}
    }
    if not physical:
        not_run(
            "the cloud has no external network, and no agent of neutron is joined to a physical "
            "one (bridge_mappings, physical_interface_mappings): no router can lead outside"
        )
    network = make(rest, undo, "network", **{
        "router:external": True,
        "provider:network_type": "flat",
        "provider:physical_network": min(physical),
    })  # fmt: skip
    # For documents and tests (RFC 5737): nobody has such an address.
    make(rest, undo, "subnet", network_id=network, ip_version=4, cidr="198.51.100.0/24",
         enable_dhcp=False)  # fmt: skip
    return network


def make_gateway(rest: Rest, undo: Undo, outside: str) -> str:
    """Return the id of a router of ours that is joined to the network *outside*."""
    return make(rest, undo, "router", external_gateway_info={"network_id": outside})
