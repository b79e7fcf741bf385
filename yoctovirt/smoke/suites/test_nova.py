"""Suite nova: a server becomes ACTIVE, its guest lives, stops, restarts, and goes without trace."""

from __future__ import annotations

import pytest

from yoctovirt.smoke.checked import SmokeNode
from yoctovirt.smoke.cleanup import Undo
from yoctovirt.smoke.suites.aids.nova import (
    VERSION,
    Server,
    compute_hosts,
    make_flavor,
    new_name,
    open_rest,
    start_server,
    upload_guest,
)
from yoctovirt.smoke.suites.aids.rest import Rest

pytestmark = pytest.mark.usefixtures("started")

PROMISES = ("nova-api",)
UNITS = ("nova-api.service", "nova-scheduler.service", "nova-conductor.service",
         "nova-compute.service", "placement-api.service", "libvirtd.service")  # fmt: skip
DIAGNOSTICS = (
    "tail -n 60 /var/log/nova/*.log",
    "tail -n 20 /var/log/libvirt/qemu/instance-*.log",
)
_VIRSH = "virsh -q -c qemu:///system"


@pytest.fixture(scope="module")
def rest(node: SmokeNode, module_undo: Undo) -> Rest:
    """Return the services, as the administrator."""
    return open_rest(node, module_undo)


@pytest.fixture(scope="module")
def hosts(rest: Rest, nodes: dict[str, SmokeNode]) -> dict[str, SmokeNode]:
    """Return the compute nodes of the run, by nova's name for each."""
    return compute_hosts(rest, nodes)


@pytest.fixture(scope="module")
def servers(rest: Rest, hosts: dict[str, SmokeNode], module_undo: Undo) -> dict[str, Server]:
    """Ask for a server on each compute node, without a network; by the host's name."""
    images, flavor = upload_guest(rest, module_undo), make_flavor(rest, module_undo)
    return {
        host: start_server(rest, module_undo, images, flavor, host=host, networks="none")
        for host in hosts
    }


@pytest.fixture
def server(servers: dict[str, Server]) -> Server:
    """Return the server on the first compute node."""
    return next(iter(servers.values()))


def _domain(hosts: dict[str, SmokeNode], server: Server) -> str:
    """Return what libvirt on the server's compute node says of its state."""
    host = server.show()["OS-EXT-SRV-ATTR:host"]
    return hosts[host].run(f"{_VIRSH} domstate {server.id}").output.strip()


@pytest.mark.deadline(180)
def test_services(rest: Rest) -> None:
    """The scheduler and a conductor are up, and none of nova's services is down."""

    def look() -> str:
        services = rest.get("compute", "/os-services", VERSION)["services"]
        up = {one["binary"] for one in services if one["state"] == "up"}
        absent = [name for name in ("nova-scheduler", "nova-conductor") if name not in up]
        down = [f"{one['binary']} on {one['host']}" for one in services if one["state"] != "up"]
        said = [f"no {name} is up" for name in absent] + [f"{name} is down" for name in down]
        return ", ".join(said)

    said = rest.until(look, 90)
    assert not said, said


@pytest.mark.nodes(1, promise="nova-compute")
def test_hypervisors(rest: Rest, hosts: dict[str, SmokeNode]) -> None:
    """Each compute node of the run is a hypervisor that is up, enabled, and mapped to a cell."""
    found = rest.get("compute", "/os-hypervisors/detail", VERSION)["hypervisors"]
    states = {one["service"]["host"]: (one["state"], one["status"]) for one in found}
    wrong = {host: states.get(host, "unknown") for host in hosts}
    wrong = {host: state for host, state in wrong.items() if state != ("up", "enabled")}
    assert not wrong, f"hypervisors that take no servers: {wrong}"


def test_flavor(rest: Rest, undo: Undo) -> None:
    """A flavor is made, shown as it was asked for, and gone when it is deleted."""
    name = new_name()
    body = {"flavor": {"name": name, "ram": 128, "vcpus": 2, "disk": 3}}
    flavor = rest.post("compute", "/flavors", body, "no flavor can be made")["flavor"]
    path = f"/flavors/{flavor['id']}"
    undo(f". {rest.cloud.openrc}; {rest.line('DELETE', 'compute', path)} </dev/null")
    shown = rest.get("compute", path)["flavor"]
    came = (shown["name"], shown["ram"], shown["vcpus"], shown["disk"])
    assert came == (name, 128, 2, 3), f"asked for {name}, 128, 2, 3; nova has {came}"
    done = rest.call("DELETE", "compute", path)
    assert done.ok, f"the flavor cannot be deleted: {done.said}"
    left = rest.call("GET", "compute", path)
    assert left.status == 404, f"a deleted flavor should give 404, came {left.said}"


@pytest.mark.deadline(400)
@pytest.mark.nodes(1, promise="nova-compute")
def test_active(hosts: dict[str, SmokeNode], servers: dict[str, Server]) -> None:
    """A server becomes ACTIVE on each compute node, and libvirt there runs it."""
    for host, server in servers.items():
        shown = server.wait_for("ACTIVE")
        came = shown["OS-EXT-SRV-ATTR:host"]
        assert came == host, f"the server was asked for on {host}, it is on {came}"
        state = _domain(hosts, server)
        assert state == "running", f"the server is ACTIVE, for libvirt on {host} it is: {state}"


@pytest.mark.deadline(400)
@pytest.mark.nodes(1, promise="nova-compute")
def test_console(servers: dict[str, Server]) -> None:
    """The guest has started: its own word stands in the console log that nova shows."""
    for server in servers.values():
        server.hear("ready")


@pytest.mark.deadline(600)
@pytest.mark.nodes(1, promise="nova-compute")
def test_stop_and_start(hosts: dict[str, SmokeNode], server: Server) -> None:
    """A server that is stopped does not run any more; started again, its guest boots anew."""
    server.wait_for("ACTIVE")
    before = server.hear("up")
    server.act("os-stop")
    server.wait_for("SHUTOFF")
    state = _domain(hosts, server)
    assert state == "shut off", f"the server is SHUTOFF, for libvirt it is: {state}"
    server.act("os-start")
    server.wait_for("ACTIVE")
    came = server.hear("up", but=before)
    assert came.endswith(" kept"), f"the server was stopped, and its disk is now: {came}"


@pytest.mark.deadline(600)
@pytest.mark.nodes(1, promise="nova-compute")
def test_reboot(server: Server) -> None:
    """After a hard reboot the guest has booted anew."""
    server.wait_for("ACTIVE")
    before = server.hear("up")
    server.act("reboot", {"type": "HARD"})
    server.wait_for("ACTIVE")
    came = server.hear("up", but=before)
    assert came.endswith(" kept"), f"the server was rebooted, and its disk is now: {came}"


@pytest.mark.deadline(600)
@pytest.mark.nodes(1, promise="nova-compute")
def test_rebuild(server: Server) -> None:
    """A server that is rebuilt stays the one it is; its guest boots anew, from a new disk."""
    shown = server.wait_for("ACTIVE")
    before = server.hear("up")
    server.act("rebuild", {"imageRef": shown["image"]["id"]})
    now = server.wait_for("ACTIVE")
    where = "OS-EXT-SRV-ATTR:host"
    assert now[where] == shown[where], f"rebuilt, the server went to {now[where]}"
    came = server.hear("up", but=before)
    assert came.endswith(" new"), f"the server was rebuilt, and its disk is: {came}"


@pytest.mark.deadline(400)
@pytest.mark.nodes(1, promise="nova-compute")
def test_delete(rest: Rest, hosts: dict[str, SmokeNode], server: Server) -> None:
    """A deleted server leaves no domain, no files on its node, and no allocation."""
    host = server.wait_for("ACTIVE")["OS-EXT-SRV-ATTR:host"]
    path = f"/allocations/{server.id}"
    had = rest.get("placement", path)["allocations"]
    assert had, "an ACTIVE server has no allocation in placement"
    done = rest.call("DELETE", "compute", server.path, None, VERSION)
    assert done.ok, f"the server cannot be deleted: {done.said}"

    def look() -> str:
        answer = rest.call("GET", "compute", server.path, None, VERSION)
        return "" if answer.status == 404 else f"the server is still there: {answer.status}"

    said = rest.until(look, 120)
    assert not said, said
    domains = hosts[host].check(f"{_VIRSH} list --all --uuid").split()
    assert server.id not in domains, f"libvirt on {host} still has the domain {server.id}"
    files = hosts[host].run(f"ls -d /var/lib/nova/instances/{server.id} 2>/dev/null").output
    assert not files.strip(), f"files of the server are left on {host}: {files.strip()}"
    left = rest.get("placement", path)["allocations"]
    assert not left, f"the server is gone, and placement still has its allocation: {left}"
