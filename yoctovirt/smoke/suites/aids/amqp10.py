"""A client of AMQP 1.0 on the node: what the standard asks for, and Python's own library.

The images have no library of AMQP 1.0. Numbers are those of the OASIS standard "AMQP 1.0": part 1
(encoding), part 2 (performatives), part 5 (SASL).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from yoctovirt.boot.results import CommandResult
from yoctovirt.smoke.checked import SmokeNode

#: Exit status where the broker refuses the login, where a queue has no message.
REFUSED, NOTHING = 3, 4

#: ``client.py FILE VERB QUEUE [SECONDS]``: FILE has the login; what is sent comes on standard
#: input; ``get`` waits so long for a message.
_CLIENT = r"""
import json, socket, struct, sys
given, verb, queue = json.load(open(sys.argv[1])), sys.argv[2], sys.argv[3]
REFUSED, NOTHING = @REFUSED@, @NOTHING@

def uint(number):
    return b"\x70" + struct.pack(">I", number)

def text(word, code=b"\xb1"):
    word = word if isinstance(word, bytes) else word.encode()
    return code + struct.pack(">I", len(word)) + word

def symbol(word):
    return text(word, b"\xb3")

def binary(word):
    return text(word, b"\xb0")

def described(code, *fields):
    body = b"".join({None: b"\x40", True: b"\x41", False: b"\x42"}.get(one, one) for one in fields)
    head = struct.pack(">II", len(body) + 4, len(fields))
    return b"\0\x53" + bytes([code]) + b"\xd0" + head + body

def decode(raw, at=0):
    code, at = raw[at], at + 1
    if code == 0:
        kind, at = decode(raw, at)
        value, at = decode(raw, at)
        return (kind, value), at
    if code in (0x40, 0x41, 0x42, 0x43, 0x44, 0x45):
        return {0x40: None, 0x41: True, 0x42: False, 0x43: 0, 0x44: 0, 0x45: []}[code], at
    width = {5: 1, 6: 2, 7: 4, 8: 8, 9: 16}.get(code >> 4)
    if width:
        return int.from_bytes(raw[at:at + width], "big"), at + width
    width = 4 if code >> 4 in (0xB, 0xD, 0xF) else 1
    end = at + width + int.from_bytes(raw[at:at + width], "big")
    at += width
    if code >> 4 in (0xA, 0xB):
        return raw[at:end], end
    if code >> 4 in (0xC, 0xD):
        count, at = int.from_bytes(raw[at:at + width], "big"), at + width
        found = []
        for _ in range(count):
            one, at = decode(raw, at)
            found.append(one)
        return found, end
    # An array: of symbols where we look at one, so that its words stand in it as they are.
    return [raw[at:end]], end

def take(count):
    found = b""
    while len(found) < count:
        more = link.recv(count - len(found))
        if not more:
            raise OSError("the broker closed the connection")
        found += more
    return found

def send(body, kind=0):
    link.sendall(struct.pack(">IBBH", len(body) + 8, 2, kind, 0) + body)

def header(protocol):
    wanted = b"AMQP" + bytes([protocol, 1, 0, 0])
    link.sendall(wanted)
    came = take(8)
    if came != wanted:
        raise OSError("the broker does not speak AMQP 1.0, it answers %r" % came)

def until(*codes):
    while True:
        size, start, _, _ = struct.unpack(">IBBH", take(8))
        body = take(size - 8)[start * 4 - 8:]
        if not body:
            continue
        (code, fields), at = decode(body)
        if code in codes:
            return code, fields, body[at:]
        if code in (0x16, 0x17, 0x18):  # detach, end, close
            error = fields[-1] if fields and isinstance(fields[-1], tuple) else None
            words = [w.decode() for w in error[1] if isinstance(w, bytes)] if error else []
            print("the broker refuses: %s" % " ".join(words))
            sys.exit(REFUSED if any("unauthorized" in word for word in words) else 1)

def log_in():
    header(3)
    _, fields, _ = until(0x40)
    user = given["user"]
    name, answer = "ANONYMOUS", b"nobody"
    if user:
        name, answer = "PLAIN", ("\0%s\0%s" % (user, given["password"])).encode()
    if name.encode() not in b" ".join(fields[0] if isinstance(fields[0], list) else [fields[0]]):
        raise OSError("the broker does not offer a login by %s" % name)
    send(described(0x41, symbol(name), binary(answer), text(given["host"])), 1)
    _, fields, _ = until(0x44)
    if fields[0]:
        print("refused: the login by %s ended with code %d" % (name, fields[0]))
        sys.exit(REFUSED)

def attach(name, receiver):
    source, target = (queue, name) if receiver else (name, queue)
    send(described(0x12, text(name), uint(0), receiver, None, None,
                   described(0x28, text(source)), described(0x29, text(target)), None, None,
                   None if receiver else uint(0)))
    until(0x12)

try:
    link = socket.create_connection((given["host"], given["port"]), 20)
    log_in()
    header(0)
    send(described(0x10, text("yoctovirt"), text(given["open"]), uint(65536)))
    until(0x10)
    send(described(0x11, None, uint(0), uint(100), uint(100)))
    until(0x11)
    if verb == "login":
        print("logged in")
    elif verb == "send":
        attach("sender", False)
        until(0x13)
        word = sys.stdin.read().encode()
        transfer = described(0x14, uint(0), uint(0), binary(b"1"), uint(0), False)
        send(transfer + b"\0\x53\x75" + binary(word))
        _, fields, _ = until(0x15)
        if fields[4] is None or fields[4][0] != 0x24:
            raise OSError("the broker did not accept the message: %r" % (fields,))
        print("accepted")
    else:
        attach("receiver", True)
        send(described(0x13, uint(0), uint(100), uint(0), uint(100), uint(0), uint(0), uint(1)))
        # RabbitMQ 3.10 breaks when it is asked whether there is none (drain): so wait for one.
        wait = int(sys.argv[4])
        link.settimeout(wait)
        try:
            _, fields, rest = until(0x14)
        except socket.timeout:
            print("no message came within %d s" % wait)
            sys.exit(NOTHING)
        link.settimeout(20)
        words = []
        while rest:
            (section, value), at = decode(rest)
            rest = rest[at:]
            if section in (0x75, 0x77):
                words.append(value)
        send(described(0x15, True, uint(fields[1]), uint(fields[1]), True, described(0x24)))
        send(described(0x18))
        until(0x18)
        print(b"".join(words).decode())
except (OSError, LookupError, struct.error) as error:
    print("%s: %s" % (type(error).__name__, error))
    sys.exit(1)
""".replace("@REFUSED@", str(REFUSED)).replace("@NOTHING@", str(NOTHING))


@dataclass(frozen=True)
class Client:
    """Logins to a broker at *host* and *port* of *node*, kept in *folder* with the client."""

    node: SmokeNode
    folder: str
    host: str
    port: int
    opened: str  #: the host name that the connection is opened for: how RabbitMQ names a vhost
    user: str  #: '' logs in as nobody (ANONYMOUS)
    password: str = field(repr=False)

    def install(self) -> None:
        """Bring the client, and the login as a file for root only."""
        self.node.put(_CLIENT.encode(), f"{self.folder}/client.py")
        self.put_login("login", self.password)

    def put_login(self, name: str, password: str) -> None:
        """Write the file *name* with a login that has *password*."""
        given = {"host": self.host, "port": self.port, "open": self.opened, "user": self.user,
                 "password": password}  # fmt: skip
        self.node.put(json.dumps(given).encode(), f"{self.folder}/{name}", 0o600)

    def call(self, arguments: str, login: str = "login", stdin: str = "") -> CommandResult:
        """Run the client; *stdin* is one word."""
        given = f"printf %s {stdin} |" if stdin else ""
        return self.node.run(
            f"{given} python3 {self.folder}/client.py {self.folder}/{login} {arguments}"
        )
