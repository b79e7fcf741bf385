from __future__ import annotations

from pathlib import Path

import pytest

from yoctovirt.config.yamlfile import load_mapping
from yoctovirt.errors import UsageError


def write(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "x.yml"
    path.write_bytes(data)
    return path


def test_a_mapping_is_read_and_an_empty_file_is_an_empty_one(tmp_path: Path) -> None:
    assert load_mapping(write(tmp_path, "a: [1, ü]\n".encode())) == {"a": [1, "ü"]}
    assert load_mapping(write(tmp_path, b"# nothing\n")) == {}


@pytest.mark.parametrize(
    ("data", "where"),
    [
        (b"a: 1\nb: [1, 2\n", "x.yml:3:1"),
        (b"a: 1\n\tb: 2\n", "x.yml:2:1"),
        (b"a: 1\nb: c: d\n", "x.yml:2:5"),
        (b"a: *nowhere\n", "x.yml:1:4"),
        (b"a: !!python/object:os.system {}\n", "x.yml:1:4"),
    ],
)
def test_broken_yaml_is_shown_with_line_and_column(tmp_path: Path, data: bytes, where: str) -> None:
    with pytest.raises(UsageError, match="not valid YAML") as caught:
        load_mapping(write(tmp_path, data))
    assert f"{tmp_path}/{where}: " in caught.value.message


def test_control_characters_are_an_error_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"x\.yml.*not valid YAML"):
        load_mapping(write(tmp_path, b"a: \x01\n"))


def test_bytes_that_are_no_utf8(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"x\.yml is not UTF-8 text: byte 4"):
        load_mapping(write(tmp_path, b"a: x\xff\n"))


@pytest.mark.parametrize(
    ("data", "kind"), [(b"- a\n- b\n", "list"), (b"text\n", "str"), (b"3\n", "int")]
)
def test_what_is_no_mapping(tmp_path: Path, data: bytes, kind: str) -> None:
    with pytest.raises(UsageError, match=f"expected a mapping of keys, found a {kind}"):
        load_mapping(write(tmp_path, data))


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        load_mapping(tmp_path / "gone.yml")
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        load_mapping(tmp_path)
