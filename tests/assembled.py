"""Assembly sources that the package carries as bytes: whether both are the same."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

needs_binutils = pytest.mark.skipif(
    not (shutil.which("as") and shutil.which("ld")), reason="binutils are not installed"
)


def assemble(source: Path, folder: Path) -> bytes:
    """Return the bytes of *source*, linked at 0; skip the test where `as` is not for x86."""
    if "--64" not in subprocess.run(["as", "--help"], capture_output=True, text=True).stdout:
        pytest.skip("this assembler is not for x86")
    object_file, binary = folder / "made.o", folder / "made.bin"
    subprocess.run(["as", "--64", "-o", object_file, source], check=True)
    link = ["ld", "-m", "elf_x86_64", "-Ttext=0", "--oformat=binary", "-e", "0"]
    subprocess.run([*link, "-o", binary, object_file], check=True)
    return binary.read_bytes()
