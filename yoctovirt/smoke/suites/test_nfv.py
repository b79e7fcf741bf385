"""Suite nfv: a service chain, in which a network function routes and filters between networks.

    client 10.95.1.1 ---- 10.95.1.254 function 10.95.2.254 ---- 10.95.2.1 server
    other  10.95.3.1 ---- 10.95.3.254 function

All of them are network namespaces; with two nodes the client is on the first one, and its network
is a VXLAN between the nodes.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from yoctovirt.smoke.checked import SmokeNode
from yoctovirt.smoke.cleanup import Undo
from yoctovirt.smoke.suites.nets import join, must_not_reach, must_reach, ping, unique

PROMISES = ("nfv", "neutron-l3-agent")
COMMANDS = ("ip",)
DIAGNOSTICS = (
    "for ns in $(ip netns list | cut -d' ' -f1); do echo \"# $ns\"; ip -n $ns addr; "
    "ip -n $ns route; ip netns exec $ns iptables -nvL; done",
    "grep -e veth -e vxlan -e ip_tables -e nf_tables /proc/modules",
)
pytestmark = pytest.mark.usefixtures("started")

SERVER = "10.95.2.1"
#: Not VXLAN's own port, 4789: switches of other suites may have it.
_VXLAN_PORT = 14795


@dataclass(frozen=True)
class Chain:
    """Names of the namespaces."""

    prefix: str

    @property
    def client(self) -> str:
        """Whose traffic goes through the function."""
        return f"{self.prefix}c"

    @property
    def other(self) -> str:
        """Another client, in a network of its own."""
        return f"{self.prefix}o"

    @property
    def function(self) -> str:
        """The function that routes and filters."""
        return f"{self.prefix}f"

    @property
    def server(self) -> str:
        """Who is to be reached."""
        return f"{self.prefix}s"

    def host(self, name: str) -> str:
        """Script that makes the namespace *name*."""
        return f"ip netns add {name} && ip -n {name} link set lo up || exit 1\n"

    def wire(self, name: str, port: str, network: int) -> str:
        """Script that joins host *name* (.1) to *port* of the function (.254) in a network."""
        return f"""
        ip link add {self.prefix}x type veth peer name {self.prefix}y || exit 1
        ip link set {self.prefix}x netns {name} || exit 1
        ip link set {self.prefix}y netns {self.function} || exit 1
        ip -n {name} link set {self.prefix}x name eth0 up || exit 1
        ip -n {self.function} link set {self.prefix}y name {port} up || exit 1
        ip -n {name} addr add 10.95.{network}.1/24 dev eth0 || exit 1
        ip -n {self.function} addr add 10.95.{network}.254/24 dev {port} || exit 1
        ip -n {name} route add default via 10.95.{network}.254 || exit 1
        """

    def start_function(self, clients: bool = True) -> str:
        """Script that makes the function and joins it to the server, and to the *clients*."""
        forward = "echo 1 >/proc/sys/net/ipv4/ip_forward"
        script = self.host(self.function)
        script += f"ip netns exec {self.function} sh -c '{forward}' || exit 1\n"
        script += self.wire(self.server, "eth2", 2)
        if clients:
            script += self.wire(self.client, "eth1", 1) + self.wire(self.other, "eth3", 3)
        return script

    def remove(self) -> str:
        """Script that removes all of it that is there."""
        names = " ".join((self.client, self.other, self.server, self.function))
        return (
            f"for end in x y v; do ip link del {self.prefix}$end 2>/dev/null; done; "
            f'for name in {names}; do ! ip netns list | grep -q "^$name\\b" || '
            "ip netns del $name || exit 1; done"
        )


@pytest.fixture
def chain(node: SmokeNode, undo: Undo) -> Chain:
    """Make a chain with a function that routes and does not filter."""
    made = Chain(unique())
    undo(made.remove())
    hosts = "".join(made.host(name) for name in (made.client, made.other, made.server))
    node.check(
        hosts + made.start_function(),
        why="no chain of network namespaces can be made (kernel module veth?)",
    )
    return made


def _filter(node: SmokeNode, where: str, verb: str, source: str) -> None:
    """Insert (``-I``) or delete (``-D``) a rule that drops what *source* sends through."""
    node.check(
        f"ip netns exec {where} iptables -w {verb} FORWARD -s {source} -j DROP",
        why="the function takes no filter rule",
    )


def test_routes(node: SmokeNode, chain: Chain) -> None:
    """Traffic between two networks goes through the function, as through a router."""
    why = "the client does not reach the server through the function"
    must_reach(node, chain.client, SERVER, why)
    _, output = ping(node, chain.client, SERVER, 5, tries=1)
    assert "ttl=63" in output, f"the traffic did not pass exactly one router:\n{output}"
    must_reach(node, chain.server, "10.95.1.1", "the server does not reach the client")


def test_filters(node: SmokeNode, chain: Chain) -> None:
    """A rule of the function stops one client and counts its packets; the other one passes."""
    must_reach(node, chain.client, SERVER, "the client does not reach the server before the rule")
    _filter(node, chain.function, "-I", "10.95.1.1")
    must_not_reach(node, chain.client, SERVER, "a rule drops what the client sends")
    shown = node.check(f"ip netns exec {chain.function} iptables -nvxL FORWARD")
    counted = [line.split()[0] for line in shown.splitlines() if "10.95.1.1" in line]
    assert counted, f"the rule is not in the function:\n{shown}"
    assert int(counted[0]) > 0, f"nothing came through, and the rule has counted nothing:\n{shown}"
    must_reach(node, chain.other, SERVER, "a rule for one client stops another one")
    _filter(node, chain.function, "-D", "10.95.1.1")
    must_reach(node, chain.client, SERVER, "the rule was removed, and still drops")


def test_stops_and_returns(node: SmokeNode, chain: Chain) -> None:
    """Without the function nothing passes, and when it is back everything does."""
    must_reach(node, chain.client, SERVER, "the client does not reach the server")
    node.check(f"ip netns del {chain.function}", why="the function cannot be stopped")
    status, output = ping(node, chain.client, SERVER, 3, tries=1)
    assert status != 0, f"the function was stopped, and {SERVER} answers:\n{output}"
    # Namespaces go in the background; their ends of the wires with them.
    node.run(
        "turns=0; while ip -n " + chain.server + " link show eth0 >/dev/null 2>&1; do "
        "turns=$((turns + 1)); [ $turns -lt 40 ] || exit 1; sleep 0.5; done"
    )
    node.check(chain.start_function(), why="the function does not come back")
    must_reach(node, chain.client, SERVER, "the function is back, and nothing passes")


@pytest.mark.nodes(2)
def test_two_nodes(nodes: dict[str, SmokeNode], undo: Undo) -> None:
    """A client on one node reaches a server on another through the function there, as it allows."""
    first, second = list(nodes.values())[:2]
    chain = Chain(unique())
    ends = join([first, second], undo, "10.95.4")
    for node in (first, second):
        undo(chain.remove(), node=node)
    # An address of our own for each end: udev makes one of the machine's id and the interface's
    # name, which is the same on two nodes that were copied from one disk.
    tunnel = (
        f"ip link add {chain.prefix}v address 02:00:0a:5f:04:0{{}} type vxlan id 95 "
        f"remote {{}} local {{}} dstport {_VXLAN_PORT} || exit 1\n"
    )
    first.check(
        chain.host(chain.client)
        + tunnel.format(1, ends[1], ends[0])
        + f"""ip link set {chain.prefix}v netns {chain.client} || exit 1
        ip -n {chain.client} addr add 10.95.1.1/24 dev {chain.prefix}v || exit 1
        ip -n {chain.client} link set {chain.prefix}v up || exit 1
        ip -n {chain.client} route add default via 10.95.1.254""",
        why=f"{first.name} has no client on a VXLAN (kernel module vxlan?)",
    )
    second.check(
        chain.host(chain.server)
        + chain.start_function(clients=False)
        + tunnel.format(2, ends[0], ends[1])
        + f"""ip link set {chain.prefix}v netns {chain.function} || exit 1
        ip -n {chain.function} addr add 10.95.1.254/24 dev {chain.prefix}v || exit 1
        ip -n {chain.function} link set {chain.prefix}v up""",
        why=f"{second.name} has no function on a VXLAN (kernel module vxlan?)",
    )
    why = "the client does not reach the server on the other node"
    must_reach(first, chain.client, SERVER, why)
    _filter(second, chain.function, "-I", "10.95.1.1")
    must_not_reach(first, chain.client, SERVER, "a rule on the other node drops what it sends")
    _filter(second, chain.function, "-D", "10.95.1.1")
    must_reach(first, chain.client, SERVER, "the rule was removed, and still drops")
