"""Digests that are computed once."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from yoctovirt.base import checksums
from yoctovirt.base.checksums import Checksums
from yoctovirt.base.files import sha256_file


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were read."""
    found: list[Path] = []
    real = sha256_file

    def noted(path: Path) -> str:
        found.append(path)
        return real(path)

    monkeypatch.setattr(checksums, "sha256_file", noted)
    return found


def test_a_file_is_read_once_as_long_as_it_stays(tmp_path: Path, computed: list[Path]) -> None:
    image, memory = tmp_path / "image", tmp_path / "memory.json"
    image.write_bytes(b"one")
    assert Checksums(memory).of([image]) == {image: sha256(b"one")}
    assert Checksums(memory).of([image]) == {image: sha256(b"one")}
    assert computed == [image]


@pytest.mark.parametrize("how", ["another size", "same size", "replaced", "old times"])
def test_a_file_that_changed_is_read_again(tmp_path: Path, computed: list[Path], how: str) -> None:
    image, memory = tmp_path / "image", tmp_path / "memory.json"
    image.write_bytes(b"one")
    before = image.stat()
    Checksums(memory).of([image])
    data = b"three" if how == "another size" else b"two"
    if how == "replaced":
        (tmp_path / "other").write_bytes(data)
        (tmp_path / "other").replace(image)
    else:
        image.write_bytes(data)
    if how == "old times":
        os.utime(image, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert Checksums(memory).of([image]) == {image: sha256(data)}
    assert len(computed) == 2


def test_what_the_build_noted_is_taken_until_the_file_is_newer(
    tmp_path: Path, computed: list[Path]
) -> None:
    image = tmp_path / "image"
    image.write_bytes(b"one")
    (tmp_path / "SHA256SUMS").write_text(f"{'5e' * 32}  image\n{'ab' * 32}  image.conf\n")
    assert Checksums(tmp_path / "m").of([image]) == {image: "5e" * 32}
    assert computed == []
    later = (tmp_path / "SHA256SUMS").stat().st_mtime_ns + 1_000_000_000
    os.utime(image, ns=(later, later))
    assert Checksums(tmp_path / "m").of([image]) == {image: sha256(b"one")}


@pytest.mark.parametrize("text", ["{", "[]", '{"x": 1}', ""])
def test_a_damaged_memory_is_no_memory(tmp_path: Path, text: str) -> None:
    image, memory = tmp_path / "image", tmp_path / "memory.json"
    image.write_bytes(b"one")
    memory.write_text(text)
    assert Checksums(memory).of([image]) == {image: sha256(b"one")}
    assert str(image) in json.loads(memory.read_text())


def test_the_memory_does_not_grow_without_end(tmp_path: Path) -> None:
    memory = tmp_path / "memory.json"
    files = []
    for number in range(250):
        files.append(tmp_path / f"f{number}")
        files[-1].write_text(str(number))
    Checksums(memory).of(files)
    assert len(json.loads(memory.read_text())) == 200


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Checksums(tmp_path / "m").of([tmp_path / "none"])
