"""Small networks on a node: namespaces as hosts, joined to the node by veth pairs."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass

from yoctovirt.smoke.checked import SmokeNode
from yoctovirt.smoke.cleanup import Undo

#: Seconds for an answer, of each of four tries; a good network answers at once.
_ANSWER = 5
#: Seconds without an answer after which packets are said not to come through.
_SILENCE = 3

#: What the kernel puts into each new namespace where the module of such a tunnel is loaded or built
#: in (``net.core.fb_tunnels_only_for_init_net``): it leads nowhere.
_FALLBACK_TUNNELS = frozenset((
    "erspan0", "gre0", "gretap0", "ip6_vti0", "ip6erspan0", "ip6gre0", "ip6gretap0", "ip6tnl0",
    "ip_vti0", "sit0", "tunl0",
))  # fmt: skip


def given(interfaces: Iterable[str]) -> list[str]:
    """Return those of a namespace's *interfaces* that somebody has given it."""
    return [name for name in interfaces if name not in _FALLBACK_TUNNELS]


def unique() -> str:
    """Return a new name; with up to seven letters more it is a name of an interface."""
    return f"yv{secrets.token_hex(3)}"


@dataclass(frozen=True)
class Host:
    """A namespace with one interface, ``eth0``."""

    name: str  #: of the namespace
    port: str  #: the other end of its interface, in the node
    address: str
    mac: str


def make_hosts(node: SmokeNode, undo: Undo, addresses: list[str], bits: int = 24) -> list[Host]:
    """Make a namespace for each of *addresses*; *undo* removes them."""
    prefix = unique()
    hosts = []
    script = ["set -e"]
    for number, address in enumerate(addresses):
        mac = f"02:00:{':'.join(f'{int(part):02x}' for part in address.split('.'))}"
        host = Host(f"{prefix}h{number}", f"{prefix}p{number}", address, mac)
        hosts.append(host)
        undo(
            f"ip link del {host.port} 2>/dev/null; "
            f"[ ! -e /run/netns/{host.name} ] && [ ! -e /var/run/netns/{host.name} ] || "
            f"ip netns del {host.name}",
            node=node,
        )
        script.append(
            f"ip netns add {host.name}\n"
            f"ip link add {host.port} type veth peer name {host.port}x\n"
            f"ip link set {host.port}x netns {host.name}\n"
            f"ip -n {host.name} link set {host.port}x name eth0 address {mac}\n"
            f"ip -n {host.name} addr add {address}/{bits} dev eth0\n"
            f"ip -n {host.name} link set lo up\n"
            f"ip -n {host.name} link set eth0 up\n"
            f"ip link set {host.port} up"
        )
    node.check("\n".join(script), why="no network namespaces with veth pairs can be made")
    return hosts


#: Prints the network devices of a node that have hardware and no default route.
_SPARE = """
for place in /sys/class/net/*; do
    [ -e "$place/device" ] || continue
    ip route show default | grep -q "dev ${place##*/} " || echo "${place##*/}"
done
"""


def join(nodes: list[SmokeNode], undo: Undo, network: str) -> list[str]:
    """Return an address of each of two *nodes* at which the other one reaches it.

    Where they have no network in common yet, their spare interfaces get the addresses
    .1 and .2 of *network* (``10.94.0``); *undo* takes them away.
    """
    script = "ip -4 -o addr show scope global | sed 's/.*inet //; s/[^0-9.].*//'"
    first, second = (set(node.check(script).split()) for node in nodes)
    for address in sorted(second - first):
        if nodes[0].run(f"ping -c 1 -w 5 -W 5 {address}").ok:
            back = nodes[0].check(f"ip -4 -o route get {address} | sed 's/.*src //; s/ .*//'")
            return [back.strip(), address]
    addresses = []
    for number, node in enumerate(nodes, 1):
        spare = node.check(_SPARE).split()
        assert spare, (
            f"{node.name} has no network in common with the other node: boot them together, "
            "'yoctovirt boot ROLE:2'"
        )
        address = f"{network}.{number}"
        undo(f"ip addr del {address}/24 dev {spare[0]} 2>/dev/null; true", node=node)
        node.check(f"ip addr add {address}/24 dev {spare[0]} && ip link set {spare[0]} up")
        addresses.append(address)
    out = nodes[0].run(f"ping -c 1 -w 20 -W 20 {addresses[1]}")
    assert out.ok, f"{nodes[0].name} and {nodes[1].name} are not on one network:\n{out.output}"
    return addresses


def ping(node: SmokeNode, host: str, address: str, seconds: int, tries: int) -> tuple[int, str]:
    """Ping *address* from namespace *host* until it answers; return exit status and output."""
    # With a count, ping also ends at the first errors of ARP, long before its deadline.
    done = node.run(
        f"""turns=0
        while :; do
            ip netns exec {host} ping -c 1 -w {seconds} -W {seconds} {address}
            status=$?
            turns=$((turns + 1))
            [ $status = 1 ] && [ $turns -lt {tries} ] || exit $status
        done"""
    )
    return done.exit_status, done.output.strip()


def must_reach(node: SmokeNode, host: str, address: str, why: str) -> None:
    """Fail with *why* unless *address* answers *host*."""
    status, output = ping(node, host, address, _ANSWER, tries=4)
    assert status == 0, f"{why}: no answer from {address} (ping exited with {status})\n{output}"


def must_not_reach(node: SmokeNode, host: str, address: str, why: str) -> None:
    """Fail with *why* if *address* answers *host*."""
    status, output = ping(node, host, address, _SILENCE, tries=1)
    assert status != 0, f"{why}: {address} answers\n{output}"
    assert status == 1, f"{address} could not be tried (ping exited with {status})\n{output}"
