"""Suite docker: containers reach one another, and the node reaches what they publish."""

from __future__ import annotations

import re
import secrets

import pytest

from yoctovirt.smoke.checked import SmokeNode
from yoctovirt.smoke.cleanup import Undo
from yoctovirt.smoke.suites.aids.dockerimage import container_name, import_image

#: Servers in a container that answer each client with one word, and clients on the node: of the
#: node's own Python, or of BusyBox where that has a server.
_PYTHON = (
    "/bin/chroot /host python3 -c \"import socket; s = socket.socket(); s.bind(('', 8080)); "
    "s.listen()\nwhile True: c, _ = s.accept(); c.sendall(b'{word}'); c.close()\"",
    "python3 -c \"import socket; s = socket.create_connection(('{host}', {port}), 20); "
    's.settimeout(20); print(s.recv(64).decode())"',
)
_BUSYBOX = (
    "/bin/sh -c 'while :; do echo {word} | /bin/busybox nc -l -p 8080; done'",
    "timeout 20 busybox nc {host} {port} </dev/null",
)


def _programs(node: SmokeNode) -> tuple[str, str]:
    """Return the server and the client that this node can run."""
    if node.run("command -v python3").ok:
        return _PYTHON
    # What BusyBox offers was chosen when it was built.
    if node.run("busybox nc 2>&1 | grep -q -e '-l'").ok:
        return _BUSYBOX
    pytest.fail(
        "the check needs a program on the node that can listen: python3, or a BusyBox with "
        "nc -l (NC_SERVER)"
    )


@pytest.fixture(scope="module")
def image(node: SmokeNode, module_undo: Undo) -> str:
    """Import an image."""
    return import_image(node, module_undo)


def test_ping_between_containers(node: SmokeNode, image: str, undo: Undo) -> None:
    """Two containers on a network of their own reach one another; the network can be removed."""
    network = f"yoctovirt-{secrets.token_hex(4)}"
    undo(f"docker network rm {network} >/dev/null 2>&1; true")
    node.check(f"docker network create {network}", timeout=90, why="no network can be made")
    other = container_name(undo)
    node.check(f"docker run -d --name {other} --network {network} {image} /bin/sleep 1000",
               timeout=90)  # fmt: skip
    listed = node.check(
        f"docker inspect --format '{{{{range .NetworkSettings.Networks}}}}{{{{.IPAddress}}}} "
        f"{{{{end}}}}' {other}"
    ).split()
    assert len(listed) == 1, f"a container on one network has the addresses {listed}"
    out = node.run(
        f"docker run --rm --network {network} {image} /bin/ping -c 2 -W 10 {listed[0]}", timeout=90
    )
    # The answers count: an engine that only says that it ran something exits with 0 as well.
    assert out.ok and f"bytes from {listed[0]}" in out.output, (  # noqa: PT018
        f"a container cannot reach another one on its network:\n{out.output}"
    )
    node.check(f"docker rm -f {other} && docker network rm {network}", timeout=90)
    left = node.check("docker network ls --format '{{.Name}}'").split()
    assert network not in left, f"a removed network is still listed: {left}"


def test_published_port(node: SmokeNode, image: str, undo: Undo) -> None:
    """A port that a container publishes answers on the node, by loopback and by its address."""
    word, name = secrets.token_hex(8), container_name(undo)
    server, client = _programs(node)
    node.check(
        f"docker run -d --name {name} -p 8080 -v /:/host:ro {image} {server.format(word=word)}",
        timeout=90,
        why="a container that publishes a port cannot be started",
    )
    port = node.check(f"docker port {name} 8080").split()[0].rpartition(":")[2]
    addresses = re.findall(r"^\d+: (?!lo|docker|br-|virbr|lxcbr|veth)\S+\s+inet ([\d.]+)",
                           node.check("ip -4 -o addr show"), re.MULTILINE)  # fmt: skip
    for host in ("127.0.0.1", *addresses[:1]):
        call = client.format(host=host, port=port)
        # The server needs a moment to begin.
        got = node.run(
            f"for turn in 1 2 3 4 5 6; do said=$({call} 2>&1) && "
            '[ -n "$said" ] && break; sleep 2; done; echo "$said"',
            timeout=60,
        ).output.strip()
        state = node.run(f"docker logs {name} 2>&1 | tail -n 3").output
        assert got == word, f"{host}:{port} should answer {word}, it gave {got[-300:]!r}\n{state}"
