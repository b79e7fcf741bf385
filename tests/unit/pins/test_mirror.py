"""``mirror sync``: a folder of bare repositories that holds exactly the pinned commits."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.gitrepos import bare, commit, git
from tests.unit.pins.world import World
from yoctovirt.base.process import CommandLog
from yoctovirt.base.screen import Screen
from yoctovirt.config.layers import Checkout
from yoctovirt.errors import InfrastructureError, UsageError
from yoctovirt.pins.git import Git, git_settings
from yoctovirt.pins.mirror import MirrorSync, mirror_name
from yoctovirt.pins.sources import Pin


def sync(target: Path, sources: list[str], *pins: Pin) -> list[str]:
    with git_settings() as calls:
        done = MirrorSync(target, sources, calls, Screen(quiet=True)).all(pins)
    return [warning for one in done for warning in one.warnings]


def commits(mirror: Path) -> set[str]:
    return set(git(mirror, "rev-list", "--all").split())


def checkout(folder: Path, mirrors: Path, *pins: Pin) -> list[str]:
    return Checkout(folder, CommandLog(), Screen(quiet=True)).all(pins, [str(mirrors)])


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://x.invalid/poky", "poky.git"),
        ("https://x.invalid/owner/poky.git", "owner+poky.git"),
        ("git@x.invalid:owner/poky", "owner+poky.git"),
        ("https://x.invalid/a/b/poky", "b+poky.git"),
    ],
)
def test_names(url: str, name: str) -> None:
    assert mirror_name(url) == name


def test_the_pinned_commits_and_no_others(world: World, tmp_path: Path) -> None:
    target = tmp_path / "new" / "mirrors"
    done = world.sync(target)
    assert sorted(path.name for path in target.iterdir()) == [".lock", "core.git", "extra.git"]
    for one in done:
        (pin,) = one.pins
        assert commits(one.folder) == {pin.commit}
        assert git(one.folder, "rev-parse", "refs/heads/one") == pin.commit
        assert git(one.folder, "fsck", "--strict") == ""
        assert git(one.folder, "symbolic-ref", "HEAD") == "refs/heads/one"
    assert world.check(mirrors=(target,)) == []
    assert checkout(tmp_path / "layers", target, *world.load().pins) == []


def test_a_second_call_fetches_nothing(world: World, tmp_path: Path) -> None:
    world.sync(tmp_path / "m")
    shutil.rmtree(world.mirrors)
    world.mirrors.mkdir()
    assert [one.source for one in world.sync(tmp_path / "m")] == ["", ""]


def test_a_new_pin_takes_the_place_of_the_old_one(world: World, tmp_path: Path) -> None:
    world.sync(tmp_path / "m")
    new = commit(world.upstream / "extra", "third")
    world.refresh("extra")
    world.write()
    assert [bool(one.source) for one in world.sync(tmp_path / "m")] == [False, True]
    assert commits(tmp_path / "m" / "extra.git") == {new}


def test_a_pin_behind_the_tip(world: World, tmp_path: Path) -> None:
    world.write(extra=world.head("extra", "HEAD~1"))
    world.sync(tmp_path / "m")
    assert commits(tmp_path / "m" / "extra.git") == {world.head("extra", "HEAD~1")}
    assert world.check(mirrors=(tmp_path / "m",)) == []


def test_sources_are_tried_in_order(world: World, tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    (world.mirrors / "core.git").rename(tmp_path / "first" / "core.git")
    done = world.sync(tmp_path / "m", str(tmp_path / "first"), f"file://{world.mirrors}")
    assert [one.source for one in done] == [
        str(tmp_path / "first" / "core.git"), f"file://{world.mirrors}/extra.git"
    ]  # fmt: skip


def test_two_releases_share_a_mirror(world: World, tmp_path: Path) -> None:
    git(world.upstream / "extra", "checkout", "-q", "-b", "two")
    other = commit(world.upstream / "extra", "of two")
    git(world.mirrors / "extra.git", "fetch", "-q", str(world.upstream / "extra"), "two:two")
    first = world.load().pin("extra")
    second = Pin("extra", first.url, other, "two")
    assert sync(tmp_path / "m", [str(world.mirrors)], first, second, first) == []
    assert commits(tmp_path / "m" / "extra.git") == {first.commit, other}
    for name, pin in (("a", first), ("b", second)):
        assert checkout(tmp_path / name, tmp_path / "m", pin) == []


def test_two_commits_of_one_branch(world: World, tmp_path: Path) -> None:
    first = world.load().pin("extra")
    older = Pin("extra", first.url, world.head("extra", "HEAD~1"), "one")
    (warning,) = sync(tmp_path / "m", [str(world.mirrors)], first, older)
    assert "another pin is on the branch one of the same mirror" in warning
    # It can be checked out all the same.
    checkout(tmp_path / "layers", tmp_path / "m", older)
    assert git(tmp_path / "layers" / "extra", "rev-parse", "HEAD") == older.commit


def test_two_repositories_with_one_basename(world: World, tmp_path: Path) -> None:
    fork = Pin("fork", "https://x.invalid/me/extra", world.head("core"), "one")
    mine = tmp_path / "from"
    bare(world.upstream / "core", mine / "me+extra.git")
    bare(world.upstream / "extra", mine / "extra.git")
    sync(tmp_path / "m", [str(mine)], fork, world.load().pin("extra"))
    assert commits(tmp_path / "m" / "me+extra.git") == {fork.commit}
    assert commits(tmp_path / "m" / "extra.git") == {world.head("extra")}


def test_a_commit_that_its_branch_has_lost(world: World, tmp_path: Path) -> None:
    old = world.load().pin("extra")
    git(world.upstream / "extra", "reset", "-q", "--hard", "HEAD~1")
    commit(world.upstream / "extra", "rewritten")
    git(world.mirrors / "extra.git", "fetch", "-q", str(world.upstream / "extra"), "+one:one")
    (warning,) = sync(tmp_path / "m", [str(world.mirrors)], old)
    assert f"extra: commit {old.commit[:12]}: it is not on branch one of" in warning
    assert commits(tmp_path / "m" / "extra.git") == {old.commit}
    # A plain clone of the mirror has the commit, too: kas makes one.
    git(tmp_path, "clone", "-q", f"file://{tmp_path}/m/extra.git", "clone")
    assert git(tmp_path / "clone", "rev-parse", "HEAD") == old.commit
    without = Pin("extra", old.url, old.commit, None)
    assert checkout(tmp_path / "layers", tmp_path / "m", without) == []


def test_what_a_shallow_source_cannot_prove_is_not_claimed(world: World, tmp_path: Path) -> None:
    pin = world.load().pin("extra")
    for number in range(3):
        commit(world.upstream / "extra", f"more {number}")
    bare(world.upstream / "core", tmp_path / "from" / "core.git")
    bare(world.upstream / "extra", tmp_path / "from" / "extra.git", "--depth=1")
    git(tmp_path / "from" / "extra.git", "fetch", "-q", "--depth=1",
        str(world.upstream / "extra"), f"{pin.commit}:refs/pins/one")  # fmt: skip
    world.write(extra=pin.commit)
    world.sync(tmp_path / "m", str(tmp_path / "from"))
    (found,) = world.check(mirrors=(tmp_path / "m",))
    assert (found.level, found.code) == ("note", "branch")
    assert "holds the pinned commits only" in found.what
    # Nor is it after a copy of the copy.
    world.sync(tmp_path / "again", str(tmp_path / "m"))
    assert [one.code for one in world.check(mirrors=(tmp_path / "again",))] == ["branch"]


# What goes wrong ------------------------------------------------------------------------


def test_all_that_is_missing_with_what_was_tried(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YOCTOVIRT_OFFLINE", "1")
    world.write(extra="b" * 40)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InfrastructureError) as caught:
        world.sync(tmp_path / "m", str(tmp_path / "empty"), str(world.mirrors))
    message = caught.value.message
    assert message.startswith("1 of 2 mirrors could not be made:\n  extra at bbbb")
    assert f"{world.mirrors}/extra.git: " in message
    assert "https://git.example.invalid/extra: not asked (offline)" in message
    assert "--from" in caught.value.hint
    # What could be made is kept, nothing is half done.
    assert sorted(path.name for path in (tmp_path / "m").iterdir()) == [".lock", "core.git"]


def test_an_unreachable_host_is_named(world: World, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InfrastructureError, match=r"Could not resolve host: git\.example"):
        world.sync(tmp_path / "m", str(tmp_path / "empty"))


def test_a_mirror_of_somebody_else_is_left_alone(world: World, tmp_path: Path) -> None:
    before = commits(world.mirrors / "extra.git")
    done = world.sync(world.mirrors, str(world.mirrors))
    assert all("not ours: left as it is" in one.warnings[0] for one in done)
    assert commits(world.mirrors / "extra.git") == before
    world.write(extra="b" * 40)
    with pytest.raises(UsageError, match=r"extra\.git is in the way") as caught:
        world.sync(world.mirrors)
    assert "--to" in caught.value.hint


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_sources_of_another_user_serve(world: World, tmp_path: Path) -> None:
    for folder, _, files in os.walk(world.mirrors):
        for name in ("", *files):
            os.chown(Path(folder) / name, 65534, 65534)
    assert len(world.sync(tmp_path / "m")) == 2


def test_an_interrupt_between_the_two_renames_is_mended(world: World, tmp_path: Path) -> None:
    world.sync(tmp_path / "m")
    left = tmp_path / "m" / ".tmp-extra.git-abc"
    left.mkdir()
    (tmp_path / "m" / "extra.git").rename(left / "old")
    assert [one.source for one in world.sync(tmp_path / "m")] == ["", ""]
    assert not left.exists()


def test_an_interrupted_fetch_leaves_the_old_mirror(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.sync(tmp_path / "m")
    old = world.head("extra")
    commit(world.upstream / "extra", "third")
    world.refresh("extra")
    world.write()
    real = Git.attempt

    def interrupted(self: Git, folder: Path, *arguments: str) -> str:
        if arguments[0] == "update-ref":
            raise KeyboardInterrupt
        return real(self, folder, *arguments)

    monkeypatch.setattr(Git, "attempt", interrupted)
    with pytest.raises(KeyboardInterrupt):
        world.sync(tmp_path / "m")
    assert commits(tmp_path / "m" / "extra.git") == {old}
    assert not list((tmp_path / "m").glob(".tmp-*"))


def test_a_killed_sync_leaves_nothing_half_done(world: World, tmp_path: Path) -> None:
    """kill -9 in the middle: what is left goes with the next call."""
    code = (
        "import sys; from pathlib import Path\n"
        "from yoctovirt.base.screen import Screen\n"
        "from yoctovirt.pins.git import git_settings\n"
        "from yoctovirt.pins.mirror import MirrorSync\n"
        "from yoctovirt.pins.release import load_release\n"
        "pins = load_release(Path(sys.argv[1]), 'one').pins\n"
        "with git_settings() as g:\n"
        "    MirrorSync(Path(sys.argv[2]), [sys.argv[3]], g, Screen(quiet=True)).all(pins)\n"
    )
    target = tmp_path / "m"
    job = subprocess.Popen(
        [sys.executable, "-c", code, str(world.releases), str(target), str(world.mirrors)]
    )
    end = time.monotonic() + 60
    while not list(target.glob(".tmp-*/new/config")) and time.monotonic() < end and (
        job.poll() is None
    ):  # fmt: skip
        time.sleep(0.01)
    job.kill()
    job.wait()
    world.sync(target)
    assert world.check(mirrors=(target,)) == []
    # A git that outlived its caller for a moment may have written once more.
    world.sync(target)
    assert sorted(path.name for path in target.iterdir()) == [".lock", "core.git", "extra.git"]
