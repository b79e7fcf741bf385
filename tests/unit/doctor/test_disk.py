"""Each check of the file system on something good, and on the same thing broken."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.mounts import mounts, volume
from yoctovirt.base.files import nearest
from yoctovirt.doctor import disk
from yoctovirt.doctor.result import Result


def failed(result: Result, *words: str) -> None:
    assert result.status == "error", result
    assert result.remedy
    for word in words:
        assert word in result.message


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """Let statvfs(3) tell of a file system of 100 GiB that can be changed by the test."""
    told = SimpleNamespace(
        f_frsize=4096, f_blocks=25 << 20, f_bavail=25 << 20, f_files=6_000_000,
        f_favail=6_000_000, f_flag=0,
    )  # fmt: skip
    monkeypatch.setattr(os, "statvfs", lambda path: told)
    return iter([told])


def test_space(figures: Iterator[SimpleNamespace], tmp_path: Path) -> None:
    told = next(figures)
    assert disk.space(tmp_path, 90, fresh=True).status == "ok"
    failed(disk.space(tmp_path, 150, fresh=True), "100.0 GiB of 100.0 GiB", "needs 150 GiB")
    assert disk.space(tmp_path, 150, fresh=False).status == "ok"
    told.f_bavail = (1 << 18) - 1  # one block less than 1 GiB
    failed(disk.space(tmp_path, 150, fresh=False), "stop below 1 GiB")
    told.f_bavail += 1
    assert disk.space(tmp_path, 150, fresh=False).status == "ok"


def test_inodes(figures: Iterator[SimpleNamespace], tmp_path: Path) -> None:
    told = next(figures)
    assert disk.inodes(tmp_path, 600, fresh=True).status == "ok"
    failed(disk.inodes(tmp_path, 601, fresh=True), "6000000 of 6000000", "needs 6010000")
    assert disk.inodes(tmp_path, 601, fresh=False).status == "ok"
    told.f_favail = disk.LEAST_INODES - 1
    failed(disk.inodes(tmp_path, 601, fresh=False), "19999 of")
    told.f_files = told.f_favail = 0  # btrfs
    assert "no fixed number" in disk.inodes(tmp_path, 601, fresh=True).message


def test_noexec(figures: Iterator[SimpleNamespace], tmp_path: Path) -> None:
    told = next(figures)
    assert disk.executable(tmp_path).status == "ok"
    told.f_flag = os.ST_NOEXEC | os.ST_NOSUID
    failed(disk.executable(tmp_path), "noexec")


def test_letter_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert disk.letter_case(tmp_path).status == "ok"
    assert list(tmp_path.iterdir()) == []
    real = Path.exists
    monkeypatch.setattr(
        Path, "exists", lambda path: real(path) or real(path.with_name(path.name.swapcase()))
    )
    failed(disk.letter_case(tmp_path), "ignores letter case")


def test_a_folder_that_is_not_there_yet_counts_as_the_one_above(tmp_path: Path) -> None:
    assert nearest(tmp_path / "a" / "b") == tmp_path
    assert str(tmp_path) in disk.letter_case(tmp_path / "a" / "b").message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_of_somebody_else() -> None:
    failed(disk.letter_case(Path("/proc")), "nothing can be written")


def test_name_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert disk.name_length(tmp_path).status == "ok"
    monkeypatch.setattr(os, "pathconf", lambda path, name: 143)
    failed(disk.name_length(tmp_path), "143 characters", "200")


def test_path_length() -> None:
    path = Path("/" + "x" * 409)
    assert disk.path_length(path, 410).status == "ok"
    failed(disk.path_length(path, 409), "410 characters", "409")


@pytest.mark.parametrize("letter", list(" \t+@:~%"))
def test_characters(letter: str) -> None:
    assert disk.characters(Path("/home/a_b-c.d"), ascii_only=True).status == "ok"
    failed(disk.characters(Path(f"/home/a{letter}b"), ascii_only=False), repr(letter))


def test_letters_outside_of_ascii_depend_on_the_release() -> None:
    assert disk.characters(Path("/home/jürgen"), ascii_only=False).status == "ok"
    failed(disk.characters(Path("/home/jürgen"), ascii_only=True), "'ü'")


MOUNTS = """\
/dev/sda1 / ext4 rw,relatime 0 0
server:/export /home/nfs nfs4 rw 0 0
tmpfs /home/nfs/fast tmpfs rw 0 0
//nas/x /mnt/with\\040blank cifs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/nfs2", "ext4"),
        ("/home/nfs/a", "nfs4"),
        ("/home/nfs", "nfs4"),
        ("/home/nfs/fast/a", "tmpfs"),
        ("/mnt/with blank/a", "cifs"),
    ],
)
def test_the_mount_of_a_path(path: str, kind: str) -> None:
    found = disk.mount_of(Path(path), MOUNTS)
    assert found is not None
    assert found[1] == kind


def test_the_last_of_two_mounts_on_one_point_counts() -> None:
    found = disk.mount_of(Path("/a"), "x / ext4 rw 0 0\ny / overlay rw 0 0\n")
    assert found == ("/", "overlay", "rw")


@pytest.mark.parametrize(
    ("kind", "status"),
    [("ext4", "ok"), ("nfs", "error"), ("nfs4", "error"), ("9p", "warning"), ("cifs", "warning")],
)
def test_file_system(tmp_path: Path, kind: str, status: str) -> None:
    result = disk.file_system(tmp_path, f"x {tmp_path} {kind} rw 0 0\n")
    assert result.status == status


def test_a_mount_that_is_not_told(tmp_path: Path) -> None:
    assert disk.file_system(tmp_path, "").status == "not checked"


def test_overlay_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free: dict[str, Any] = {"bytes": disk.OVERLAY_BYTES}
    monkeypatch.setattr(disk, "free_bytes", lambda path: free["bytes"])
    assert disk.overlay_space(tmp_path).status == "ok"
    free["bytes"] -= 1
    failed(disk.overlay_space(tmp_path), "free at")


@mounts
@pytest.mark.parametrize(
    ("size", "status"), [("2g", "ok"), ("1000m", "warning"), ("64m", "warning"), ("63m", "error")]
)
def test_a_cache_on_a_volume_of_its_own(tmp_path: Path, size: str, status: str) -> None:
    workspace = tmp_path / "ws"
    with volume(tmp_path / "cache", f"size={size}") as cache:
        (found,) = disk.cache_space("DL_DIR", cache / "not" / "there", workspace)
    assert found.status == status
    assert f"free at {tmp_path}/cache/not/there" in found.message
    assert ("name another folder by DL_DIR" in found.remedy) == (status != "ok")
    assert disk.cache_space("DL_DIR", workspace / "downloads", workspace) == [], "looked at already"
