"""A client of the SPICE protocol on the node: link, ticket, first message of the main channel."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass

from yoctovirt.smoke.checked import SmokeNode

#: Error codes of a link (spice-protocol: spice/error_codes.h, spice/protocol.h).
OK, PERMISSION_DENIED = 0, 7

#: ``SOCKET FILE``: links to the main channel with the password in FILE; prints JSON. Or, where
#: SOCKET is http://..., through the proxy there, as its page does: by a WebSocket (RFC 6455) at the
#: path that spice-html5 has, with the token in FILE as a cookie, and no password. The words of the
#: protocol are those of spice-protocol; the ticket is encrypted by OAEP (RFC 8017, 7.1.1).
_CLIENT = r"""
import base64, hashlib, json, os, socket, struct, sys, urllib.parse
path, secret = sys.argv[1:]
told = {}

class Socket:
    def __init__(self, url, token):
        there = urllib.parse.urlsplit(url)
        self.link = socket.create_connection((there.hostname, there.port or 80), 30)
        self.found = b""
        lines = ["GET /websockify HTTP/1.1", "Host: " + there.netloc, "Upgrade: websocket",
                 "Connection: Upgrade", "Sec-WebSocket-Version: 13",
                 "Sec-WebSocket-Key: " + base64.b64encode(os.urandom(16)).decode(),
                 "Sec-WebSocket-Protocol: binary", "Cookie: token=" + token,
                 "Origin: http://" + there.netloc, "", ""]
        self.link.sendall("\r\n".join(lines).encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self.some()
        head, _, self.raw = answer.partition(b"\r\n\r\n")
        if b" 101 " not in head.split(b"\r\n")[0] + b" ":
            raise OSError("no WebSocket: " + head.split(b"\r\n")[0].decode("latin-1"))

    def some(self):
        more = self.link.recv(4096)
        if not more:
            raise OSError("the connection was closed")
        return more

    def exact(self, count):
        while len(self.raw) < count:
            self.raw += self.some()
        taken, self.raw = self.raw[:count], self.raw[count:]
        return taken

    def recv(self, count):
        while not self.found:
            kind, size = self.exact(2)
            size &= 127
            if size > 125:
                size = int.from_bytes(self.exact(2 if size == 126 else 8), "big")
            text = self.exact(size)
            if kind & 15 == 8:
                raise OSError("the connection was closed: " + text[2:].decode("latin-1"))
            if kind & 15 in (0, 2):
                self.found = text
        taken, self.found = self.found[:count], self.found[count:]
        return taken

    def sendall(self, text):
        # Masked, as a client must, with a mask of noughts.
        self.link.sendall(struct.pack(">BBHI", 0x82, 0x80 | 126, len(text), 0) + text)

def take(count):
    found = b""
    while len(found) < count:
        more = link.recv(count - len(found))
        if not more:
            raise OSError("the connection was closed")
        found += more
    return found

def parts(text):
    # The values that stand one behind the other in DER.
    found = []
    while text:
        size, start = text[1], 2
        if size & 128:
            start = 2 + (size & 127)
            size = int.from_bytes(text[2:start], "big")
        found.append(text[start:start + size])
        text = text[start + size:]
    return found

def mask(text, count):
    out, number = b"", 0
    while len(out) < count:
        out += hashlib.sha1(text + struct.pack(">I", number)).digest()
        number += 1
    return out[:count]

def xor(one, other):
    return bytes(left ^ right for left, right in zip(one, other))

def encrypt(key, text):
    (whole,) = parts(key)
    modulus, exponent = (int.from_bytes(p, "big") for p in parts(parts(parts(whole)[1][1:])[0]))
    size = (modulus.bit_length() + 7) // 8
    block = hashlib.sha1().digest() + bytes(size - len(text) - 42) + b"\1" + text
    seed = os.urandom(20)
    block = xor(block, mask(seed, len(block)))
    seed = xor(seed, mask(block, 20))
    number = int.from_bytes(b"\0" + seed + block, "big")
    return pow(number, exponent, modulus).to_bytes(size, "big")

try:
    if path.startswith("http:"):
        link = Socket(path, open(secret).read())
    else:
        link = socket.socket(socket.AF_UNIX)
        link.settimeout(30)
        link.connect(path)
    # Main channel; capabilities: choice of the login, login by ticket, short headers.
    body = struct.pack("<IBBIIII", 0, 1, 0, 1, 0, 18, 0b1011)
    link.sendall(b"REDQ" + struct.pack("<III", 2, 2, len(body)) + body)
    told["magic"] = take(4).decode("latin-1")
    if told["magic"] != "REDQ":
        raise OSError("another protocol")
    major, minor, size = struct.unpack("<III", take(12))
    told["version"] = "%d.%d" % (major, minor)
    reply = take(min(size, 4096))
    (told["link"],) = struct.unpack("<I", reply[:4])
    if told["link"] == 0:
        ticket = b"\0" if path.startswith("http:") else open(secret, "rb").read() + b"\0"
        link.sendall(struct.pack("<I", 1) + encrypt(reply[4:166], ticket))
        (told["ticket"],) = struct.unpack("<I", take(4))
    while told.get("ticket") == 0 and "session" not in told:
        kind, size = struct.unpack("<HI", take(6))
        message = take(size)
        if kind == 103:
            (told["session"],) = struct.unpack("<I", message[:4])
except OSError as error:
    told["error"] = str(error)
print(json.dumps(told))
"""


@dataclass(frozen=True)
class Link:
    """What a SPICE server answered; -1 and '' stand for nothing."""

    magic: str
    version: str
    link: int
    ticket: int
    session: int
    error: str

    @property
    def said(self) -> str:
        """All of it in words."""
        words = f"magic {self.magic!r}, version {self.version or 'none'}, link {self.link}"
        words += f", ticket {self.ticket}, session {self.session}"
        return f"{words}: {self.error}" if self.error else words


def connect(node: SmokeNode, path: str, secret: str) -> Link:
    """Link to the SPICE server at the socket *path*, with the ticket in the file *secret*.

    Or, through the proxy whose page has the URL *path*, with the token in that file.
    """
    told = node.check(
        f"python3 -c {shlex.quote(_CLIENT)} {shlex.quote(path)} {secret}",
        why="the client of SPICE broke",
    )
    found = json.loads(told.strip().splitlines()[-1])
    return Link(
        found.get("magic", ""), found.get("version", ""), found.get("link", -1),
        found.get("ticket", -1), found.get("session", -1), found.get("error", ""),
    )  # fmt: skip
