"""Ports of the host that lead into a node."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from yoctovirt.boot.qmp import Qmp
from yoctovirt.boot.results import NodeUnreachableError
from yoctovirt.errors import BootError, UsageError


@dataclass(frozen=True)
class Forward:
    """``[ADDRESS:]HOST:GUEST``, all TCP."""

    guest: int
    host: int = 0  #: 0: QEMU takes a free one
    address: str = "127.0.0.1"

    def __str__(self) -> str:
        """Return it as a user writes it."""
        return f"{self.address}:{self.host}:{self.guest}"


def parse_forward(text: str) -> Forward:
    """Return what ``--forward`` says; raise UsageError where that is not understood."""
    words = text.split(":")
    if len(words) == 2:
        words = ["127.0.0.1", *words]
    try:
        address, host, guest = words
        found = Forward(int(guest), int(host), str(ipaddress.IPv4Address(address or "127.0.0.1")))
    except ValueError as error:
        raise UsageError(
            f"--forward {text!r} is not understood",
            "write HOST:GUEST, such as 8080:80, or 0.0.0.0:8080:80 for all of your network; port 0 "
            "of the host takes a free one",
        ) from error
    if not (0 <= found.host <= 65535 and 1 <= found.guest <= 65535):
        raise UsageError(f"--forward {text!r}: a port is a number from 1 to 65535")
    return found


def add_forward(qmp: Qmp, wanted: Forward, network: str = "net0") -> Forward:
    """Let QEMU forward a port (HMP ``hostfwd_add``) and return it with the port that was taken.

    QEMU itself binds it: nobody can take it between a look and its use. Raises BootError
    where the port is in use.
    """
    rule = f"tcp:{wanted.address}:{wanted.host}-:{wanted.guest}"
    before = set(qmp.forwards())
    answer = qmp.hmp(f"hostfwd_add {network} {rule}").strip()
    if answer and wanted.host:
        from yoctovirt.doctor.boot import holder

        who = holder(wanted.host)
        raise BootError(
            f"port {wanted.host} of this host cannot be forwarded into the node: "
            + (f"{who} has it" if who else answer),
            f"choose another, or 0 for any: --forward 0:{wanted.guest}",
        )
    if answer:
        raise NodeUnreachableError(f"QEMU does not forward a port: {answer}")
    for host, guest in set(qmp.forwards()) - before:
        if guest == wanted.guest:
            return Forward(guest, host, wanted.address)
    raise NodeUnreachableError(f"QEMU does not tell which port it forwards to {wanted.guest}")
