"""Small and read-only file systems, as volumes of a CI service are: real ones, so root alone."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

#: A mount namespace, and a PID namespace: what serves a file system in it ends with it.
APART = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]


def why_no_mounts() -> str | None:
    """Return why nothing can be mounted here, None where it can."""
    if os.geteuid() != 0:
        return "mounting needs root"
    probe = [*APART, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    done = subprocess.run(probe, capture_output=True, text=True, check=False)
    return f"nothing can be mounted here: {done.stderr.strip()}" if done.returncode else None


NO_MOUNTS = why_no_mounts()
mounts = pytest.mark.skipif(NO_MOUNTS is not None, reason=NO_MOUNTS or "")


@contextmanager
def volume(folder: Path, options: str) -> Iterator[Path]:
    """Mount a tmpfs on *folder* (``size=40m``, ``ro``, ``nr_inodes=9``), for all to write to."""
    folder.mkdir(exist_ok=True)
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"mode=777,{options}", "tmpfs", str(folder)], check=True
    )
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
