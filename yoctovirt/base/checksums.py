"""SHA-256 of large files, computed once for as long as they stay as they are."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from yoctovirt.base.files import sha256_file, write_atomically

#: What the builder of Debian images writes beside its files.
SUMS_FILE = "SHA256SUMS"
#: So many files are remembered, those asked for last.
_MOST = 200


class Checksums:
    """Digests of files, kept in the file *memory* between runs.

    A digest is taken from there as long as size, inode and times of the file are the same,
    and from SHA256SUMS beside it as long as that is not older. Whoever wants to know whether a
    file was altered on purpose computes it anew: :func:`yoctovirt.base.files.sha256_file`.
    """

    def __init__(self, memory: Path) -> None:
        self._memory = memory

    def of(self, paths: Iterable[Path]) -> dict[Path, str]:
        """Return the digest of each of *paths*; raises OSError where one cannot be read."""
        kept_before = self._load()
        known, found = dict(kept_before), {}
        for path in paths:
            name, state = str(path.resolve()), _state(path)
            kept = known.pop(name, None)
            if isinstance(kept, dict) and kept.get("state") == state:
                digest = str(kept["sha256"])
            else:
                digest = _noted(path) or sha256_file(path)
            known[name] = {"state": state, "sha256": digest}
            found[path] = digest
        newest = dict(list(known.items())[-_MOST:])
        if newest != kept_before:
            write_atomically(self._memory, json.dumps(newest, indent=1) + "\n")
        return found

    def _load(self) -> dict[str, Any]:
        try:
            found = json.loads(self._memory.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def _state(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns]


def _noted(path: Path) -> str:
    """Return the digest that SHA256SUMS beside *path* has of it; empty where it has none."""
    sums = path.with_name(SUMS_FILE)
    try:
        if sums.stat().st_mtime_ns < path.stat().st_mtime_ns:
            return ""
        for line in sums.read_text(encoding="utf-8").splitlines():
            digest, _, name = line.partition("  ")
            if name == path.name and len(digest) == 64:
                return digest
    except OSError:
        return ""
    return ""
