"""Suite docker: containers reach one another, and the node reaches what they publish."""

from __future__ import annotations

import re
import secrets

import pytest

from yoctovirt.smoke.checked import SmokeNode
from yoctovirt.smoke.cleanup import Undo
from yoctovirt.smoke.suites.aids.dockerimage import container_name, import_image

#: A server in a container, run by the node's own Python; it answers each client with one word.
_SERVER = (
    "import socket; s = socket.socket(); s.bind(('', 8080)); s.listen()\n"
    "while True: c, _ = s.accept(); c.sendall(b'{word}'); c.close()"
)
_CLIENT = (
    "import socket; s = socket.create_connection(('{host}', {port}), 20); s.settimeout(20); "
    "print(s.recv(64).decode())"
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
    node.check("command -v python3", why="the check needs python3 on the node")
    word, name = secrets.token_hex(8), container_name(undo)
    server = _SERVER.format(word=word)
    node.check(
        f"docker run -d --name {name} -p 8080 -v /:/host:ro {image} "
        f'/bin/chroot /host python3 -c "{server}"',
        timeout=90,
        why="a container that publishes a port cannot be started",
    )
    port = node.check(f"docker port {name} 8080").split()[0].rpartition(":")[2]
    addresses = re.findall(r"^\d+: (?!lo|docker|br-|virbr|lxcbr|veth)\S+\s+inet ([\d.]+)",
                           node.check("ip -4 -o addr show"), re.MULTILINE)  # fmt: skip
    for host in ("127.0.0.1", *addresses[:1]):
        client = _CLIENT.format(host=host, port=port)
        # The server needs a moment to begin.
        got = node.run(
            f'for turn in 1 2 3 4 5 6; do said=$(python3 -c "{client}" 2>&1) && '
            '[ -n "$said" ] && break; sleep 2; done; echo "$said"',
            timeout=60,
        ).output.strip()
        state = node.run(f"docker logs {name} 2>&1 | tail -n 3").output
        assert got == word, f"{host}:{port} should answer {word}, it gave {got[-300:]!r}\n{state}"
