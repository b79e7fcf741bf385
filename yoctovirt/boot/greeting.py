"""Whether an sshd still greets, asked where a command did not end in time."""

from __future__ import annotations

import socket


def no_greeting(host: str, port: int, seconds: float) -> str | None:
    """Return what is wrong where no sshd greets on *port* within *seconds*; None where it does."""
    try:
        with socket.create_connection((host, port), seconds) as probe:
            probe.settimeout(seconds)
            if probe.recv(4):
                return None
            reason = "it closes the connection"
    except OSError as error:
        reason = str(error)
    return (
        f"sshd does not answer a new connection either ({reason}): the node's network is cut, "
        "or the node stands still; does its console answer?"
    )
