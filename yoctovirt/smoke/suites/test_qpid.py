"""Suite qpid: a broker speaks AMQP 1.0, keeps and delivers messages, and refuses strangers."""

from __future__ import annotations

import secrets

import pytest

from yoctovirt.smoke.checked import SmokeNode
from yoctovirt.smoke.cleanup import Undo
from yoctovirt.smoke.suites.aids.amqp import new_word
from yoctovirt.smoke.suites.aids.amqp10 import NOTHING, REFUSED, Client
from yoctovirt.smoke.suites.aids.broker import make_account

pytestmark = [pytest.mark.usefixtures("started"), pytest.mark.deadline(600)]

#: Not ``qpid``: the layers' qpidd speaks an older AMQP only (yoctovirt/smoke/unavailable.py).
PROMISES = ("amqp10",)
COMMANDS = ("rabbitmqctl",)
#: The suite rabbitmq restarts the broker.
ALONE = True
UNITS = ("rabbitmq-server.service",)
DIAGNOSTICS = (
    "ss -ltn 2>/dev/null || netstat -ltn",
    "tail -n 60 /var/log/rabbitmq/*.log",
    "rabbitmq-plugins list -e",
)


@pytest.fixture(scope="module")
def client(node: SmokeNode, module_undo: Undo) -> Client:
    """Make a user and a virtual host of ours in RabbitMQ; bring a client of AMQP 1.0 for them."""
    account = make_account(node, module_undo, ".*")
    client = Client(
        node, account.folder, account.host, account.port, f"vhost:{account.name}", account.name,
        account.password,
    )  # fmt: skip
    client.install()
    return client


def test_handshake(client: Client) -> None:
    """The broker speaks AMQP 1.0, and lets in who has a login."""
    done = client.call("login x")
    assert done.ok, f"no connection of AMQP 1.0 can be opened: {done.output.strip()}"


def test_round_trip(client: Client) -> None:
    """What is sent to a queue is accepted, and comes out of it once, unchanged."""
    queue, word = f"/queue/{new_word()}", new_word()
    done = client.call(f"send {queue}", stdin=word)
    assert done.ok, f"a message is not accepted: {done.output.strip()}"
    came = client.call(f"get {queue} 30")
    assert came.ok, f"a message that was accepted does not come out: {came.output.strip()}"
    assert came.output.strip() == word, f"sent {word}, received {came.output.strip()!r}"
    again = client.call(f"get {queue} 4")
    assert again.exit_status == NOTHING, (
        f"a message that was received should be gone, came: {again.output.strip()}"
    )


def test_wrong_login(client: Client) -> None:
    """A wrong password is refused."""
    client.put_login("wrong", secrets.token_hex(12))
    done = client.call("login x", login="wrong")
    assert done.exit_status == REFUSED, (
        f"a wrong password should be refused, came: {done.output.strip()}"
    )
