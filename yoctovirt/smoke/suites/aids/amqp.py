"""A client of AMQP 0-9-1 on the node: the library that OpenStack's services have there."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field

from yoctovirt.boot.results import CommandResult
from yoctovirt.smoke.checked import SmokeNode

#: Exit status where the broker refuses the login or the right (403, ACCESS_REFUSED).
REFUSED = 3
#: Exit status where the queue has no message, or is not there (404, NOT_FOUND).
NOTHING = 4
_MISSING = 127

#: ``client.py FILE VERB QUEUE``: FILE has the login; what is published comes on standard input.
_CLIENT = f"""
import json, sys
try:
    import amqp
except ImportError as error:
    print("python3 has no module amqp (py-amqp):", error)
    sys.exit({_MISSING})
given, verb, queue = json.load(open(sys.argv[1])), sys.argv[2], sys.argv[3]
try:
    connection = amqp.Connection(
        given["address"], given["user"], given["password"], virtual_host=given["vhost"],
        connect_timeout=20, read_timeout=20, write_timeout=20, confirm_publish=True)
    connection.connect()
    channel = connection.channel()
    if verb == "login":
        print("logged in")
    elif verb == "publish":
        durable = sys.argv[4] == "durable"
        channel.queue_declare(queue, durable=durable, auto_delete=False)
        message = amqp.Message(sys.stdin.read(), delivery_mode=2 if durable else 1)
        channel.basic_publish(message, routing_key=queue)
        print("confirmed")
    else:
        message = channel.basic_get(queue, no_ack=True)
        if message is None:
            print("the queue", queue, "is empty")
            sys.exit({NOTHING})
        print(message.body)
    connection.close()
except (amqp.exceptions.AccessRefused, amqp.exceptions.NotAllowed) as error:
    print("refused:", error)
    sys.exit({REFUSED})
except amqp.exceptions.NotFound as error:
    print("not found:", error)
    sys.exit({NOTHING})
except Exception as error:
    print("%s: %s" % (type(error).__name__, error))
    sys.exit(1)
"""


@dataclass(frozen=True)
class Client:
    """Logins to the broker at *address* of *node*, kept in *folder* there with the client."""

    node: SmokeNode
    folder: str
    address: str  #: ``host:port``
    vhost: str
    user: str
    password: str = field(repr=False)

    def install(self) -> None:
        """Bring the client, and the login as a file for root only."""
        self.node.put(_CLIENT.encode(), f"{self.folder}/client.py")
        self.put_login("login", self.password)

    def put_login(self, name: str, password: str) -> None:
        """Write the file *name* with a login that has *password*."""
        given = {"address": self.address, "user": self.user, "vhost": self.vhost,
                 "password": password}  # fmt: skip
        self.node.put(json.dumps(given).encode(), f"{self.folder}/{name}", 0o600)

    def call(self, arguments: str, login: str = "login", stdin: str = "") -> CommandResult:
        """Run the client; *stdin* is one word. Fails the check where the node has no library."""
        given = f"echo {stdin} |" if stdin else ""
        line = f"{given} python3 {self.folder}/client.py {self.folder}/{login} {arguments}"
        done = self.node.run(line)
        assert done.exit_status != _MISSING, (
            f"nothing was tested, the node lacks a client: {done.output.strip()}"
        )
        return done


def new_word() -> str:
    """Return a word that no other message has."""
    return f"yoctovirt-{secrets.token_hex(12)}"
