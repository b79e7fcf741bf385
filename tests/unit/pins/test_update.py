"""``pins update``: along the branch, comments kept, nothing written that does not fit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.gitrepos import bare, commit, git
from tests.unit.pins.world import HOST_ROLE, INFO, World, layer_conf
from yoctovirt.cli import run
from yoctovirt.config import selection
from yoctovirt.config.kasfile import kas_environment

EXTRA = "conf__layer.conf"


@pytest.fixture
def world(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    """Let the command line see the small world in place of our releases and roles."""
    monkeypatch.setattr(selection, "manifests", lambda: world.releases)
    monkeypatch.setattr(selection, "selections", lambda *_: [HOST_ROLE])
    monkeypatch.setenv("YOCTOVIRT_LAYER_MIRRORS", str(world.mirrors))
    monkeypatch.setenv("YOCTOVIRT_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    return world


def newer(world: World, name: str = "extra", message: str = "third", **files: str) -> str:
    sha = commit(world.upstream / name, message, **files)
    world.refresh(name)
    return sha


def pinned(world: World, name: str = "extra") -> dict[str, Any]:
    entry: dict[str, Any] = yaml.safe_load(world.manifest.read_text())["repos"][name]
    return entry


def update(*arguments: str) -> int:
    return run(["pins", "update", *arguments])


def test_nothing_moves_by_itself(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    newer(world)
    before = world.manifest.read_text()
    for verb in (["pins", "check"], ["pins", "show"], ["pins", "export", "--release", "one"]):
        assert run(verb) == 0, capsys.readouterr().err
    assert world.manifest.read_text() == before


def test_it_moves_to_where_the_branch_stands(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    old = world.head("extra")
    newer(world, message="the third")
    sha = newer(world, message="the fourth")
    before = world.manifest.read_text()
    assert update("--repo", "extra") == 0
    # One line has changed, and its comment stays.
    assert world.manifest.read_text() == before.replace(old, sha)
    assert f"commit: {sha}  # the newest" in world.manifest.read_text()
    out = capsys.readouterr().out
    assert f"one: extra: {old[:12]} -> {sha[:12]}, 2 commits more" in out
    assert [line.split()[-1] for line in out.splitlines() if line.startswith("  + ")] == [
        "fourth", "third"
    ]  # fmt: skip
    assert f"written: {world.manifest}" in out
    assert update() == 0
    assert "nothing changed" in capsys.readouterr().out


def test_a_dry_run_writes_nothing(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    newer(world)
    before = world.manifest.read_text()
    assert update("--dry-run") == 0
    assert "would be written" in capsys.readouterr().out
    assert world.manifest.read_text() == before


def test_back_along_the_branch(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    first = world.head("extra", "HEAD~1")
    assert update("--repo", "extra", "--to", first[:10]) == 0
    assert pinned(world)["commit"] == first
    assert pinned(world)["branch"] == "one"
    out = capsys.readouterr().out
    assert "0 commits more, 1 less" in out
    assert "  - " in out


def test_quotes_around_a_commit_stay(world: World) -> None:
    old = world.head("extra")
    text = world.manifest.read_text().replace(old, f'"{old}"')
    world.manifest.write_text(text)
    sha = newer(world)
    assert update("--repo", "extra") == 0
    assert world.manifest.read_text() == text.replace(old, sha)


def test_what_does_not_check_is_refused(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    newer(world, **{EXTRA: layer_conf("extra", series="two")})
    newer(world, "core")
    before = world.manifest.read_text()
    assert update() == 1
    said = capsys.readouterr()
    assert "it is for two, the release is one" in said.out
    assert "nothing was changed" in said.err
    assert world.manifest.read_text() == before


def test_what_was_wrong_before_does_not_keep_from_mending(world: World) -> None:
    newer(world, **{EXTRA: layer_conf("extra", series="two")})
    world.write()
    sha = newer(world, **{EXTRA: layer_conf("extra", series="one")})
    assert update("--repo", "extra") == 0
    assert pinned(world)["commit"] == sha


def test_a_shallow_mirror_has_no_history(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    newer(world)
    newer(world, message="fourth")
    for name in ("core", "extra"):
        bare(world.upstream / name, tmp_path / "shallow" / f"{name}.git", "--depth=1")
    monkeypatch.setenv("YOCTOVIRT_LAYER_MIRRORS", str(tmp_path / "shallow"))
    before = world.manifest.read_text()
    assert update("--repo", "extra") == 3
    said = capsys.readouterr().err
    assert "no source has the history" in said
    assert "extra.git: it is shallow, and its history does not reach" in said
    assert "https://git.example.invalid/extra: not asked (offline)" in said
    assert "nothing was changed" in said
    assert world.manifest.read_text() == before
    # Another mirror that has it serves.
    monkeypatch.setenv("YOCTOVIRT_LAYER_MIRRORS", f"{tmp_path / 'shallow'} {world.mirrors}")
    assert update("--repo", "extra") == 0


def test_a_mirror_of_pins_does_not_know_where_the_branch_stands(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    world.sync(tmp_path / "m")
    monkeypatch.setenv("YOCTOVIRT_LAYER_MIRRORS", str(tmp_path / "m"))
    assert update("--repo", "extra") == 3
    assert "it holds the pinned commits only" in capsys.readouterr().err


def test_a_url_is_cloned_for_its_history(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha = newer(world)
    monkeypatch.delenv("YOCTOVIRT_LAYER_MIRRORS")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    (tmp_path / "gitconfig").write_text(
        f'[url "file://{world.mirrors}/"]\n\tinsteadOf = https://git.example.invalid/\n'
    )
    monkeypatch.setenv("YOCTOVIRT_OFFLINE", "0")
    # core is not at hand: that was so before, and is no reason to refuse.
    assert update("--repo", "extra") == 0
    assert pinned(world)["commit"] == sha


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--to", "HEAD"], "name --repo and --release"),
        (["--repo", "extr"], "has no repository 'extr'"),
        (["--release", "on"], "did you mean one?"),
    ],
)
def test_wrong_calls(
    world: World, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert update(*arguments) == 2
    assert said in capsys.readouterr().err


def test_a_commit_that_is_not_there(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    before = world.manifest.read_text()
    assert update("--repo", "extra", "--to", "b" * 40) == 3
    assert f"it does not have {'b' * 40}" in capsys.readouterr().err
    assert world.manifest.read_text() == before


def test_a_pin_that_is_no_line_of_its_own(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    sha = world.head("extra")
    text = world.manifest.read_text()
    head, _, _ = text.partition("  extra:\n")
    world.manifest.write_text(
        f"{head}  extra: {{url: 'https://git.example.invalid/extra', branch: one, commit: {sha}}}\n"
    )
    newer(world)
    assert update("--repo", "extra") == 2
    assert "change it by hand" in capsys.readouterr().err


# Branches that were rewritten ---------------------------------------------------------


def rewritten(world: World) -> str:
    """Let the branch lose the pinned commit; the mirror has both."""
    old = world.head("extra")
    git(world.mirrors / "extra.git", "update-ref", "refs/kept", old)
    git(world.upstream / "extra", "reset", "-q", "--hard", "HEAD~1")
    commit(world.upstream / "extra", "rewritten", **{EXTRA: layer_conf("extra", more="#\n")})
    world.refresh("extra")
    return old


def test_a_lost_commit_is_kept_without_the_branch(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    old = rewritten(world)
    assert run(["pins", "check"]) == 1
    assert "kas refuses" in capsys.readouterr().out
    assert update("--repo", "extra", "--to", old) == 0
    assert "it is pinned without the branch" in " ".join(capsys.readouterr().err.split())
    entry = pinned(world)
    assert entry["commit"] == old
    assert "branch" not in entry
    text = world.manifest.read_text()
    assert "    # WARNING: without a branch. The commit below is not on branch one" in text
    assert "  # Why extra." in text
    assert run(["pins", "check"]) == 0
    # There is nothing to follow any more: only --to moves it.
    assert update("--repo", "extra") == 2
    assert update() == 0


def test_a_lost_commit_moves_to_the_new_branch(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    rewritten(world)
    assert update("--repo", "extra") == 0
    assert pinned(world)["commit"] == world.head("extra")
    assert "1 commits more, 1 less" in capsys.readouterr().out


# Lock files ----------------------------------------------------------------------------


def test_a_lock_file_that_kas_takes(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = rewritten(world)
    assert run(["pins", "export", "--release", "one", "-o", str(tmp_path / "my.lock.yml")]) == 0
    assert "exported without it" in capsys.readouterr().err
    (tmp_path / "my.yml").write_text(
        "header: {version: 19}\nmachine: m\nrepos:\n"
        "  core: {url: 'https://git.example.invalid/core', branch: one}\n"
        "  extra: {url: 'https://git.example.invalid/extra', branch: one}\n"
    )
    argv = [sys.executable, "-m", "kas", "--log-level", "error", "dump", "--resolve-env"]
    for step in ("repo_setup_loop", "finish_setup_repos", "repos_checkout",
                 "repos_apply_patches", "setup_environ", "write_bbconfig"):  # fmt: skip
        argv += ["--skip", step]
    env = {**kas_environment(), "KAS_WORK_DIR": str(tmp_path)}
    done = subprocess.run(
        [*argv, str(tmp_path / "my.yml")], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    overrides = yaml.safe_load(done.stdout)["overrides"]["repos"]
    assert overrides["core"] == {"commit": world.head("core")}
    assert overrides["extra"] == {"commit": old, "branch": None}


def test_what_show_says(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["pins", "show", "--release", "one"]) == 0
    out = capsys.readouterr().out
    assert "one: Yocto 9.0 LTS, bitbake 2.8, supported until 2030-04" in out
    assert f"({world.mirrors}/core.git)" in out
    assert world.head("extra") in out


def test_the_findings_as_json(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.write(INFO.replace("2.8", "2.9"), extra="b" * 40)
    assert run(["pins", "check", "--json"]) == 3
    found = yaml.safe_load(capsys.readouterr().out)
    assert [(one["level"], one["code"]) for one in found] == [
        ("missing", "commit"), ("error", "bitbake")
    ]  # fmt: skip
