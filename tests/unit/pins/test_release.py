"""The files of a release: what is read from them, and what is refused."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import jsonschema
import pytest

from tests.unit.pins.world import INFO, World
from yoctovirt.base.yamlfile import load_mapping
from yoctovirt.config.roles import load_role, role_files
from yoctovirt.config.selection import load_releases, manifests
from yoctovirt.errors import UsageError
from yoctovirt.pins import release as module
from yoctovirt.pins.release import load_info, load_release, release_files

SHA = "0123456789abcdef" * 2 + "01234567"


def manifest(folder: Path, text: str) -> Path:
    (folder / "mine.release.yml").write_text(INFO)
    path = folder / "mine.yml"
    path.write_text(text)
    return path


def repos(*lines: str) -> str:
    return "header: {version: 19}\nrepos:\n" + "".join(f"  {line}\n" for line in lines)


def refused(folder: Path, text: str) -> UsageError:
    manifest(folder, text)
    with pytest.raises(UsageError) as caught:
        load_release(folder, "mine")
    assert caught.value.exit_code == 2
    assert caught.value.hint or "not valid YAML" in caught.value.message
    return caught.value


# Ours -----------------------------------------------------------------------------


def test_our_releases() -> None:
    assert set(release_files(manifests())) == {"kirkstone", "scarthgap", "wrynose"}
    for release in load_releases():
        assert release.info.series == release.name
        assert release.info.core in {pin.name for pin in release.pins}
        assert all(pin.url.startswith("https://") and pin.branch for pin in release.pins)
        schema = json.loads(Path(module.__file__).with_name("release.schema.json").read_text())
        jsonschema.Draft202012Validator.check_schema(schema)


def test_roles_of_a_release_are_those_whose_files_name_it() -> None:
    for release in load_releases():
        roles = [load_role(name) for name in role_files()]
        made = [role for role in roles if release.name in (role.releases or (role.release,))]
        assert set(release.info.roles) == {role.name for role in made}
        assert set(release.info.machines) == {one for role in made for one in role.machines}


def test_support_ends_after_the_last_month(tmp_path: Path) -> None:
    path = tmp_path / "x.release.yml"
    path.write_text(INFO)
    info = load_info(path)
    assert info.supported(date(2030, 4, 30))
    assert not info.supported(date(2030, 5, 1))


# Bad input ------------------------------------------------------------------------


def test_an_unknown_release_is_answered_with_near_matches() -> None:
    with pytest.raises(UsageError, match="there is no release 'kirkston'") as caught:
        load_releases(["kirkston"])
    assert "did you mean kirkstone" in caught.value.hint


def test_a_branch_without_a_commit(tmp_path: Path) -> None:
    error = refused(tmp_path, repos("a: {url: 'https://x.invalid/a',", "    branch: main}"))
    assert error.message.startswith(f"{tmp_path}/mine.yml:3: repository a is not pinned")
    assert "it has no commit" in error.message
    assert "the commit of branch main" in error.hint


@pytest.mark.parametrize(
    ("commit", "said", "hint"),
    [
        ("58f9b898", "58f9b898", "cut short"),
        (SHA[:39], SHA[:39], "cut short"),
        ("kirkstone", "kirkstone", "name of a branch or a tag"),
        ("v1.0", "v1.0", "name of a branch or a tag"),
        ("1234567", "1234567", "YAML reads it as a number"),
        (SHA.upper(), SHA.upper(), "40 hexadecimal"),
        (SHA + "0", SHA + "0", "40 hexadecimal"),
    ],
)
def test_what_is_no_full_commit(tmp_path: Path, commit: str, said: str, hint: str) -> None:
    text = repos("a:", "  url: https://x.invalid/a", "  branch: main", f"  commit: {commit}")
    error = refused(tmp_path, text)
    assert error.message.startswith(f"{tmp_path}/mine.yml:6: repository a is not pinned")
    assert said in error.message
    assert hint in error.hint


@pytest.mark.parametrize("path", ["a", "./a", "x/../a"])
def test_two_repositories_with_one_path(tmp_path: Path, path: str) -> None:
    error = refused(tmp_path, repos(
        f"a: {{url: 'https://x.invalid/a', commit: {SHA}}}",
        f"b: {{url: 'https://x.invalid/b', commit: {SHA}, path: {path}}}",
    ))  # fmt: skip
    assert f"{tmp_path}/mine.yml:4: repositories a and b have one path: a" in error.message


def test_one_name_twice(tmp_path: Path) -> None:
    error = refused(tmp_path, repos(
        f"a: {{url: 'https://x.invalid/a', commit: {SHA}}}",
        f"a: {{url: 'https://x.invalid/b', commit: {SHA}}}",
    ))  # fmt: skip
    assert f"{tmp_path}/mine.yml:4:3: the key a stands twice; it is in line 3" in error.message


def test_a_yaml_error_names_file_line_and_column(tmp_path: Path) -> None:
    error = refused(tmp_path, "header: {version: 19}\nrepos:\n  a: [\n")
    assert f"{tmp_path}/mine.yml:4:1: not valid YAML" in error.message


def test_no_repositories(tmp_path: Path) -> None:
    assert "there are no repositories" in refused(tmp_path, "header: {version: 19}\n").message


def test_a_repository_that_is_not_there(world: World) -> None:
    with pytest.raises(UsageError, match="release one has no repository 'cor'") as caught:
        world.load().pin("cor")
    assert "core" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "required"),
        (INFO + "colour: red\n", "colour"),
        (INFO.replace("2030-04", "2030-13"), "2030-13"),
        (INFO.replace("supported", "yes"), "support.status"),
    ],
)
def test_a_file_beside_the_release_that_does_not_fit(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "x.release.yml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        load_info(path)
    assert said in caught.value.message
    assert str(path) in caught.value.message


def test_a_release_without_the_file_beside_it(tmp_path: Path) -> None:
    manifest(tmp_path, repos(f"a: {{url: 'https://x.invalid/a', commit: {SHA}}}"))
    (tmp_path / "mine.release.yml").unlink()
    with pytest.raises(UsageError, match=r"mine\.release\.yml cannot be read"):
        load_release(tmp_path, "mine")


def test_our_kas_files_have_no_key_twice() -> None:
    for path in manifests().parent.glob("kas/**/*.yml"):
        assert load_mapping(path)
