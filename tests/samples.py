"""Small deploy directories and run records for tests: real files, made in milliseconds."""

from __future__ import annotations

import shutil
import struct
import subprocess
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

# Deploy directories -------------------------------------------------------------


def bzimage(paragraphs: int = 256, setup_sectors: int = 3) -> bytes:
    """Return what begins as an x86 bzImage does, as long as its header says."""
    size = (setup_sectors + 1) * 512 + paragraphs * 16
    data = bytearray(size)
    data[0x1F1] = setup_sectors
    struct.pack_into("<I", data, 0x1F4, paragraphs)
    data[0x1FE:0x200] = b"\x55\xaa"
    data[0x202:0x206] = b"HdrS"
    return bytes(data)


@lru_cache(maxsize=1)
def _ext4() -> bytes:
    tool = shutil.which("mke2fs", path="/usr/sbin:/sbin:/usr/bin:/bin")
    assert tool, "mke2fs is missing: apt-get install e2fsprogs"
    with TemporaryDirectory() as folder:
        image = Path(folder) / "image"
        subprocess.run([tool, "-q", "-t", "ext4", image, "1M"], check=True, capture_output=True)
        return image.read_bytes()


def ext4() -> bytes:
    """Return a real, empty ext4 file system of 1 MiB."""
    return _ext4()


def qemuboot(**values: str) -> str:
    """Return a *.qemuboot.conf; *values* come on top, an empty one is left out."""
    settings = {
        "deploy_dir_image": ".",
        "kernel_imagetype": "bzImage",
        "machine": "qemux86-64",
        "qb_default_fstype": "ext4",
        "qb_default_kernel": "bzImage",
        "qb_mem": "-m 256",
        "qb_system_name": "qemu-system-x86_64",
        **values,
    }
    lines = [f"{key} = {value}\n" for key, value in settings.items() if value]
    return "[config_bsp]\n" + "".join(lines)


IMAGE = "core-image-minimal-qemux86-64"


def deploy_dir(path: Path, image: str = IMAGE, **values: str) -> Path:
    """Make a whole deploy directory with one image at *path*, and return it."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "bzImage").write_bytes(bzimage())
    (path / f"{image}.ext4").write_bytes(ext4())
    (path / f"{image}.qemuboot.conf").write_text(qemuboot(**values))
    (path / f"{image}.manifest").write_text("busybox core2_64 1.36.1\nglibc core2_64 2.39+git0\n")
    (path / f"{image}.testdata.json").write_text('{"DISTRO": "poky", "MACHINE": "qemux86-64"}')
    return path
