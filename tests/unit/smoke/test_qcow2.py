"""The disk image of ours is one for QEMU, too, and holds what it was given."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
from pathlib import Path

import pytest

from yoctovirt.smoke.suites.aids.qcow2 import make_qcow2

QEMU_IMG = shutil.which("qemu-img")


@pytest.mark.skipif(QEMU_IMG is None, reason="qemu-img is not installed")
@pytest.mark.parametrize("size", [1, 65536, 65537, 1 << 20])
def test_qemu_reads_it(tmp_path: Path, size: int) -> None:
    data = secrets.token_bytes(size)
    image, raw = tmp_path / "image.qcow2", tmp_path / "raw"
    image.write_bytes(make_qcow2(data, size_mib=2))
    tool = QEMU_IMG or ""
    subprocess.run([tool, "check", str(image)], check=True, capture_output=True)
    told = subprocess.run(
        [tool, "info", "--output=json", str(image)], check=True, capture_output=True
    )
    assert json.loads(told.stdout)["format"] == "qcow2"
    subprocess.run([tool, "convert", "-O", "raw", str(image), str(raw)], check=True)
    assert raw.read_bytes() == data.ljust(2 << 20, b"\0")


def test_what_does_not_fit() -> None:
    with pytest.raises(AssertionError):
        make_qcow2(bytes((1 << 20) + 1))
