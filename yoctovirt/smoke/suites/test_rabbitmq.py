"""Suite rabbitmq: the broker has no alarm, keeps and delivers messages, and refuses strangers."""

from __future__ import annotations

import secrets

import pytest

from yoctovirt.smoke.checked import SmokeNode
from yoctovirt.smoke.cleanup import Undo
from yoctovirt.smoke.suites.aids.amqp import NOTHING, REFUSED, Client, new_word
from yoctovirt.smoke.suites.aids.broker import listening_at, make_account, status_of

pytestmark = pytest.mark.usefixtures("started")

#: One check restarts the broker, which other suites' services talk through.
ALONE = True
UNITS = ("rabbitmq-server.service",)
DIAGNOSTICS = (
    "rabbitmq-diagnostics -q alarms",
    "tail -n 60 /var/log/rabbitmq/*.log",
    "df -h /var/lib/rabbitmq",
)
_RESTART = """
if [ -d /run/systemd/system ]; then systemctl restart rabbitmq-server
else /etc/init.d/rabbitmq-server restart; fi && rabbitmqctl -q await_startup
"""


@pytest.fixture(scope="module")
def client(node: SmokeNode, module_undo: Undo) -> Client:
    """Make a user and a virtual host of ours, and bring a client; all goes at the end."""
    account = make_account(node, module_undo, "^yoctovirt-")
    made = Client(
        node, account.folder, f"{account.host}:{account.port}", account.name, account.name,
        account.password,
    )  # fmt: skip
    made.install()
    return made


@pytest.mark.deadline(300)
def test_status(node: SmokeNode) -> None:
    """The broker runs, listens for AMQP, and has no alarm of memory or disk."""
    status = status_of(node)
    listening_at(status)
    alarms = status.get("alarms", [])
    assert not alarms, f"the broker has alarms, and so blocks who publishes: {alarms}"


@pytest.mark.deadline(600)
def test_publish_and_consume(client: Client) -> None:
    """What is published to a queue comes out of it once, unchanged."""
    queue, word = new_word(), new_word()
    done = client.call(f"publish {queue} transient", stdin=word)
    assert done.ok, f"a message cannot be published: {done.output.strip()}"
    came = client.call(f"get {queue}")
    assert came.ok, f"a message that was published does not come out: {came.output.strip()}"
    assert came.output.strip() == word, f"published {word}, consumed {came.output.strip()!r}"
    again = client.call(f"get {queue}")
    assert again.exit_status == NOTHING, (
        f"a message that was consumed should be gone, came: {again.output.strip()}"
    )


@pytest.mark.deadline(600)
def test_wrong_login(client: Client) -> None:
    """A wrong password is refused, and so is a queue that the user has no right to make."""
    good = client.call("login x")
    assert good.ok, f"the right password is refused: {good.output.strip()}"
    client.put_login("wrong", secrets.token_hex(12))
    done = client.call("login x", login="wrong")
    assert done.exit_status == REFUSED, (
        f"a wrong password should be refused, came: {done.output.strip()}"
    )
    done = client.call("publish foreign transient", stdin="word")
    assert done.exit_status == REFUSED, (
        f"a queue outside the user's rights should be refused, came: {done.output.strip()}"
    )


@pytest.mark.deadline(600)
def test_restart(node: SmokeNode, client: Client) -> None:
    """A durable queue with its message survives a restart of the broker, another one does not."""
    durable, transient, word = new_word(), new_word(), new_word()
    for queue, kind in ((durable, "durable"), (transient, "transient")):
        done = client.call(f"publish {queue} {kind}", stdin=word)
        assert done.ok, f"a message cannot be published: {done.output.strip()}"
    node.check(_RESTART, 240, why="the broker cannot be restarted")
    gone = client.call(f"get {transient}")
    assert gone.exit_status == NOTHING, (
        f"a queue that is not durable should be gone after a restart, came: {gone.output.strip()}"
    )
    kept = client.call(f"get {durable}")
    assert kept.ok, f"a durable queue is lost by a restart: {kept.output.strip()}"
    assert kept.output.strip() == word, f"kept {word}, after the restart {kept.output.strip()!r}"
