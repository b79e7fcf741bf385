"""Which suites there are, which promise asks for which, and by what a promise is seen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from yoctovirt.base.suggest import did_you_mean
from yoctovirt.errors import UsageError

SUITES_DIR = Path(__file__).with_name("suites")

#: Promise -> commands of which at least one must be on the node. What a role may promise
#: is what stands here; a promise with a suite of its name is also put to the test.
PROMISE_COMMANDS: dict[str, tuple[str, ...]] = {
    "docker": ("docker",),
    "podman": ("podman",),
    "containerd": ("containerd",),
    "lxc": ("lxc-start",),
    "libvirt": ("virsh",),
    "qemu": ("qemu-system-x86_64", "qemu-system-aarch64"),
    "openvswitch": ("ovs-vsctl",),
    "criu": ("criu",),
    "irqbalance": ("irqbalance",),
    "xen": ("xl",),
    "keystone": ("keystone-manage",),
    "glance": ("glance-api",),
    "placement": ("placement-manage",),
    "nova-api": ("nova-api",),
    "nova-compute": ("nova-compute",),
    "neutron-server": ("neutron-server",),
    "neutron-dhcp-agent": ("neutron-dhcp-agent",),
    "neutron-metadata-agent": ("neutron-metadata-agent",),
    "neutron-linuxbridge-agent": ("neutron-linuxbridge-agent",),
    "neutron-openvswitch-agent": ("neutron-openvswitch-agent",),
    "neutron-l3-agent": ("neutron-l3-agent",),
    "openstack-client": ("openstack", "nova"),
    "apache": ("httpd", "apache2"),
    "cinder": ("cinder-api",),
    "swift": ("swift-proxy-server",),
    "ceilometer": ("ceilometer-agent-notification",),
    "heat": ("heat-api", "heat-engine"),
    "horizon": ("httpd", "apache2"),  # served by Apache; the suite will ask the pages
    "rabbitmq": ("rabbitmqctl",),
    "postgresql": ("psql",),
    "memcached": ("memcached",),
    "docker-compose": ("docker-compose", "/usr/lib/docker/cli-plugins/docker-compose"),
    "k3s": ("k3s",),
    "openldap": ("slapd", "/usr/libexec/slapd"),
    "ceph": ("ceph",),
}


#: Checks that compare SSH with the serial console: not for a host that has none.
SERIAL_CHECKS = ("base::serial_and_ssh_agree",)


@dataclass(frozen=True)
class Suite:
    """A pytest module of checks."""

    name: str
    path: Path

    @property
    def always(self) -> bool:
        """Whether it is for every node, whatever the role promises."""
        return self.name == "base"


def all_suites() -> dict[str, Suite]:
    """Return the suites of the package by name."""
    found = {}
    for path in sorted(SUITES_DIR.glob("test_*.py")):
        name = path.stem.removeprefix("test_").replace("_", "-")
        found[name] = Suite(name, path)
    return found


def check_promises(promises: Iterable[str], where: str) -> None:
    """Raise UsageError for a promise that nothing here can see kept."""
    for promise in promises:
        if promise not in PROMISE_COMMANDS:
            raise UsageError(
                f"{where} promises {promise!r}, which yoctovirt does not know",
                did_you_mean(promise, PROMISE_COMMANDS),
            )


def choose_suites(
    promises: Iterable[str], only: Iterable[str] = (), without: Iterable[str] = ()
) -> tuple[list[Suite], list[tuple[str, str]]]:
    """Return the suites to run, and those that are not run with the reason.

    *only* and *without* are the user's choice. Raises UsageError for an unknown name.
    """
    suites = all_suites()
    promised, only, without = set(promises), set(only), set(without)
    for name in sorted(only | without):
        if name not in suites:
            raise UsageError(f"there is no smoke suite {name!r}", did_you_mean(name, suites))
    chosen, left = [], []
    for name, suite in suites.items():
        if name in without:
            left.append((name, "left out with --not"))
        elif only and name not in only:
            left.append((name, "not chosen with --suite"))
        elif name in only or suite.always or name in promised:
            chosen.append(suite)
        else:
            left.append((name, "the role does not promise it"))
    return chosen, left
