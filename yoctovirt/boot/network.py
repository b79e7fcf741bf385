"""The private network of nodes that are booted together, and what each node is in it.

Each node has two network interfaces: the first is QEMU's user network (slirp), over which the
host reaches it by SSH; the second is the link between the nodes. That is a multicast group on
the loopback of the host (QEMU's ``-netdev socket,mcast=``, the one kind that joins any number
of nodes, needs no root and is in QEMU 6.2), or a tap device a node.
"""

from __future__ import annotations

import re
import shlex
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from yoctovirt.boot.qemuargs import mac_address
from yoctovirt.doctor.boot import TUN
from yoctovirt.errors import InfrastructureError, UsageError

#: Where QEMU's tap devices have 192.168.7.1, .3, … on the host, their guests have .2, .4, …
#: (OE-core, scripts/runqemu-ifup). We give only such addresses, whatever joins the nodes.
PREFIX = "192.168.7"
PREFIX_LENGTH = 24
#: Last byte of the addresses that images have in their configuration: MY_IP of the OpenStack
#: images (meta-openstack's hosts.bbclass, and kas/inc/openstack.yml for the network node).
ROLE_BYTES = {"controller": 2, "aio": 2, "compute": 4, "network": 6}
#: Id of the link's netdev; ``net0`` is the user network.
NETDEV = "net1"


@dataclass(frozen=True)
class Member:
    """A node in the private network."""

    name: str
    address: str  #: IPv4, without prefix length
    mac: str

    @property
    def tap(self) -> str:
        """Name of the tap device whose guest has this address, as runqemu numbers them."""
        return f"tap{int(self.address.rpartition('.')[2]) // 2 - 1}"


def plan_members(nodes: Sequence[tuple[str, str | None]]) -> list[Member]:
    """Return the members for *nodes*, pairs of name and role, in their order.

    The first node of an OpenStack role has the address that its image expects; the others
    have the lowest even ones that are free and no role's own. MAC addresses depend on the
    names alone: a node has the same one after each restart. Raises UsageError where a name
    stands twice, or there are more nodes than addresses.
    """
    names = [name for name, _ in nodes]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"two nodes would be called {twice[0]}", "name each role once, or ROLE:N")
    taken: dict[int, str] = {}
    for name, role in nodes:
        wanted = ROLE_BYTES.get(role or "")
        if wanted is not None and wanted not in taken:
            taken[wanted] = name
    free = [byte for byte in range(2, 255, 2) if byte not in ROLE_BYTES.values()]
    room = len(free) + len(taken)
    owners = {name: byte for byte, name in taken.items()}
    members: list[Member] = []
    for name in names:
        if name not in owners:
            if not free:
                raise UsageError(
                    f"{len(names)} nodes do not fit into {PREFIX}.0/{PREFIX_LENGTH}",
                    f"boot at most {room} together",
                )
            owners[name] = free.pop(0)
        members.append(Member(name, f"{PREFIX}.{owners[name]}", _mac(name, members)))
    return members


def _mac(name: str, others: Iterable[Member]) -> str:
    """Return the MAC address of *name* on the link; another one where a node has it already."""
    used = {member.mac for member in others}
    turns = 0
    while (mac := mac_address(f"{name}#{turns}" if turns else name, 1)) in used:
        turns += 1
    return mac


class Segment:
    """A multicast group and UDP port of this host for one set of nodes.

    The port is one that the kernel gave to us: as long as our socket is open, in us or in the
    guard of a node, no other run gets it. Frames stay on the loopback, which other users of the
    host can listen to: it is a network for tests.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.bind(("127.0.0.1", 0))
        except OSError as error:
            self._socket.close()
            raise InfrastructureError(
                f"no UDP port of 127.0.0.1 for the nodes' network: {error.strerror}"
            ) from error
        self.port: int = self._socket.getsockname()[1]
        #: Of the block that RFC 2365 leaves to organizations; a group for each port.
        self.group = f"239.192.{self.port >> 8}.{self.port & 255}"

    def fileno(self) -> int:
        """Return the descriptor that reserves the port, to be handed to the guards."""
        return self._socket.fileno()

    def close(self) -> None:
        """Give the port back, where no guard holds it."""
        self._socket.close()

    def qemuparams(self, member: Member) -> str:
        """Return the QEMU arguments of *member*'s interface."""
        return _nic(f"socket,mcast={self.group}:{self.port},localaddr=127.0.0.1", member)


def tap_qemuparams(member: Member) -> str:
    """Return the QEMU arguments that join *member* by its tap device."""
    return _nic(f"tap,ifname={member.tap},script=no,downscript=no", member)


def _nic(backend: str, member: Member) -> str:
    kind, _, rest = backend.partition(",")
    return (
        f"-netdev {kind},id={NETDEV},{rest} -device virtio-net-pci,netdev={NETDEV},mac={member.mac}"
    )


def check_taps(
    members: Sequence[Member],
    *,
    net: Path = Path("/sys/class/net"),
    settings: Path = Path("/proc/sys/net/ipv4"),
    device: Path = TUN,
    ifup: Path | None = None,
) -> None:
    """Raise InfrastructureError unless each member has a tap device that is set up and free.

    The hint has the commands for root. *ifup* is the ``runqemu-ifup`` of the release, where the
    layers have one: it does the same for one device.
    """
    if not device.exists():
        raise InfrastructureError(
            f"--net tap: {device} is missing",
            "as root: modprobe tun; in a container: --device /dev/net/tun; or leave --net tap away",
        )
    wrong: list[str] = []
    for member in members:
        problem = _tap_problem(net / member.tap, settings)
        if problem:
            wrong.append(f"{member.tap} for {member.name} ({member.address}) {problem}")
    if wrong:
        tool = f"\n(runqemu-ifup of the layers sets up one at a time: {ifup})" if ifup else ""
        raise InfrastructureError(
            f"--net tap: {'; '.join(wrong)}",
            f"as root:\n{tap_commands(members)}{tool}\n"
            "or leave --net tap away: the nodes' network needs no root then",
        )


def _tap_problem(path: Path, settings: Path) -> str:
    """Return what is wrong with a tap device, '' where nothing is."""
    if not path.exists():
        return "does not exist"
    if not (path / "tun_flags").exists():
        return "is no tap device"
    if int((path / "flags").read_text(), 16) & 1 == 0:  # IFF_UP, linux/if.h
        return "is down"
    if (path / "carrier").read_text().strip() == "1":
        return "is in use by another program"
    proxy = settings / "conf" / path.name / "proxy_arp"
    if proxy.exists() and proxy.read_text().strip() != "1":
        return "has no proxy_arp, so nodes would not find one another"
    return ""


def tap_commands(members: Sequence[Member], user: str | None = None) -> str:
    """Return the commands that set up the tap devices of *members*, as runqemu-ifup does.

    Without its address translation: over the user network the nodes reach the world anyway.
    """
    import getpass

    owner = shlex.quote(user or getpass.getuser())
    lines = ["sysctl -w net.ipv4.ip_forward=1"]
    for member in members:
        tap, host = member.tap, int(member.address.rpartition(".")[2]) - 1
        lines += [
            f"ip tuntap add dev {tap} mode tap user {owner}",
            f"ip address add {PREFIX}.{host}/32 dev {tap}",
            f"ip link set {tap} up",
            f"ip route add {member.address}/32 dev {tap}",
            f"sysctl -w net.ipv4.conf.{tap}.proxy_arp=1",
        ]
    return "\n".join(f"  {line}" for line in lines)


#: Gives the interface with a MAC its address. A networkd that looks after all interfaces would
#: take it away again, so it is told; the image's own idea of the address (on lo, where it found
#: no free interface; or that of the first node of the role) goes.
_SET_UP = """\
dev=
for path in /sys/class/net/*; do
    [ "$(cat "$path/address" 2>/dev/null)" != {mac} ] || dev=${{path##*/}}
done
if [ -z "$dev" ]; then echo "no interface has the MAC address {mac}"; exit 1; fi
if [ -d /run/systemd/netif ]; then
    mkdir -p /run/systemd/network
    printf '[Match]\\nMACAddress={mac}\\n[Network]\\nAddress={address}/{length}\\n\
LinkLocalAddressing=no\\nIPv6AcceptRA=no\\n' > /run/systemd/network/05-yoctovirt.network
    networkctl reload 2>/dev/null
fi
ip address del {address}/32 dev lo 2>/dev/null
for old in $(ip -4 -o address show dev "$dev" | sed -n 's/.* inet \\([0-9./]*\\).*/\\1/p'); do
    [ "$old" = {address}/{length} ] || ip address del "$old" dev "$dev"
done
ip link set "$dev" up || exit 1
ip -4 -o address show dev "$dev" | grep -q ' {address}/{length} ' ||
    ip address add {address}/{length} dev "$dev" 2>/dev/null
ip -4 -o address show dev "$dev" | grep -q ' {address}/{length} ' || {{
    echo "{address} could not be given to $dev"; exit 1; }}
echo "$dev"
"""
_HOSTS_MARK = "# nodes booted together"


def set_up_script(member: Member) -> str:
    """Return the shell script that gives *member*'s interface its address and prints its name."""
    return _SET_UP.format(mac=member.mac, address=member.address, length=PREFIX_LENGTH)


def hosts_script(member: Member, members: Sequence[Member]) -> str:
    """Return the shell script that writes all *members* into /etc/hosts of *member*.

    Lines of an earlier run go. The node gets its own name, which nodes of one image need.
    """
    lines = "".join(f"{one.address} {one.name} {_HOSTS_MARK}\n" for one in members)
    return (
        f"new=$(grep -v '{_HOSTS_MARK}$' /etc/hosts 2>/dev/null); "
        f"{{ printf '%s\\n' \"$new\"; printf '%s' {shlex.quote(lines)}; }} > /etc/hosts && "
        f"echo {shlex.quote(member.name)} > /proc/sys/kernel/hostname"
    )


def parse_count(text: str) -> tuple[str, int]:
    """Return role and number of ``ROLE[:N]``; raise UsageError where N is no number from 1 on."""
    role, colon, count = text.partition(":")
    if colon and not re.fullmatch(r"[1-9]\d{0,2}", count):
        raise UsageError(
            f"{text!r}: {count!r} is no number of nodes", "write ROLE:N, such as compute:2"
        )
    return role, int(count) if colon else 1


def node_names(roles: Sequence[tuple[str, int]]) -> list[tuple[str, str]]:
    """Return name and role of each node for pairs of role and number.

    One node of a role is called by it, of several each has its number behind it.
    """
    return [
        (f"{role}-{number}" if count > 1 else role, role)
        for role, count in roles
        for number in range(1, count + 1)
    ]
