"""A controller that makes a switch learn addresses, as small as a reactive one can be.

It speaks OpenFlow 1.0 ("OpenFlow Switch Specification 1.0.0"), beside the checks; the switch comes
to it through the node's SSH server.
"""

from __future__ import annotations

import struct
import threading
from typing import Protocol

_VERSION = 1
_HELLO, _ECHO_REQUEST, _ECHO_REPLY, _FEATURES_REQUEST, _FEATURES_REPLY = 0, 2, 3, 5, 6
_PACKET_IN, _PACKET_OUT, _FLOW_MOD = 10, 13, 14
_FLOOD = 0xFFFB
_NO_BUFFER = 0xFFFFFFFF
#: All fields of a match ignored but the input port and the Ethernet destination.
_WILDCARDS = ((1 << 22) - 1) & ~(1 << 0) & ~(1 << 3)
#: Cookie of the flows that come from here.
COOKIE = 0x796F63746F  # "yocto"


class Stream(Protocol):
    """A connection: what a socket and an SSH channel have in common."""

    def recv(self, size: int, /) -> bytes: ...  # noqa: D102
    def sendall(self, data: bytes, /) -> None: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102


def _message(kind: int, body: bytes = b"", xid: int = 0) -> bytes:
    return struct.pack("!BBHI", _VERSION, kind, 8 + len(body), xid) + body


#: Frames that no flow knows come whole (miss_send_len of OFPT_SET_CONFIG).
_WHOLE_FRAMES = _message(9, struct.pack("!HH", 0, 0xFFFF))


def _output(port: int) -> bytes:
    return struct.pack("!HHHH", 0, 8, port, 0)


def _packet_out(in_port: int, port: int, frame: bytes) -> bytes:
    actions = _output(port)
    head = struct.pack("!IHH", _NO_BUFFER, in_port, len(actions))
    return _message(_PACKET_OUT, head + actions + frame)


def _flow_mod(in_port: int, destination: bytes, port: int) -> bytes:
    match = struct.pack(
        "!IH6s6sHBxHBB2xIIHH",
        _WILDCARDS, in_port, bytes(6), destination, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    )  # fmt: skip
    rest = struct.pack("!QHHHHIHH", COOKIE, 0, 0, 0, 100, _NO_BUFFER, 0xFFFF, 0)
    return _message(_FLOW_MOD, match + rest + _output(port))


class LearningController:
    """Floods what it does not know, and gives the switch a flow for each address it has seen."""

    def __init__(self) -> None:
        self.connected = threading.Event()
        self.packets_in = 0
        self.flows = 0
        self._ports: dict[bytes, int] = {}

    def serve(self, stream: Stream) -> None:
        """Speak with one switch until it goes away."""
        buffer = b""
        try:
            stream.sendall(_message(_HELLO))
            while data := stream.recv(65536):
                buffer += data
                while len(buffer) >= 8:
                    _, kind, length, xid = struct.unpack("!BBHI", buffer[:8])
                    if length < 8:
                        return
                    if len(buffer) < length:
                        break
                    body, buffer = buffer[8:length], buffer[length:]
                    self._answer(stream, kind, xid, body)
        except OSError:
            return  # the switch is gone
        finally:
            stream.close()

    def _answer(self, stream: Stream, kind: int, xid: int, body: bytes) -> None:
        if kind == _HELLO:
            stream.sendall(_WHOLE_FRAMES + _message(_FEATURES_REQUEST))
        elif kind == _ECHO_REQUEST:
            stream.sendall(_message(_ECHO_REPLY, body, xid))
        elif kind == _FEATURES_REPLY:
            self.connected.set()
        elif kind == _PACKET_IN:
            self._packet_in(stream, body)

    def _packet_in(self, stream: Stream, body: bytes) -> None:
        (in_port,) = struct.unpack("!6xH", body[:8])
        frame = body[10:]
        if len(frame) < 14:
            return
        self.packets_in += 1
        destination, source = frame[:6], frame[6:12]
        self._ports[source] = in_port
        port = self._ports.get(destination)
        if port is None:
            stream.sendall(_packet_out(in_port, _FLOOD, frame))
            return
        self.flows += 1
        stream.sendall(_flow_mod(in_port, destination, port) + _packet_out(in_port, port, frame))
