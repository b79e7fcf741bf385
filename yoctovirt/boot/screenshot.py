"""The screen of a node as a PNG file."""

from __future__ import annotations

import re
import struct
import zlib
from contextlib import suppress
from pathlib import Path

from yoctovirt.base.files import disk_error
from yoctovirt.boot.qmp import Qmp
from yoctovirt.boot.results import NodeUnreachableError
from yoctovirt.errors import BootError


def take_screenshot(qmp: Qmp, target: Path) -> Path:
    """Write what the node's display shows to *target* (PNG), whole or not at all.

    QMP ``screendump``. Raises BootError where the node has no display, InfrastructureError
    where the file cannot be written.
    """
    # QEMU writes it itself, in a folder that it may write to in any case: that of its monitor.
    aside = qmp.socket_path.with_name("screen.ppm")
    try:
        # PNG came with QEMU 7.1; kirkstone's has PPM only.
        qmp.execute("screendump", filename=str(aside))
        image = png(aside.read_bytes())
    except NodeUnreachableError as error:
        if re.search(r"no (?:graphical )?console|no surface", error.message, re.IGNORECASE):
            raise BootError(
                "the node has no display to take a picture of",
                "boot it with --qemuparams '-device VGA', or look at 'yoctovirt logs'",
            ) from error
        raise
    finally:
        with suppress(OSError):
            aside.unlink()
    part = target.with_name(f".{target.name}.part")
    try:
        part.write_bytes(image)
        part.replace(target)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        raise disk_error(error, target) from error
    return target


def png(ppm: bytes) -> bytes:
    """Return a binary PPM picture (P6, 8 bits) as PNG; raise BootError for anything else."""
    head = re.match(rb"P6\s+(\d+)\s+(\d+)\s+255\s", ppm)
    if head is None:
        raise BootError("QEMU's picture of the screen is not what it should be (no P6 PPM)")
    width, height = int(head[1]), int(head[2])
    pixels = ppm[head.end() :]
    if len(pixels) < width * height * 3:
        raise BootError(f"QEMU's picture of the screen is cut short: {len(pixels)} bytes")
    rows = b"".join(
        b"\0" + pixels[row * width * 3 : (row + 1) * width * 3] for row in range(height)
    )

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
