"""A small disk image of ours in QEMU's format qcow2, made without QEMU's tools."""

from __future__ import annotations

import struct

_CLUSTER_BITS = 16
_CLUSTER = 1 << _CLUSTER_BITS
#: The cluster is referred to once: QEMU may write to it in place (OFLAG_COPIED).
_COPIED = 1 << 63


def make_qcow2(data: bytes, size_mib: int = 1) -> bytes:
    """Return an image of a disk of *size_mib* MiB that begins with *data*, the rest is empty.

    Version 2 of the format as in QEMU's docs/interop/qcow2.txt: a header, the table and one
    block of reference counts, the two levels of the cluster tables, the data.
    """
    count = -(-len(data) // _CLUSTER)
    per_table = _CLUSTER // 8
    assert 0 < count <= per_table, f"{len(data)} bytes do not fit in one table"
    assert len(data) <= size_mib << 20 <= per_table * _CLUSTER
    counts_table, counts, level1, level2, first = (_CLUSTER * n for n in range(1, 6))
    header = struct.pack(
        ">4sIQIIQIIQQIIQ",
        b"QFI\xfb", 2,
        0, 0,  # no backing file
        _CLUSTER_BITS, size_mib << 20,
        0,  # not encrypted
        1, level1,
        counts_table, 1,
        0, 0,  # no snapshots
    )  # fmt: skip
    used = 5 + count
    clusters = [
        header,
        struct.pack(">Q", counts),
        struct.pack(f">{used}H", *[1] * used),
        struct.pack(">Q", level2 | _COPIED),
        struct.pack(f">{count}Q", *((first + n * _CLUSTER) | _COPIED for n in range(count))),
    ]
    padded = data.ljust(count * _CLUSTER, b"\0")
    return b"".join(cluster.ljust(_CLUSTER, b"\0") for cluster in clusters) + padded
