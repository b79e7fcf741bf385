"""Small and read-only file systems, as volumes of a CI service are: real ones, so root alone."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

#: In a container root may not be able to, either.
_CAN = (
    os.geteuid() == 0
    and not subprocess.run(
        ["unshare", "--mount", "true"], capture_output=True, check=False
    ).returncode
)
needs_root = pytest.mark.skipif(not _CAN, reason="nothing can be mounted here")


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
