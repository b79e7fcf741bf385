"""Suite nova, with two compute nodes: a server moves from one to the other, running or not."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

import pytest

from yoctovirt.smoke.checked import SmokeNode
from yoctovirt.smoke.cleanup import Undo
from yoctovirt.smoke.suites.aids.nova import (
    VERSION,
    Server,
    compute_hosts,
    make_flavor,
    open_rest,
    start_server,
    upload_guest,
)

pytestmark = pytest.mark.usefixtures("started")

#: Seconds until a server has moved: its disk and, where it runs, its memory are copied.
MOVED = 180.0
_VIRSH = "virsh -q -c qemu:///system"


@dataclass(frozen=True)
class Traveller:
    """A server, and the compute nodes of the run by nova's names."""

    server: Server
    hosts: dict[str, SmokeNode]

    def where(self) -> tuple[str, str]:
        """Return the host that it is on, and another one."""
        here = self.server.wait_for("ACTIVE")["OS-EXT-SRV-ATTR:host"]
        return here, next(host for host in self.hosts if host != here)

    def arrive(self, target: str, state: str) -> None:
        """Wait until it is on *target* in *state*; fail with what its migration came to."""

        def look() -> str:
            shown = self.server.show()
            here, now = shown["OS-EXT-SRV-ATTR:host"], shown["status"]
            if (here, now) == (target, state) and not shown.get("OS-EXT-STS:task_state"):
                return ""
            moves = self.server.rest.get(
                "compute", f"/os-migrations?instance_uuid={self.server.id}", VERSION
            )["migrations"]
            newest = max(moves, key=lambda one: str(one["created_at"]), default={"status": "none"})
            said = f"{now} on {here}, its migration to {target}: {newest['status']}"
            if newest["status"] in ("error", "failed", "cancelled") or now == "ERROR":
                why = self.server.trouble() or self.logged() or "nova gives no reason"
                raise AssertionError(f"the server is {said} ({why})")
            return said

        said = self.server.rest.until(look, MOVED)
        assert not said, f"the server is still {said}"

    def logged(self) -> str:
        """Return the last errors that a compute node's log has of it.

        Nova keeps no other reason of a live migration that libvirt gave up.
        """
        mark = f"[instance: {self.server.id}] "
        for host, node in self.hosts.items():
            found = node.run(
                f"{{ cat /var/log/nova/*.log || journalctl -q -o cat -u 'nova-compute*'; }} "
                f"2>/dev/null | grep ERROR | grep -F {shlex.quote(mark)} | tail -n 2"
            ).output
            said = [line.partition(mark)[2].strip()[:400] for line in found.splitlines()]
            if said:
                return f"{host}: {'; '.join(said)}"
        return ""

    def only_on(self, target: str) -> None:
        """Fail unless libvirt runs it on *target*, and knows it nowhere else."""
        state = self.hosts[target].run(f"{_VIRSH} domstate {self.server.id}").output.strip()
        assert state == "running", f"the server is on {target}, for libvirt there it is: {state}"
        for host, node in self.hosts.items():
            known = node.check(f"{_VIRSH} list --all --uuid").split()
            assert host == target or self.server.id not in known, (
                f"the server went to {target}, and libvirt on {host} still has its domain"
            )


@pytest.fixture(scope="module")
def traveller(node: SmokeNode, nodes: dict[str, SmokeNode], module_undo: Undo) -> Traveller:
    """Start a server without a network on the first compute node."""
    rest = open_rest(node, module_undo)
    hosts = compute_hosts(rest, nodes)
    images, flavor = upload_guest(rest, module_undo), make_flavor(rest, module_undo)
    server = start_server(rest, module_undo, images, flavor, host=min(hosts), networks="none")
    return Traveller(server, hosts)


@pytest.mark.deadline(700)
@pytest.mark.nodes(2, promise="nova-compute")
def test_live_migration(traveller: Traveller) -> None:
    """A running server moves to another compute node, and its guest goes on as if nothing was."""
    server = traveller.server
    server.hear("ready")
    boot = server.hear("up").split()[0]
    _, target = traveller.where()
    server.act("os-migrateLive", {"host": target, "block_migration": "auto"})
    traveller.arrive(target, "ACTIVE")
    traveller.only_on(target)
    came = server.hear("alive")
    # It goes on there: a guest that stands still, or a console that came with it, says no more.
    went = server.hear("alive", but=came, why="it moved, and its guest does not go on")
    now = {came.split()[0], went.split()[0]}
    assert now == {boot}, f"the guest of boot {boot} moved, and it is now that of {now}"


@pytest.mark.deadline(700)
@pytest.mark.nodes(2, promise="nova-compute")
def test_cold_migration(traveller: Traveller) -> None:
    """A server is shut down, moves to another compute node with its disk, and boots there."""
    server = traveller.server
    boot = server.hear("alive").split()[0]
    _, target = traveller.where()
    server.act("migrate", {"host": target})
    traveller.arrive(target, "VERIFY_RESIZE")
    server.act("confirmResize")
    traveller.arrive(target, "ACTIVE")
    traveller.only_on(target)
    came, _, disk = server.hear("up").partition(" ")
    assert came != boot, f"the server was moved, and the guest was not started anew: {came}"
    assert disk == "kept", f"the server moved, and its disk is: {disk}"
