"""Suite docker-compose: services of a file are started, reach one another, and are removed."""

from __future__ import annotations

import secrets

import pytest

from yoctovirt.smoke.checked import SmokeNode
from yoctovirt.smoke.cleanup import Undo
from yoctovirt.smoke.suites.aids.dockerimage import import_image

UNITS = ("docker.service",)
DIAGNOSTICS = ("docker ps -a", "docker network ls")

_FILE = """\
version: "3"
services:
  one:
    image: {image}
    command: ["/bin/sleep", "1000"]
  two:
    image: {image}
    command: ["/bin/sleep", "1000"]
    environment:
      WORD: {word}
    depends_on: [one]
"""


@pytest.fixture(scope="module")
def compose(node: SmokeNode) -> str:
    """Return the command: Docker's plugin (version 2), or docker-compose (version 1)."""
    found = node.check(
        "if docker compose version >/dev/null 2>&1; then echo docker compose; "
        "else command -v docker-compose; fi",
        timeout=90,
        why="neither 'docker compose' nor docker-compose works",
    ).strip()
    return found if found == "docker compose" else "docker-compose"


@pytest.mark.deadline(200)
def test_up_and_down(node: SmokeNode, compose: str, undo: Undo) -> None:
    """Two services come up on a network of their own, reach one another, and go down."""
    project, word = f"yoctovirt{secrets.token_hex(4)}", secrets.token_hex(8)
    folder = f"/var/tmp/{project}"
    undo(f"rm -rf {folder}")
    image = import_image(node, undo)
    run = f"{compose} -p {project} -f {folder}/docker-compose.yml"
    undo(f"[ ! -d {folder} ] || {run} down -t 0 >/dev/null 2>&1; true", timeout=120)
    node.check(f"mkdir {folder}")
    node.put(_FILE.format(image=image, word=word).encode(), f"{folder}/docker-compose.yml")
    node.check(f"{run} up -d 2>&1", timeout=180, why="the services do not come up")
    given = node.check(f"{run} exec -T two /bin/sh -c 'echo $WORD'", timeout=60).strip()
    assert given == word, f"the service should have WORD={word}, it has {given!r}"
    other = node.check(f"{run} exec -T one /bin/hostname -i", timeout=60).split()
    assert other, "the service one has no address"
    node.check(
        f"{run} exec -T two /bin/ping -c 1 -W 10 {other[0]}",
        timeout=60,
        why="one service cannot reach the other",
    )
    node.check(f"{run} down -t 0 2>&1", timeout=120, why="the services cannot be taken down")
    left = node.check("docker ps -a --format '{{.Names}}'")
    assert project not in left, f"containers of the project are left:\n{left}"
