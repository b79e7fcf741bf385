"""A Python that has labgrid, for the benchmarks: one that was named, or one made for the run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def labgrid_python(folder: Path, named: Sequence[str]) -> str:
    """Return the first of *named*, else a new virtual environment's in *folder*."""
    if named:
        return named[0]
    venv = folder / "labgrid"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    python = str(venv / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "--quiet", "labgrid"], check=True)
    return python
