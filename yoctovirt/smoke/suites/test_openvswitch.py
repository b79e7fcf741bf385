"""Suite openvswitch: the switch forwards, obeys its flows, learns, separates, and is controlled.

Hosts are network namespaces on a bridge of the suite's own.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

import pytest

from yoctovirt.smoke.checked import SmokeNode
from yoctovirt.smoke.cleanup import Undo
from yoctovirt.smoke.suites.aids.waiting import until
from yoctovirt.smoke.suites.nets import Host, make_hosts, must_not_reach, must_reach, unique
from yoctovirt.smoke.suites.openflow import LearningController

UNITS = (
    "openvswitch-switch.service",
    "ovs-vswitchd.service",
    "ovsdb-server.service",
    "openvswitch.service",
)
DIAGNOSTICS = (
    "ovs-vsctl --timeout=5 show",
    "for br in $(ovs-vsctl --timeout=5 list-br); do ovs-ofctl dump-flows $br; done",
    "tail -n 50 /var/log/openvswitch/ovs-vswitchd.log /var/log/openvswitch/ovsdb-server.log",
    "grep -e openvswitch -e vxlan /proc/modules",
)
pytestmark = pytest.mark.usefixtures("started")

VSCTL = "ovs-vsctl --timeout=30"
#: The table that the learning switch of the exercise fills.
LEARNED = 10


@dataclass(frozen=True)
class Switch:
    """A bridge with hosts on it."""

    name: str
    hosts: list[Host]

    @property
    def normal(self) -> str:
        """Command that makes it an ordinary switch again."""
        return (
            f"ovs-ofctl del-flows {self.name} && "
            f"ovs-ofctl add-flow {self.name} priority=0,actions=NORMAL"
        )


@pytest.fixture(scope="module")
def switch(node: SmokeNode, module_undo: Undo) -> Switch:
    """Make a bridge with two hosts."""
    bridge = f"{unique()}b"
    node.check(f"{VSCTL} show >/dev/null", why="Open vSwitch does not answer")
    hosts = make_hosts(node, module_undo, ["10.93.0.1", "10.93.0.2"])
    module_undo(f"{VSCTL} --if-exists del-br {bridge}", timeout=90)
    ports = " ".join(f"-- add-port {bridge} {host.port}" for host in hosts)
    out = node.check(
        f"{VSCTL} add-br {bridge} {ports} 2>&1", timeout=90, why="the bridge cannot be made"
    )
    # ovs-vsctl exits with 0 where the daemon could not do what the database says.
    assert "Error" not in out, f"the bridge is in the database, and the switch has none:\n{out}"
    node.check(f"ip link set {bridge} up", why="the bridge has no interface")
    return Switch(bridge, hosts)


@pytest.fixture
def plain(node: SmokeNode, switch: Switch, undo: Undo) -> Switch:
    """Give the bridge with no flow but NORMAL, before and after the check."""
    undo(switch.normal)
    node.check(switch.normal, why="the flows of the bridge cannot be set")
    return switch


def _meet(node: SmokeNode, switch: Switch, why: str) -> None:
    must_reach(node, switch.hosts[0].name, switch.hosts[1].address, why)


def _do_not_meet(node: SmokeNode, switch: Switch, why: str) -> None:
    must_not_reach(node, switch.hosts[0].name, switch.hosts[1].address, why)


def _forget(node: SmokeNode) -> None:
    """Let the datapath forget what it was told of flows that are no more.

    Where the node has much to do it goes by them for seconds: a ping passes, and no new flow
    saw it.
    """
    node.check("ovs-appctl -t ovs-vswitchd revalidator/purge", why="the datapath does not answer")


def test_daemons(node: SmokeNode) -> None:
    """ovsdb-server and ovs-vswitchd run, and agree on their version."""
    told = node.check(
        f"{VSCTL} get open_vswitch . ovs_version && ovs-appctl -t ovs-vswitchd version "
        "&& ovs-appctl -t ovsdb-server version",
        why="Open vSwitch does not answer",
    )
    versions = re.findall(r"\d+\.\d+\.\d+", told)
    assert len(versions) >= 3, f"three versions were asked for:\n{told}"
    assert len(set(versions)) == 1, f"the daemons are not of one version:\n{told}"


def test_database(node: SmokeNode, undo: Undo) -> None:
    """What is written into the database is read back, and stands in its file."""
    word = secrets.token_hex(8)
    undo(f"{VSCTL} remove open_vswitch . external_ids yoctovirt")
    node.check(
        f"{VSCTL} set open_vswitch . external_ids:yoctovirt={word}",
        why="the database takes no change",
    )
    got = node.run(f"{VSCTL} get open_vswitch . external_ids:yoctovirt").output.strip()
    assert got.strip('"') == word, f"wrote {word} into the database, read {got!r}"
    node.check(
        f"cat /etc/openvswitch/conf.db /var/lib/openvswitch/conf.db 2>/dev/null | grep -q {word}",
        why="the change is not in conf.db: it would be lost at the next start",
    )


def test_ping(node: SmokeNode, plain: Switch) -> None:
    """Two hosts on the bridge reach one another."""
    _meet(node, plain, "the bridge does not forward")


def test_drop_flow(node: SmokeNode, plain: Switch) -> None:
    """A flow that drops ICMP stops a ping, and its removal brings it back."""
    _meet(node, plain, "the bridge does not forward")
    node.check(f"ovs-ofctl add-flow {plain.name} priority=100,icmp,actions=drop")
    _forget(node)
    _do_not_meet(node, plain, "a flow that drops ICMP does not stop it")
    node.check(f"ovs-ofctl del-flows {plain.name} icmp")
    _forget(node)
    _meet(node, plain, "the flow was removed, and still drops")


def _packets(node: SmokeNode, switch: Switch) -> dict[str, int]:
    """Return what was sent by learned flows, by destination address."""
    flows = node.check(f"ovs-ofctl dump-flows {switch.name} table={LEARNED}")
    found = re.findall(r"n_packets=(\d+).*?dl_dst=([0-9a-f:]{17})", flows)
    return {mac: int(count) for count, mac in found}


def test_learning_switch(node: SmokeNode, plain: Switch) -> None:
    """A switch made of learn() flows knows the hosts' addresses, and sends by what it learned."""
    name = plain.name
    node.check(
        f"ovs-ofctl del-flows {name} && "
        f"ovs-ofctl add-flow {name} 'table=0,priority=1,actions=learn(table={LEARNED},"
        "hard_timeout=300,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[]),"
        f"resubmit(,{LEARNED})' && "
        f"ovs-ofctl add-flow {name} 'table={LEARNED},priority=0,actions=flood'",
        why="the switch takes no learn() flows",
    )
    _forget(node)
    _meet(node, plain, "the learning switch does not forward")
    before = _packets(node, plain)
    for host in plain.hosts:
        assert host.mac in before, (
            f"{host.mac} was not learned, the table has {before or 'nothing'}"
        )
    _meet(node, plain, "the learning switch does not forward")
    # The datapath's counts come to the flows with Open vSwitch's next look at them, twice a second.
    counted = (
        f"ovs-ofctl dump-flows {name} table={LEARNED} | grep dl_dst={host.mac} "
        f"| grep -qv n_packets={before[host.mac]},"
        for host in plain.hosts
    )
    until(node, " && ".join(counted), 8)
    after = _packets(node, plain)
    for host in plain.hosts:
        assert after[host.mac] > before[host.mac], (
            f"a ping went through, and the learned flow to {host.mac} has not counted it: "
            f"{before[host.mac]} packets before, {after[host.mac]} after"
        )


def test_vlan(node: SmokeNode, plain: Switch, undo: Undo) -> None:
    """Ports with different VLAN tags do not reach one another, ports with the same do."""
    first, second = (host.port for host in plain.hosts)
    undo(f"{VSCTL} clear port {first} tag -- clear port {second} tag")
    node.check(f"{VSCTL} set port {first} tag=110 -- set port {second} tag=120")
    _do_not_meet(node, plain, "VLAN 110 and 120 are not separated")
    node.check(f"{VSCTL} set port {second} tag=110")
    _meet(node, plain, "two ports of one VLAN are separated")


def test_qos(node: SmokeNode, plain: Switch, undo: Undo) -> None:
    """A rate limit of the database becomes a queue of the kernel."""
    port = plain.hosts[0].port
    undo(
        f"qos=$({VSCTL} get port {port} qos); [ ${{#qos}} -lt 36 ] || {{"
        f" queue=$({VSCTL} get qos $qos queues:1) && {VSCTL} clear port {port} qos"
        " -- destroy qos $qos -- destroy queue $queue; }"
    )
    node.check(
        f"{VSCTL} set port {port} qos=@limit -- --id=@limit create qos type=linux-htb "
        "other-config:max-rate=10000000 queues:1=@slow -- --id=@slow create queue "
        "other-config:max-rate=1000000",
        why="the switch takes no QoS",
    )
    shown = node.check(f"ovs-appctl -t ovs-vswitchd qos/show {port}", why="no QoS on the port")
    assert "linux-htb" in shown, (
        f"the port has another QoS than linux-htb (module sch_htb?):\n{shown}"
    )
    queues = node.check(f"tc class show dev {port}", why="the kernel's queues cannot be shown")
    assert "rate 1Mbit" in queues or "ceil 1Mbit" in queues, (
        f"1 Mbit/s was set, and the kernel has no such queue (module sch_htb?):\n"
        f"{queues or '(none)'}\n{shown}"
    )


def test_lacp(node: SmokeNode, plain: Switch, undo: Undo) -> None:
    """A bond of two ports negotiates by LACP with a bond of another bridge."""
    name = unique()
    pairs = [(f"{name}a{number}", f"{name}z{number}") for number in (0, 1)]
    undo("; ".join(f"ip link del {pair[0]} 2>/dev/null" for pair in pairs) + "; true")
    undo(f"{VSCTL} --if-exists del-port {name}a -- --if-exists del-br {name}", timeout=90)
    links = "\n".join(
        f"ip link add {here} type veth peer name {there} && "
        f"ip link set {here} up && ip link set {there} up || exit 1"
        for here, there in pairs
    )
    fast = "lacp=active other_config:lacp-time=fast"
    node.check(
        f"{links}\n{VSCTL} add-br {name} "
        f"-- add-bond {plain.name} {name}a {pairs[0][0]} {pairs[1][0]} {fast} "
        f"-- add-bond {name} {name}z {pairs[0][1]} {pairs[1][1]} {fast}",
        timeout=90,
        why="no bond with LACP can be made",
    )
    shown = node.run(
        f"""turns=0
        while [ $turns -lt 30 ]; do
            shown=$(ovs-appctl -t ovs-vswitchd lacp/show {name}a)
            case $shown in *negotiated*) echo "$shown"; exit 0 ;; esac
            sleep 1
            turns=$((turns + 1))
        done
        echo "$shown"
        exit 1""",
        timeout=60,
    )
    assert shown.ok, f"the bond does not negotiate:\n{shown.output}"


def test_controller(node: SmokeNode, plain: Switch, undo: Undo) -> None:
    """A secure switch forwards what its controller says, and nothing without it."""
    name, controller = plain.name, LearningController()
    undo(f"{VSCTL} del-controller {name} -- del-fail-mode {name}")
    node.check(
        f"{VSCTL} set-fail-mode {name} secure -- set bridge {name} protocols=OpenFlow10 "
        f"other_config:disable-in-band=true && ovs-ofctl del-flows {name}"
    )
    _do_not_meet(node, plain, "fail mode secure, and traffic passes without a controller")
    port = node.listen(controller.serve)
    node.check(f"{VSCTL} set-controller {name} tcp:127.0.0.1:{port}")
    connected = controller.connected.wait(30)
    state = node.run(f"{VSCTL} --columns=is_connected,status list controller {name}").output
    assert connected, f"the switch did not come to its controller within 30 s:\n{state}"
    # Open vSwitch does not look at dropped packets again when a controller connects, as long as
    # they go on coming.
    _forget(node)
    _meet(node, plain, "the switch does not do what its controller says")
    assert controller.packets_in > 0, "traffic passes, and the controller was not asked"
    flows = node.check(f"ovs-ofctl dump-flows {name}")
    assert controller.flows > 0, f"the controller has learned nothing:\n{flows}"
    assert "cookie=0x796f63746f" in flows, f"the controller's flows are not on the switch:\n{flows}"
    node.check(f"{VSCTL} del-controller {name} && ovs-ofctl del-flows {name}")
    _do_not_meet(node, plain, "the controller is gone, and traffic still passes")
