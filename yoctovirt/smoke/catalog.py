"""Which suites there are, which promise asks for which, and by what a promise is seen."""

from __future__ import annotations

import os
from collections.abc import Iterable
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

from yoctovirt.base.suggest import did_you_mean
from yoctovirt.errors import UsageError
from yoctovirt.smoke.suitefile import Suite, read_suites
from yoctovirt.smoke.unavailable import why_unavailable

SUITES_DIR = Path(__file__).with_name("suites")

#: Folders with suites of the user, as in PATH.
SUITES_VARIABLE = "YOCTOVIRT_SUITES"
#: Group of the entry points by which a package offers suites: a module, or a package of them.
ENTRY_POINTS = "yoctovirt.suites"

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
    "horizon": ("httpd", "apache2"),  # served by Apache; the suite asks the pages
    "rabbitmq": ("rabbitmqctl",),
    "postgresql": ("psql",),
    "memcached": ("memcached",),
    "docker-compose": ("docker-compose", "/usr/lib/docker/cli-plugins/docker-compose"),
    "k3s": ("k3s",),
    "openldap": ("slapd", "/usr/libexec/slapd"),
    "keystone-ldap": ("keystone-manage",),  # keystone takes users of a directory (suite openldap)
    "ceph": ("ceph",),
}


#: Checks that compare SSH with the serial console: not for a host that has none.
SERIAL_CHECKS = ("base::serial_and_ssh_agree",)
#: Checks that compare the node with its image.
IMAGE_CHECKS = ("system::kernel_as_built", "system::packages_as_built")


def suite_folders(workspace: Path | None) -> list[Path]:
    """Return the folders in which a user has suites: ``smoke`` of the workspace, and those named.

    Raises UsageError for one that is named and is not there.
    """
    named = [Path(name) for name in os.environ.get(SUITES_VARIABLE, "").split(os.pathsep) if name]
    for folder in named:
        if not folder.is_dir():
            raise UsageError(
                f"there is no folder {folder} for smoke suites",
                f"--suites and {SUITES_VARIABLE} name folders with test_<suite>.py",
            )
    own = workspace / "smoke" if workspace else None
    return [*([own] if own and own.is_dir() else []), *(folder.absolute() for folder in named)]


def _packaged_modules() -> list[Path]:
    """Return the modules of suites that installed packages offer as entry points."""
    found = []
    for entry in entry_points(group=ENTRY_POINTS):
        try:
            spec = find_spec(entry.value)
        except ImportError:
            spec = None
        if spec is None:
            raise UsageError(
                f"the smoke suite {entry.name!r} of an installed package cannot be found: "
                f"no module {entry.value}",
                "install that package again, or uninstall it",
            )
        if spec.submodule_search_locations:
            for folder in spec.submodule_search_locations:
                found += sorted(Path(folder).glob("test_*.py"))
        elif spec.origin:
            found.append(Path(spec.origin))
    return found


def all_suites(workspace: Path | None = None) -> dict[str, Suite]:
    """Return all suites by name: ours, those of installed packages, those of the user.

    Raises UsageError for a module that is no suite, and for two suites of one name.
    """
    modules = [*SUITES_DIR.glob("test_*.py"), *_packaged_modules()]
    for folder in suite_folders(workspace):
        modules += folder.glob("test_*.py")
    return read_suites(dict.fromkeys(modules))


def promise_commands(workspace: Path | None = None) -> dict[str, tuple[str, ...]]:
    """Return each promise that is known with the commands of which one must be on the node."""
    known = {
        promise: suite.commands
        for suite in all_suites(workspace).values()
        for promise in suite.promises
        if not suite.always
    }
    return {**known, **PROMISE_COMMANDS}


def check_promises(promises: Iterable[str], where: str, workspace: Path | None = None) -> None:
    """Raise UsageError for a promise that nothing here can see kept."""
    known: dict[str, tuple[str, ...]] = PROMISE_COMMANDS
    for promise in promises:
        if promise not in known:
            known = promise_commands(workspace)
        if promise not in known:
            if why := why_unavailable(promise):
                raise UsageError(
                    f"{where} promises {promise!r}, which is not available: {why}",
                    "leave that promise out",
                )
            raise UsageError(
                f"{where} promises {promise!r}, which yoctovirt does not know",
                did_you_mean(promise, known),
            )


def choose_suites(
    promises: Iterable[str],
    only: Iterable[str] = (),
    without: Iterable[str] = (),
    checks: Iterable[str] = (),
    workspace: Path | None = None,
) -> tuple[list[Suite], list[tuple[str, str]]]:
    """Return the suites to run, and those that are not run with the reason.

    *only*, *without* and *checks* (``suite::check``) are the user's choice. Raises UsageError
    for an unknown name.
    """
    suites = all_suites(workspace)
    promised, only, without = set(promises), set(only), set(without)
    for name in sorted(only | without):
        if name not in suites:
            if why := why_unavailable(name):
                raise UsageError(
                    f"the smoke suite {name!r} is not available: {why}",
                    "'yoctovirt smoke --list' shows the suites that there are",
                )
            raise UsageError(f"there is no smoke suite {name!r}", did_you_mean(name, suites))
    wanted = {_suite_of_check(check, suites) for check in checks}
    chosen, left = [], []
    for name, suite in suites.items():
        if name in without:
            left.append((name, "left out with --not"))
        elif only and name not in only:
            left.append((name, "not chosen with --suite"))
        elif wanted and name not in wanted:
            left.append((name, "not chosen with --check"))
        elif name in only | wanted or suite.always or promised & set(suite.promises):
            chosen.append(suite)
        else:
            left.append((name, "the role does not promise it"))
    return chosen, left


def _suite_of_check(check: str, suites: dict[str, Suite]) -> str:
    known = {known.id: suite.name for suite in suites.values() for known in suite.checks}
    identity = check.partition("[")[0]
    if identity not in known:
        raise UsageError(f"there is no check {check!r}", did_you_mean(identity, known))
    return known[identity]
