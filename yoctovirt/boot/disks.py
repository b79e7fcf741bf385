"""The disks of a node: the root file system behind an overlay, and empty ones beside it.

The overlay is thrown away with the node, or kept (``--persist``) in the workspace's folder
``persist/<node>/`` and taken again by the next boot of that name.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from yoctovirt.base.files import make_folder, write_atomically
from yoctovirt.base.process import CommandLog, run_quick
from yoctovirt.boot.qemuargs import OVERLAY
from yoctovirt.config.workspace import Workspace
from yoctovirt.errors import UsageError

_UNITS = {"": 1 << 20, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
#: What is known of the image that a kept overlay lies on.
_BASE_FILE = "base.json"


def parse_size(text: str) -> int:
    """Return the size in bytes that ``--disk`` names: MiB, or with M, G, T.

    Raises UsageError where it is not understood or below 1 MiB.
    """
    match = re.fullmatch(r"(\d+)\s*([MGT]?)(?:iB|B)?", text.strip(), re.IGNORECASE)
    size = int(match[1]) * _UNITS[match[2].upper()] if match else 0
    if not 1 << 20 <= size <= 1 << 50:
        raise UsageError(f"--disk {text!r} is no size of a disk", "such as 10G or 512M")
    return size


def persist_dir(workspace: Workspace, name: str) -> Path:
    """Return where the disks of node *name* are kept."""
    return workspace.path / "persist" / name


def make_disks(
    folder: Path, rootfs: Path, sizes: Sequence[int], keep: Path | None, log: CommandLog
) -> tuple[str, ...]:
    """Make the disks of the node with *folder*; return what QEMU needs for those beside the root.

    With *keep* they lie there, and those that lie there already are taken. Raises
    UsageError where these belong to another image, InfrastructureError where the disk of
    the host is full.
    """
    place = folder
    if keep is not None:
        place = make_folder(keep)
        _check_base(place, rootfs)
    overlay = place / OVERLAY
    if not overlay.exists():
        run_quick(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(rootfs),
                   str(overlay)], log)  # fmt: skip
    words = []
    for number, size in enumerate(sizes):
        disk = place / f"disk{number}.qcow2"
        if not disk.exists():
            run_quick(["qemu-img", "create", "-q", "-f", "qcow2", str(disk), str(size)], log)
        # Not a -device of its own: QEMU makes these before what -drive if=virtio stands for,
        # and the root file system would no longer be the first disk.
        words += ["-drive", f"if=virtio,file={disk},format=qcow2,discard=unmap"]
    if keep is not None:
        (folder / OVERLAY).symlink_to(overlay)
    return (shlex.join(words),) if words else ()


def _check_base(place: Path, rootfs: Path) -> None:
    """Raise UsageError where the overlay in *place* lies on another image than *rootfs*."""
    found = rootfs.stat()
    base = {"path": str(rootfs.resolve()), "bytes": found.st_size, "mtime_ns": found.st_mtime_ns}
    note = place / _BASE_FILE
    if (place / OVERLAY).exists():
        try:
            kept = json.loads(note.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            kept = {}
        if kept != base:
            raise UsageError(
                f"the disks kept in {place} belong to another build of the image "
                f"({kept.get('path', 'not known which')}): an overlay is of no use without it",
                f"boot without --persist, or begin anew: rm -r {shlex.quote(str(place))}",
            )
    write_atomically(note, json.dumps(base) + "\n")
