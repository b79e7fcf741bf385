"""RabbitMQ on a node: where it listens, and a user with a virtual host of our own."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any

import pytest

from yoctovirt.smoke.checked import SmokeNode
from yoctovirt.smoke.cleanup import Undo
from yoctovirt.smoke.suites.aids.openstack import parse_json

#: Seconds of one call of rabbitmqctl, which starts an Erlang of its own each time.
_CTL = 90.0


def status_of(node: SmokeNode) -> dict[str, Any]:
    """Return what the broker says of itself; fail the check where it does not answer."""
    said = node.check(
        "rabbitmqctl -q status --formatter json", _CTL, why="the broker does not answer"
    )
    status: dict[str, Any] = parse_json(said, "rabbitmqctl status")
    return status


def listening_at(status: dict[str, Any]) -> tuple[str, int]:
    """Return host and port where the broker listens for AMQP, as a client on the node reaches it.

    Fails the check where it does not.
    """
    listening = [one for one in status.get("listeners", []) if one.get("protocol") == "amqp"]
    if not listening:
        pytest.fail("the broker has no listener for AMQP", pytrace=False)
    interface = listening[0].get("interface", "")
    host = "127.0.0.1" if interface in ("", "[::]", "::", "0.0.0.0") else interface
    return host, int(listening[0]["port"])


@dataclass(frozen=True)
class Account:
    """A user of ours and a virtual host, both called *name*; *folder* is for root only."""

    host: str
    port: int
    folder: str
    name: str
    password: str = field(repr=False)


def make_account(node: SmokeNode, undo: Undo, configure: str) -> Account:
    """Make a user with a virtual host, who may make the queues that *configure* fits (a regex).

    *undo* removes both, and the folder.
    """
    name, password = f"yoctovirt-{secrets.token_hex(4)}", secrets.token_hex(12)
    folder = f"/run/{name}"
    host, port = listening_at(status_of(node))
    undo(f"rm -rf {folder}")
    undo(
        f"for kind in vhost user; do\n"
        f"  rabbitmqctl -q list_${{kind}}s | grep -q '^{name}' || continue\n"
        f"  rabbitmqctl -q delete_$kind {name} || exit 1\n"
        f"done", _CTL * 4,
    )  # fmt: skip
    node.check(f"mkdir -m 700 {folder}")
    node.put(password.encode(), f"{folder}/password", 0o600)
    node.check(
        f"set -e\nrabbitmqctl -q add_vhost {name}\n"
        f"rabbitmqctl -q add_user {name} <{folder}/password >/dev/null\n"
        f"rabbitmqctl -q set_permissions -p {name} {name} '{configure}' '.*' '.*'",
        _CTL * 3, why="no user with a virtual host can be made",
    )  # fmt: skip
    return Account(host, port, folder, name, password)
