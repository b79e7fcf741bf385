"""Why mmdebstrap failed, from what it printed."""

from __future__ import annotations

import re
from pathlib import Path

from yoctovirt.base.passing import is_passing
from yoctovirt.errors import BuildError, InfrastructureError, YoctovirtError

_UNREACHABLE = "the package archive of this host cannot be reached"
#: Pattern in the output, class, what happened, what to do. The first that matches counts.
_CAUSES: tuple[tuple[str, type[YoctovirtError], str, str], ...] = (
    (
        r"No space left on device|not enough free space|could not write: .*ENOSPC"
        r"|Could not allocate block in ext2|don't have enough free space",
        InfrastructureError,
        "the disk became full while the image was built",
        "free some space, or name another folder in YOCTOVIRT_CACHE_DIR",
    ),
    (
        r"Temporary failure resolving|Could not resolve|Could not connect|Connection refused"
        r"|Network is unreachable|Connection timed out|Failed to fetch|Unable to connect",
        InfrastructureError,
        _UNREACHABLE,
        "try 'apt-get update'; for a mirror of yours set YOCTOVIRT_APT_SOURCES",
    ),
    (
        r"Unable to locate package (?P<what>\S+)"
        r"|Package '?(?P<what2>[\w.+-]+)'? has no installation",
        BuildError,
        "the archive of this host has no package {what}",
        "remove it from the role, or use a release that has it",
    ),
    (
        r"NO_PUBKEY|is not signed|The following signatures couldn't be verified",
        InfrastructureError,
        "the signature of the package archive cannot be verified",
        "install the keyring of your distribution (debian-archive-keyring, ubuntu-keyring)",
    ),
    (
        r"unmet dependencies|Unable to correct problems|held broken packages",
        BuildError,
        "the packages of the role do not go together",
        "look into the log for the dependency that is not met",
    ),
    (
        r"unshare\(\) failed|newuidmap failed|Operation not permitted.*namespace",
        InfrastructureError,
        "this host does not allow the namespaces that mmdebstrap needs",
        "run on a host (or in a container) that allows them, as root or with user namespaces",
    ),
)


def explain(output: str, status: int, log: Path) -> YoctovirtError:
    """Return the error for a failed mmdebstrap; an unknown cause is said to be unknown."""
    lines = [line.strip() for line in output.splitlines()]
    # What the programs call an error; else whatever has the word (our script is in the log, too).
    errors = [
        line
        for line in lines
        if re.match(r"(E|Err|W: Failed|dpkg|mke2fs|tar|cp|mount|umount|unshare): ", line)
        and "#!/bin/sh" not in line
    ]
    errors = errors or [line for line in lines if "error" in line]
    detail = "; ".join(errors[:3]) or "no error line in its output"
    for pattern, kind, message, hint in _CAUSES:
        match = re.search(pattern, output)
        if match:
            what = next((group for group in match.groups() if group), "")
            error = kind(f"{message.format(what=what)} ({detail}; log: {log})", hint)
            if isinstance(error, InfrastructureError):
                error.passing = message == _UNREACHABLE and is_passing(output)
            return error
    return BuildError(
        f"mmdebstrap failed with exit status {status}, cause unknown: {detail}",
        f"the whole log is {log}",
    )
