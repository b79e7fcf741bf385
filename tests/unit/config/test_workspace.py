from __future__ import annotations

from pathlib import Path

import pytest

from yoctovirt.config.workspace import find_workspace
from yoctovirt.errors import InfrastructureError, UsageError


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("YOCTOVIRT_WORKSPACE", "YOCTOVIRT_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def make(path: Path, text: str = "version: 1\n") -> Path:
    path.mkdir(parents=True, exist_ok=True)
    (path / "yoctovirt.yml").write_text(text)
    return path


def test_it_is_found_upwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space = make(tmp_path / "space")
    below = space / "build-reference" / "deep"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    found = find_workspace()
    assert found.path == space
    assert found.runs == space / "runs"
    assert found.nodes == space / "nodes"
    assert found.build_dir("quick") == space / "build-quick"


def test_the_nearest_one_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path)
    inner = make(tmp_path / "inner")
    monkeypatch.chdir(inner)
    assert find_workspace().path == inner


def test_the_option_wins_over_the_variable_and_the_variable_over_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, variable, option = (make(tmp_path / name) for name in ("here", "variable", "option"))
    monkeypatch.chdir(here)
    assert find_workspace().path == here
    monkeypatch.setenv("YOCTOVIRT_WORKSPACE", str(variable))
    assert find_workspace().path == variable
    assert find_workspace(option).path == option


def test_a_relative_name_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "space")
    monkeypatch.chdir(tmp_path)
    assert find_workspace(Path("space")).path == tmp_path / "space"


def test_a_named_workspace_is_not_looked_for_above(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "below").mkdir()
    with pytest.raises(UsageError, match=f"no workspace in {tmp_path / 'below'}"):
        find_workspace(tmp_path / "below")


def test_looking_makes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=f"no workspace at or above {tmp_path}") as caught:
        find_workspace()
    assert "--workspace" in caught.value.hint
    with pytest.raises(UsageError):
        find_workspace(tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def test_first_use_makes_one_where_it_is_asked_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = find_workspace(tmp_path / "a" / "new", create=True)
    assert named.path == tmp_path / "a" / "new"
    assert [path.name for path in named.path.iterdir()] == ["yoctovirt.yml"]
    assert find_workspace(named.path) == named

    (tmp_path / "b").mkdir()
    monkeypatch.chdir(tmp_path / "b")
    assert find_workspace(create=True).path == tmp_path / "b"


def test_one_that_is_there_is_not_written_again(tmp_path: Path) -> None:
    text = "# my remark\nversion: 1\n"
    make(tmp_path, text)
    below = tmp_path / "yoctovirt.yml"
    before = below.stat().st_mtime_ns
    assert find_workspace(tmp_path, create=True).path == tmp_path
    assert below.read_text() == text
    assert below.stat().st_mtime_ns == before


def test_a_workspace_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InfrastructureError, match="file"):
        find_workspace(tmp_path / "file" / "space", create=True)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("version: 1\nlayer_dir: x\n", "unknown key layer_dir"),
        ("version: 1\nb: 1\na: 1\n", "unknown key a, b"),
        ("version: 2\n", "version is 2, expected 1"),
        ("version: '1'\n", "version is '1', expected 1"),
        ("cache_dir: x\n", "version is None, expected 1"),
        ("", "version is None, expected 1"),
        ("version: 1\ncache_dir: [a]\n", r"cache_dir is not a folder name: \['a'\]"),
        ("version: 1\ncache_dir: 3\n", "cache_dir is not a folder name: 3"),
        ("version: [\n", "yoctovirt.yml:2:1: not valid YAML"),
    ],
)
def test_a_file_that_is_not_as_it_should_be(tmp_path: Path, text: str, words: str) -> None:
    make(tmp_path, text)
    for create in (False, True):
        with pytest.raises(UsageError, match=words) as caught:
            find_workspace(tmp_path, create=create)
        assert str(tmp_path / "yoctovirt.yml") in caught.value.message


def test_keys_of_two_kinds_are_named_too(tmp_path: Path) -> None:
    make(tmp_path, "version: 1\n3: x\nname: y\n")
    with pytest.raises(UsageError, match="unknown key"):
        find_workspace(tmp_path)


def test_where_the_cache_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "space")
    space = tmp_path / "space"
    assert find_workspace(space).cache_dir == tmp_path / "home" / ".cache" / "yoctovirt"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert find_workspace(space).cache_dir == tmp_path / "xdg" / "yoctovirt"
    monkeypatch.setenv("YOCTOVIRT_CACHE_DIR", str(tmp_path / "mine"))
    assert find_workspace(space).cache_dir == tmp_path / "mine"
    make(space, "version: 1\ncache_dir: beside\n")
    assert find_workspace(space).cache_dir == space / "beside"
    make(space, "version: 1\ncache_dir: /srv/cache\n")
    assert find_workspace(space).cache_dir == Path("/srv/cache")
