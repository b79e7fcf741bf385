"""Why QEMU did not start, from what it printed."""

from __future__ import annotations

import re
from pathlib import Path

from yoctovirt.errors import BootError

_CAUSES: tuple[tuple[str, str, str], ...] = (
    (
        r"Could not set up host forwarding rule '?\w+:[\d.]*:(\d+)-",
        "port {0} of this host is in use",
        "choose another with --ssh-port, or leave the choice to QEMU",
    ),
    (
        r"cannot set up guest memory|Cannot allocate memory|exceeds.*memory",
        "this host has not the memory that the node asks for",
        "give it less with --memory",
    ),
    (
        r"[Ff]ailed to get \"?(?:write|consistent read)|Failed to get shared",
        "the disk image is in use by another QEMU",
        "stop that node first",
    ),
    (
        r"Could not access KVM|failed to initialize kvm",
        "KVM cannot be used",
        "boot with --no-kvm",
    ),
    (
        r"(?:invalid option|Parameter .* is missing|is not a valid|unsupported machine"
        r"|Invalid parameter|Property .* not found|unable to find CPU model)",
        "QEMU does not understand its arguments",
        "look at --qemuparams and at the qemuboot.conf of the image",
    ),
    (
        r"No space left on device",
        "the disk is full",
        "free some space on the file system of the workspace",
    ),
)


def ended_by(status: int) -> str | None:
    """Return by which signal a command ended whose status is 128 + N, None for another status."""
    import signal

    try:
        name = signal.Signals(status - 128).name
    except ValueError:
        return None
    return f"somebody or something ended it by {name}"


def explain_qemu(gone: str, log: Path) -> BootError:
    """Return the error for a QEMU that ended at its start; *gone* is what it left."""
    for pattern, message, hint in _CAUSES:
        match = re.search(pattern, gone)
        if match:
            return BootError(f"{message.format(*match.groups())} (QEMU: {gone})", hint)
    return BootError(f"QEMU did not start: {gone}", f"its output is in {log}")
