"""Disks beside the root, kept overlays, forwarded ports: what users write, and real qemu-img."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from yoctovirt.base.process import CommandLog
from yoctovirt.boot.disks import make_disks, parse_size
from yoctovirt.boot.forwards import Forward, parse_forward
from yoctovirt.errors import UsageError


@pytest.mark.parametrize(
    ("text", "size"),
    [("512", 512 << 20), ("512M", 512 << 20), ("10G", 10 << 30), ("10GiB", 10 << 30),
     ("1t", 1 << 40), (" 2 G ", 2 << 30)],
)  # fmt: skip
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "0", "-1G", "ten", "1.5G", "10K", "99999T", "G"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(UsageError, match="is no size of a disk"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "forward"),
    [("8080:80", Forward(80, 8080)), ("0:443", Forward(443, 0)),
     ("0.0.0.0:8080:80", Forward(80, 8080, "0.0.0.0")), (":8080:80", Forward(80, 8080))],
)  # fmt: skip
def test_forwards(text: str, forward: Forward) -> None:
    assert parse_forward(text) == forward


@pytest.mark.parametrize(
    "text", ["80", "a:80", "8080:0", "8080:70000", "-1:80", "1:2:3:4", "localhost:8080:80", ""]
)
def test_what_is_no_forward(text: str) -> None:
    with pytest.raises(UsageError, match="--forward"):
        parse_forward(text)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image.ext4"
    path.write_bytes(b"first" + bytes(1 << 20))
    return path


def info(path: Path) -> dict[str, object]:
    done = subprocess.run(["qemu-img", "info", "--output=json", str(path)],
                          check=True, capture_output=True)  # fmt: skip
    found: dict[str, object] = json.loads(done.stdout)
    return found


def folder(tmp_path: Path, name: str) -> Path:
    made = tmp_path / name
    made.mkdir()
    return made


def test_disks_that_go_with_the_node(tmp_path: Path, image: Path) -> None:
    node = folder(tmp_path, "node")
    (words,) = make_disks(node, image, [1 << 30, 2 << 30], None, CommandLog())
    assert words.count("if=virtio") == 2
    assert info(node / "overlay.qcow2")["full-backing-filename"] == str(image)
    assert info(node / "disk1.qcow2")["virtual-size"] == 2 << 30
    assert make_disks(folder(tmp_path, "other"), image, [], None, CommandLog()) == ()


def test_disks_that_are_kept(tmp_path: Path, image: Path) -> None:
    keep = tmp_path / "persist" / "node"
    make_disks(folder(tmp_path, "one"), image, [1 << 30], keep, CommandLog())
    subprocess.run(["qemu-io", "-c", "write -P 7 0 64k", str(keep / "overlay.qcow2")], check=True)
    written = (keep / "overlay.qcow2").read_bytes()
    second = folder(tmp_path, "two")
    make_disks(second, image, [1 << 30], keep, CommandLog())
    assert (second / "overlay.qcow2").read_bytes() == written, "the same disk again"
    assert (second / "overlay.qcow2").is_symlink()


def test_kept_disks_of_another_image_are_refused(tmp_path: Path, image: Path) -> None:
    keep = tmp_path / "persist" / "node"
    make_disks(folder(tmp_path, "one"), image, [], keep, CommandLog())
    before = (keep / "overlay.qcow2").read_bytes()
    found = image.stat()
    image.write_bytes(b"other" + bytes(1 << 20))
    os.utime(image, ns=(found.st_atime_ns, found.st_mtime_ns + 1))
    with pytest.raises(UsageError, match="another build of the image") as caught:
        make_disks(folder(tmp_path, "two"), image, [], keep, CommandLog())
    assert f"rm -r {keep}" in caught.value.hint
    assert (keep / "overlay.qcow2").read_bytes() == before, "nothing is thrown away"
