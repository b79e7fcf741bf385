"""A guest's CPU is sent to nowhere, through QEMU's gdbstub: a real oops of its kernel."""

from __future__ import annotations

import socket
import struct
import time

from yoctovirt.boot.qmp import Qmp, short_path

#: Order of the registers in the stub's ``g`` packet for x86_64: 16 general ones, then RIP.
_RIP = 16


class Gdb:
    """The few words of the remote protocol that are needed."""

    def __init__(self, qmp: Qmp) -> None:
        path = qmp.socket_path.with_name("gdb.sock")
        said = qmp.hmp(f"gdbserver unix:{path},server=on,wait=off")
        assert path.exists(), said
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(60)
        with short_path(path) as address:
            self._socket.connect(address)
        self._rest = b""

    def _packet(self) -> str:
        while True:
            start = self._rest.find(b"$")
            end = self._rest.find(b"#", start)
            if 0 <= start < end and len(self._rest) >= end + 3:
                body = self._rest[start + 1 : end]
                self._rest = self._rest[end + 3 :]
                self._socket.sendall(b"+")
                return body.decode("ascii", "replace")
            data = self._socket.recv(65536)
            assert data, "the stub has gone"
            self._rest += data

    def send(self, text: str) -> None:
        body = text.encode()
        self._socket.sendall(b"$" + body + b"#%02x" % (sum(body) % 256))

    def ask(self, text: str) -> str:
        self.send(text)
        return self._packet()

    def halt(self) -> None:
        """Stop all CPUs (the stub does when somebody connects)."""
        self.ask("?")

    def registers(self) -> bytearray:
        answer = self.ask("g")
        while answer[0] in "TS":  # why it has stopped, told late
            answer = self._packet()
        return bytearray.fromhex(answer)

    def rip(self) -> int:
        value: int = struct.unpack_from("<Q", self.registers(), _RIP * 8)[0]
        return value

    def jump(self, address: int) -> None:
        registers = self.registers()
        struct.pack_into("<Q", registers, _RIP * 8, address)
        answer = self.ask(f"G{registers.hex()}")
        assert answer == "OK", answer

    def go(self) -> None:
        """Let the guest run on, and leave it."""
        self.ask("D")

    def interrupt(self) -> None:
        self._socket.sendall(b"\x03")
        self._packet()

    def close(self) -> None:
        self._socket.close()


def cause_oops(qmp: Qmp) -> None:
    """Let the kernel jump to address 0 the next time that a CPU is found inside of it."""
    gdb = Gdb(qmp)
    try:
        gdb.halt()
        for _ in range(200):
            # Addresses of the kernel have the highest bit set.
            if gdb.rip() >> 63:
                gdb.jump(0)
                gdb.go()
                return
            gdb.send("c")
            time.sleep(0.05)
            gdb.interrupt()
        raise AssertionError("no CPU was found in the kernel")
    finally:
        gdb.close()
