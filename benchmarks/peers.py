"""What benchmarks share: a Python that has a peer, what a peer has measured, our environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def python_with(package: str, folder: Path, named: Sequence[str] = ()) -> str:
    """Return the first of *named*, else a new virtual environment's in *folder* with *package*."""
    if named:
        return named[0]
    venv = folder / package
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    python = str(venv / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "--quiet", package], check=True)
    return python


def ask(name: str, argv: Sequence[str]) -> Any:
    """Run the peer *name* and return the JSON of its last line; None where it fails.

    A peer that fails has no time; ours are still worth being seen, and so is why it failed.
    """
    done = subprocess.run(argv, check=False, text=True, capture_output=True)
    if done.returncode != 0:
        print(f"{name} failed, no figure of it:\n{(done.stdout + done.stderr)[-1500:]}")
        return None
    return json.loads(done.stdout.splitlines()[-1])


def as_installed() -> dict[str, str]:
    """Return our environment, in which Python keeps bytecode, as an installed tool has it."""
    return {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
