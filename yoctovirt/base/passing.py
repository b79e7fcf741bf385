"""Failures of a network that may be over when one tries again."""

from __future__ import annotations

import re

#: What the C library, curl, wget, git and apt say where nobody answered, or not to the end. That
#: a file is not there, or that a proxy refuses us, is none of it.
_PASSING = re.compile(
    r"Temporary failure (?:in name resolution|resolving)"
    r"|Could not resolve host"  # curl does not say whether it will ever be
    r"|Connection (?:refused|timed out|reset|closed)"
    r"|(?:Operation|Connection|Read|Resolving) timed out|Timeout was reached|timeout expired"
    r"|Failed to connect to|Could not connect to|Unable to connect to|unable to connect to"
    r"|No route to host|Network is unreachable|Network is down"
    r"|(?:ERROR|error:|HTTP(?:/[\d.]+)?|status(?: code)?) *:? *(?:429|5\d\d)\b"
    r"|\b(?:50[0234]|429) +(?:Internal Server Error|Bad Gateway|Gateway Time-?out"
    r"|Service (?:Temporarily )?Unavailable|Too Many Requests)"
    r"|early EOF|the remote end hung up unexpectedly|RPC failed|unexpected disconnect"
    r"|(?:transfer closed|connection closed|Connection closed) (?:with|at byte)"
    r"|Empty reply from server|SSL_ERROR_SYSCALL|gnutls_handshake\(\) failed",
    re.IGNORECASE,
)


def is_passing(said: str) -> bool:
    """Whether *said*, the output of a program that asked a network, tells of a passing failure."""
    return _PASSING.search(said) is not None
