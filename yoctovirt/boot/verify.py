"""Whether nodes that were booted together reach one another: by ping, and by a TCP transfer."""

from __future__ import annotations

import base64
import os
import re
import threading
import time
from collections.abc import Sequence
from typing import Any

from yoctovirt.boot.network import Member
from yoctovirt.boot.node import Node
from yoctovirt.errors import BootError

#: Bytes that go from node to node and come back.
TRANSFER_BYTES = 256 * 1024
#: Seconds, scaled: for an answer to a ping, and for a transfer with its key exchange.
PING_SECONDS, TRANSFER_SECONDS = 10.0, 30.0
_BOOT_ID = "cat /proc/sys/kernel/random/boot_id"


def verify_network(members: Sequence[Member], nodes: dict[str, Node]) -> list[dict[str, Any]]:
    """Let the nodes reach one another and return what was measured.

    Each node pings each other one; each transfers data to the next one and back, so that
    each is client once and server once. An entry has ``from``, ``to``, ``ping_ms``, and where
    there was a transfer ``transfer_bytes``, ``transfer_seconds``. Raises BootError where
    something does not come through, or somebody else answers.
    """
    rows: list[dict[str, Any]] = []
    for index, member in enumerate(members):
        for other in members:
            if other is member:
                continue
            row: dict[str, Any] = {"from": member.name, "to": other.name}
            row["ping_ms"] = _ping(nodes[member.name], other)
            if other is members[(index + 1) % len(members)]:
                row["transfer_bytes"] = 2 * TRANSFER_BYTES
                row["transfer_seconds"] = _transfer(nodes[member.name], other, nodes[other.name])
            rows.append(row)
    return rows


def _ping(node: Node, other: Member) -> float:
    """Return the round-trip time in ms."""
    # The first of several may be lost while the addresses are resolved.
    result = node.run(f"ping -c 3 -W 3 {other.address}", timeout=PING_SECONDS)
    times = re.findall(r"time=([\d.]+) ?ms", result.output)
    if not result.ok or not times:
        said = " / ".join(result.output.strip().splitlines()[-3:])
        raise BootError(
            f"node {node.name} does not reach {other.name} ({other.address}) by ping: {said}",
            "look at 'ip address' and 'iptables -L' on both nodes; boot with --detach "
            "--skip-network-check to keep them",
        )
    return min(float(text) for text in times)


def _transfer(node: Node, other: Member, target: Node) -> float:
    """Send data from *node* to *other* over TCP and back; return the seconds that it took.

    The connection is made by the sshd of *node* to that of *target*: it needs no program on the
    nodes. The host key, and the boot id (nodes of one image may share their key), prove that no
    other machine answers.
    """
    import paramiko

    data = os.urandom(TRANSFER_BYTES)
    boot_id = target.run(_BOOT_ID).output.encode()
    seconds = TRANSFER_SECONDS * node.state.timeout_scale
    what = f"no TCP transfer from {node.name} to {other.name} ({other.address})"
    if not node.ssh.alive:
        node.ssh.connect()
    try:
        channel = node.ssh.open_tcp(other.address, 22, seconds)
        transport = paramiko.Transport(channel)
        try:
            transport.banner_timeout = transport.auth_timeout = seconds
            algorithm, blob = target.address().host_key.split()[:2]
            transport.get_security_options().key_types = _key_types(algorithm)
            transport.start_client(timeout=seconds)
            if transport.get_remote_server_key().asbytes() != base64.b64decode(blob):
                raise _another(what, "its host key is not the node's")
            address = target.address()
            key = paramiko.PKey.from_path(str(address.key))
            transport.auth_publickey(address.user, key)
            start = time.monotonic()
            came = _echo(transport, data, seconds)
            took = time.monotonic() - start
        finally:
            transport.close()
    except (paramiko.SSHException, OSError, EOFError) as error:
        raise BootError(
            f"{what}: {type(error).__name__}: {error}",
            "does sshd of both nodes listen on all addresses, and forward connections "
            "(AllowTcpForwarding)?",
        ) from error
    if came[: len(boot_id)] != boot_id:
        raise _another(what, "its boot id is not the node's")
    if (came := came[len(boot_id) :]) != data:
        raise BootError(f"{what}: {len(data)} bytes went, {len(came)} others came back")
    return round(took, 3)


def _another(what: str, how: str) -> BootError:
    return BootError(
        f"{what}: another machine has that address ({how})",
        "are two sets of nodes joined to the same tap devices?",
    )


def _key_types(algorithm: str) -> tuple[str, ...]:
    """Return the host key algorithms that use a key of *algorithm*."""
    if algorithm == "ssh-rsa":
        return ("rsa-sha2-512", "rsa-sha2-256", "ssh-rsa")
    return (algorithm,)


def _echo(transport: Any, data: bytes, seconds: float) -> bytes:
    channel = transport.open_session(timeout=seconds)
    channel.settimeout(seconds)
    channel.exec_command(f"{_BOOT_ID}; cat")

    def send() -> None:
        channel.sendall(data)
        channel.shutdown_write()

    # Both ways at once: cat stops reading where nobody takes what it writes.
    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    came = bytearray()
    while block := channel.recv(65536):
        came += block
    sender.join(seconds)
    return bytes(came)
