"""Suite spice: QEMU serves a display by SPICE, to who has the ticket."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import pytest

from yoctovirt.smoke.checked import SmokeNode
from yoctovirt.smoke.cleanup import Undo
from yoctovirt.smoke.suites.aids.spice import OK, PERMISSION_DENIED, connect

pytestmark = pytest.mark.usefixtures("started")

COMMANDS = ("qemu-system-x86_64", "qemu-system-aarch64", "/usr/libexec/qemu-kvm")
DIAGNOSTICS = ("qemu-system-x86_64 --version", "ls /usr/lib/*/qemu/*spice*")

_QEMU = """
for qemu in qemu-system-x86_64 qemu-system-aarch64 /usr/libexec/qemu-kvm; do
    command -v $qemu && exit 0
done
exit 127
"""


@dataclass(frozen=True)
class Display:
    """A QEMU of ours that serves SPICE at *socket*; files with the right and a wrong ticket."""

    socket: str
    right: str
    wrong: str


@pytest.fixture(scope="module")
def display(node: SmokeNode, module_undo: Undo) -> Display:
    """Start a QEMU without a guest, with a SPICE server that wants a ticket."""
    folder = f"/run/yoctovirt-{secrets.token_hex(4)}"
    module_undo(
        f"[ ! -s {folder}/pid ] || {{ kill -9 $(cat {folder}/pid) 2>/dev/null || true; }}\n"
        f"rm -rf {folder}"
    )
    node.check(f"mkdir -m 700 {folder}")
    display = Display(f"{folder}/spice", f"{folder}/right", f"{folder}/wrong")
    for path in (display.right, display.wrong):
        node.put(secrets.token_hex(8).encode(), path, 0o600)
    qemu = node.check(_QEMU, why="there is no QEMU on the node").strip()
    done = node.run(
        f"{qemu} -machine none -nodefaults -display none -daemonize -pidfile {folder}/pid "
        f"-object secret,id=ticket,file={display.right} "
        f"-spice unix=on,addr={display.socket},password-secret=ticket 2>&1",
        60,
    )
    assert done.ok, f"QEMU does not serve SPICE: {done.output.strip()[-600:] or '(no output)'}"
    return display


def test_handshake(node: SmokeNode, display: Display) -> None:
    """The server answers a client's link with SPICE's magic, version 2, and no error."""
    link = connect(node, display.socket, display.right)
    assert link.magic == "REDQ", f"a SPICE server answers with REDQ, came: {link.said}"
    assert link.version.startswith("2."), f"the version should be 2, came: {link.said}"
    assert link.link == OK, f"the link should be answered with {OK}, came: {link.said}"


def test_ticket(node: SmokeNode, display: Display) -> None:
    """With the right ticket the main channel opens, and begins a session."""
    link = connect(node, display.socket, display.right)
    assert link.ticket == OK, f"the right ticket should be answered with {OK}, came: {link.said}"
    assert link.session > 0, f"the main channel should begin with a session, came: {link.said}"


def test_wrong_ticket(node: SmokeNode, display: Display) -> None:
    """With a wrong ticket it does not."""
    link = connect(node, display.socket, display.wrong)
    assert link.ticket == PERMISSION_DENIED, (
        f"a wrong ticket should be answered with {PERMISSION_DENIED}, came: {link.said}"
    )
