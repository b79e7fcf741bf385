"""Features of the kernel that virtualization asks for, each with a script that really uses it.

A script runs on the node with ``set -e``, ends with a status other than 0 and a word where the
feature is missing, and removes what it made.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Feature:
    """A feature, why it is wanted, how it is configured, how it is tried."""

    meaning: str
    promises: frozenset[str]  #: those that ask for it
    options: tuple[str, ...]  #: without CONFIG_
    script: str


_CONTAINERS = frozenset({"docker", "podman", "containerd", "lxc", "k3s"})
_VMS = frozenset({"qemu", "libvirt", "nova-compute"})
_SWITCHES = frozenset({"openvswitch", "neutron-openvswitch-agent", "neutron-linuxbridge-agent",
                       "neutron-dhcp-agent", "neutron-l3-agent"})  # fmt: skip

#: A network namespace, and $in_space that runs a command there; all goes when the script ends.
#: Without the commands of iproute2: the ip of BusyBox knows neither "netns" nor "-n".
_SPACE = """
unshare -n sleep 600 >/dev/null 2>&1 </dev/null &
space=$!
trap 'kill $space 2>/dev/null || true; ip link del dev yv$$ 2>/dev/null || true' EXIT
tries=0
while [ "$(readlink /proc/$space/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do
    tries=$((tries + 1))
    [ $tries -lt 100 ] || { echo "a process stays in the network namespace of all"; exit 1; }
    sleep 0.1 2>/dev/null || sleep 1
done
in_space="nsenter -t $space -n"
"""

FEATURES: dict[str, Feature] = {
    "namespaces": Feature(
        "processes of their own IDs, mounts, network, names",
        _CONTAINERS,
        ("NAMESPACES", "PID_NS", "NET_NS", "IPC_NS", "UTS_NS", "USER_NS"),
        """
for kind in cgroup ipc mnt net pid user uts; do
    [ -e /proc/self/ns/$kind ] || { echo "no namespace of kind $kind"; exit 1; }
done
said=$(unshare --fork --pid --mount --net --ipc --uts sh -c 'hostname yv; echo $$ $(hostname)')
[ "$said" = "1 yv" ] ||
    { echo "the first process of new namespaces has PID and host name: $said"; exit 1; }
[ "$(hostname)" != yv ] || { echo "a name set in a namespace is the node's now"; exit 1; }
""",
    ),
    "user_namespaces": Feature(
        "unprivileged containers",
        frozenset({"podman", "lxc"}),
        ("USER_NS",),
        """
limit=$(cat /proc/sys/user/max_user_namespaces)
[ "$limit" -gt 0 ] || { echo "user.max_user_namespaces is $limit"; exit 1; }
said=$(unshare --user --map-root-user sh -c 'cat /proc/self/uid_map')
[ -n "$said" ] || { echo "a user namespace has no map"; exit 1; }
""",
    ),
    "cgroups": Feature(
        "limits of memory, CPU, processes and devices",
        _CONTAINERS | _VMS,
        (
            "CGROUPS",
            "MEMCG",
            "CGROUP_SCHED",
            "CPUSETS",
            "CGROUP_PIDS",
            "CGROUP_DEVICE",
            "CGROUP_FREEZER",
            "CGROUP_BPF",
        ),
        """
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    for name in cpu cpuset memory pids; do
        grep -qw $name /sys/fs/cgroup/cgroup.controllers ||
            { echo "cgroup v2 has no controller $name"; exit 1; }
    done
    group=/sys/fs/cgroup/yv-$$
else
    for name in cpu cpuset memory pids devices freezer; do
        grep -q "^$name\\s.*\\s1$" /proc/cgroups ||
            { echo "cgroup v1 has no controller $name"; cat /proc/cgroups; exit 1; }
        [ -d /sys/fs/cgroup/$name ] ||
            { echo "the cgroup controller $name is not mounted below /sys/fs/cgroup"; exit 1; }
    done
    group=/sys/fs/cgroup/pids/yv-$$
fi
trap 'rmdir $group' EXIT
mkdir $group
sh -c "echo \\$\\$ >$group/cgroup.procs && grep -q yv-$$ /proc/self/cgroup" ||
    { echo "a process cannot be put into a cgroup"; exit 1; }
""",
    ),
    "overlayfs": Feature(
        "layers of images",
        frozenset({"docker", "podman", "containerd", "k3s"}),
        ("OVERLAY_FS",),
        """
work=$(mktemp -d /var/tmp/yv-XXXXXX)
trap 'umount $work/all 2>/dev/null || true; rm -rf $work' EXIT
mkdir $work/low $work/up $work/work $work/all
echo low >$work/low/file
mount -t overlay overlay -o lowerdir=$work/low,upperdir=$work/up,workdir=$work/work $work/all
echo up >$work/all/file
[ "$(cat $work/low/file) $(cat $work/up/file)" = "low up" ] ||
    { echo "what was written went to the wrong layer"; exit 1; }
""",
    ),
    "veth": Feature(
        "a container's or namespace's network cable",
        _CONTAINERS | _SWITCHES,
        ("VETH", "NET_NS"),
        _SPACE
        + """
ip link add name yv$$ type veth
other=$(cat /sys/class/net/yv$$/iflink)
for end in /sys/class/net/*; do [ "$(cat $end/ifindex)" != "$other" ] || other=${end##*/}; done
ip addr add 10.214.0.1/30 dev yv$$ && ip link set dev yv$$ up
ip link set dev $other netns $space
$in_space ip addr add 10.214.0.2/30 dev $other && $in_space ip link set dev $other up
$in_space ping -c 1 -W 5 10.214.0.1 >/dev/null ||
    { echo "nothing goes through a veth pair"; exit 1; }
""",
    ),
    "bridge": Feature(
        "the switch of containers and guests",
        _CONTAINERS | _VMS,
        ("BRIDGE",),
        _SPACE
        + """
$in_space ip link add name br0 type bridge
$in_space ip link set dev br0 up
$in_space ip link show dev br0 | grep -q UP
""",
    ),
    "netfilter": Feature(
        "NAT and filters of containers' and guests' networks",
        _CONTAINERS | _VMS | _SWITCHES,
        (
            "NF_TABLES",
            "NFT_COMPAT",
            "IP_NF_IPTABLES",
            "IP_NF_NAT",
            "NF_NAT",
            "IP_NF_FILTER",
            "NETFILTER_XT_MATCH_CONNTRACK",
            "NETFILTER_XT_TARGET_MASQUERADE",
        ),
        _SPACE
        + """
$in_space iptables -t nat -A POSTROUTING -s 10.214.0.0/24 -j MASQUERADE
$in_space iptables -A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT
$in_space iptables -t nat -S | grep -q 10.214.0.0/24 ||
    { echo "a rule was added and is not listed"; exit 1; }
""",
    ),
    "tun": Feature(
        "the network card of guests",
        _VMS | frozenset({"openvswitch"}),
        ("TUN",),
        """
trap 'ip link del yvtap$$ 2>/dev/null || true' EXIT
[ -c /dev/net/tun ] || { echo "no /dev/net/tun"; exit 1; }
ip tuntap add dev yvtap$$ mode tap
ip link set yvtap$$ up
""",
    ),
    "vhost_net": Feature(
        "the fast way of a guest's packets",
        _VMS,
        ("VHOST_NET",),
        """
[ -c /dev/vhost-net ] || modprobe vhost_net
{ [ -c /dev/vhost-net ] && (: <>/dev/vhost-net); } ||
    { echo "/dev/vhost-net cannot be opened"; exit 1; }
""",
    ),
    "vxlan": Feature(
        "tunnels between nodes",
        _SWITCHES,
        ("VXLAN",),
        _SPACE
        + """
$in_space ip link add name vx0 type vxlan id 7 dstport 4789 local 127.0.0.1
""",
    ),
}


def features_for(promises: Iterable[str]) -> list[str]:
    """Return the names of the features that *promises* ask for."""
    given = set(promises)
    return [name for name, feature in FEATURES.items() if feature.promises & given]
