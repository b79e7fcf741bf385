"""Suite memcached: values are kept, counted, given back unchanged, and forgotten in time."""

from __future__ import annotations

import secrets
import shlex

import pytest

from yoctovirt.smoke.checked import SmokeNode

pytestmark = pytest.mark.usefixtures("started")

UNITS = ("memcached.service",)
DIAGNOSTICS = ("ps | grep -v grep | grep memcached", "cat /etc/memcached.conf")

#: ``ADDRESS VERB KEY``: memcached's text protocol (its doc/protocol.txt).
_CLIENT = """
import socket, sys
address, verb, key = sys.argv[1:]
host, _, port = address.rpartition(":")
try:
    link = socket.create_connection((host, int(port)), 20) if port else None
    if link is None:
        link = socket.socket(socket.AF_UNIX)
        link.connect(address)
    stream = link.makefile("rwb")
    def ask(line, body=None):
        stream.write(line.encode() + b"\\r\\n" + (body + b"\\r\\n" if body is not None else b""))
        stream.flush()
        return stream.readline().decode("latin-1").strip()
    def get(key):
        head = ask("get " + key)
        if head == "END":
            return None
        if not head.startswith("VALUE "):
            return head.encode()
        body = stream.read(int(head.split()[3]) + 2)[:-2]
        stream.readline()
        return body
    if verb == "version":
        print(ask("version"))
    elif verb == "trip":
        body = bytes(range(256)) * 100
        print("set", ask("set %s 0 120 %d" % (key, len(body)), body))
        print("add", ask("add %s 0 120 1" % key, b"x"))
        came = get(key)
        print("get", "equal" if came == body else "nothing" if came is None else came[:60])
        print("delete", ask("delete " + key))
        print("after", "nothing" if get(key) is None else "still there")
        print("set5", ask("set %s 0 120 1" % key, b"5"))
        print("incr4", ask("incr %s 4" % key))
        print("done", ask("delete " + key))
    elif verb == "expire":
        import time
        print("set", ask("set %s 0 2 1" % key, b"x"))
        print("before", "nothing" if get(key) is None else "there")
        time.sleep(4)
        print("after", "nothing" if get(key) is None else "still there")
except OSError as error:
    print("no connection to %s: %s" % (address, error))
    sys.exit(1)
"""

#: What each step of the round trip should give.
_TRIP = {
    "set": "STORED", "add": "NOT_STORED", "get": "equal", "delete": "DELETED", "after": "nothing",
    "set5": "STORED", "incr4": "9", "done": "DELETED",
}  # fmt: skip


@pytest.fixture(scope="module")
def address(node: SmokeNode) -> str:
    """Return where the daemon listens, as its own arguments say (host:port, or a socket)."""
    told = node.check(
        "pids=$(pidof memcached) && tr '\\0' '\\n' </proc/${pids%% *}/cmdline",
        why="memcached does not run",
    ).split("\n")
    given = _options(told)
    if "s" in given:
        return given["s"]
    host = given.get("l", "").split(",")[0]
    host = "127.0.0.1" if host in ("", "0.0.0.0", "::", "*") else host
    return f"{host}:{given.get('p', '11211')}"


def _options(argv: list[str]) -> dict[str, str]:
    """Return the values of the options of one letter, given as ``-l HOST`` or ``-lHOST``."""
    found = {}
    for number, word in enumerate(argv):
        if len(word) > 1 and word[0] == "-" and word[1] in "lps":
            following = argv[number + 1] if number + 1 < len(argv) else ""
            found[word[1]] = word[2:] or following
    return found


def _said(node: SmokeNode, address: str, verb: str) -> dict[str, str]:
    key = f"yoctovirt-{secrets.token_hex(8)}"
    told = node.check(
        f"python3 -c {shlex.quote(_CLIENT)} {address} {verb} {key}",
        why="memcached cannot be talked to",
    )
    return dict(line.split(" ", 1) for line in told.splitlines() if " " in line)


def test_daemon(node: SmokeNode, address: str) -> None:
    """The daemon answers where it says that it listens."""
    version = _said(node, address, "version")
    assert "VERSION" in version, f"asked for its version, memcached says {version}"


def test_round_trip(node: SmokeNode, address: str) -> None:
    """A value comes back byte for byte, is added to, is not overwritten by add, can be deleted."""
    said = _said(node, address, "trip")
    wrong = [
        f"{step} should give {expected}, memcached gave {said.get(step)}"
        for step, expected in _TRIP.items()
        if said.get(step) != expected
    ]
    assert not wrong, "\n".join(wrong)


def test_expires(node: SmokeNode, address: str) -> None:
    """A value with a time to live is there before it, and not after it."""
    said = _said(node, address, "expire")
    assert said["before"] == "there", "a value for two seconds is not there at once"
    assert said["after"] == "nothing", "a value for two seconds is there after four"
