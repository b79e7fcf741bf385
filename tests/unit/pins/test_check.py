"""``pins check``: each thing that can be wrong with pins, on small real repositories."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.gitrepos import bare, commit, git, repository
from tests.unit.pins.world import CORE_CONF, HOST_ROLE, INFO, TODAY, World, layer_conf
from yoctovirt.base.process import CommandLog
from yoctovirt.base.screen import Screen
from yoctovirt.config.layers import Checkout
from yoctovirt.errors import UsageError
from yoctovirt.pins.check import Selection, check_release
from yoctovirt.pins.git import git_settings
from yoctovirt.pins.layerconf import Layer
from yoctovirt.pins.places import Places
from yoctovirt.pins.sources import check_mirrors

EXTRA = "conf__layer.conf"


def repin(world: World, name: str = "extra", **files: str) -> None:
    """Commit *files* upstream, and pin that."""
    commit(world.upstream / name, "change", **files)
    world.refresh(name)
    world.write()


def test_all_well(world: World) -> None:
    assert world.check() == []


# Commits and branches ---------------------------------------------------------------


def test_a_commit_that_no_mirror_has(world: World) -> None:
    world.write(extra="b" * 40)
    (found,) = world.check()
    assert (found.level, found.where) == ("missing", "extra")
    assert f"{world.mirrors}/extra.git: it does not have commit bbbbbbbbbbbb" in found.what
    assert "mirror sync" in found.remedy


def test_no_mirror_at_all(world: World, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    found = world.check(mirrors=(tmp_path / "empty",))
    assert [(one.level, one.where) for one in found] == [("missing", "core"), ("missing", "extra")]
    assert all("has no mirror at hand" in one.what for one in found)


def test_a_folder_that_is_no_repository_is_named(world: World) -> None:
    shutil.rmtree(world.mirrors / "extra.git" / "objects")
    (found,) = world.check()
    assert "extra.git: it is no git repository that can be read" in found.what


def test_a_commit_that_is_not_on_its_branch(world: World) -> None:
    git(world.upstream / "extra", "checkout", "-q", "-b", "other")
    sha = commit(world.upstream / "extra", "aside")
    git(world.mirrors / "extra.git", "fetch", "-q", str(world.upstream / "extra"), "other:other")
    world.write(extra=sha)
    (found,) = world.check()
    assert (found.level, found.code) == ("error", "branch")
    assert f"{sha[:12]} is not on branch one" in found.what
    assert "pins update --release one --repo extra" in found.remedy


def test_an_older_commit_of_the_branch_is_on_it(world: World) -> None:
    world.write(extra=world.head("extra", "HEAD~1"))
    assert world.check() == []


def test_what_a_shallow_mirror_cannot_tell(world: World, tmp_path: Path) -> None:
    old = world.head("extra")
    for number in range(3):
        commit(world.upstream / "extra", f"more {number}")
    shallow = tmp_path / "shallow"
    bare(world.upstream / "core", shallow / "core.git", "--depth=1")
    bare(world.upstream / "extra", shallow / "extra.git", "--depth=2")
    git(shallow / "extra.git", "fetch", "-q", "--depth=1", str(world.upstream / "extra"),
        f"{old}:refs/pins/one")  # fmt: skip
    world.write(extra=old)
    (found,) = world.check(mirrors=(shallow,))
    assert (found.level, found.code) == ("note", "branch")
    assert "not verifiable" in found.what
    assert "is shallow" in found.what


def test_a_shallow_mirror_proves_what_its_history_holds(world: World, tmp_path: Path) -> None:
    for name in ("core", "extra"):
        bare(world.upstream / name, tmp_path / "shallow" / f"{name}.git", "--depth=1")
    assert world.check(mirrors=(tmp_path / "shallow",)) == []


def test_a_commit_that_is_also_the_name_of_a_branch(world: World) -> None:
    sha = world.head("extra")
    older = world.head("extra", "HEAD~1")
    git(world.mirrors / "extra.git", "update-ref", f"refs/heads/{sha}", older)
    assert world.codes() == [("error", "name", "extra")]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_a_mirror_of_another_user_serves(world: World) -> None:
    for folder, _, files in os.walk(world.mirrors):
        for name in ("", *files):
            os.chown(Path(folder) / name, 65534, 65534)
    assert world.check() == []


def test_a_mirror_that_may_not_be_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    # As root everything may be read: the answer of the kernel is replaced, not the folder.
    real = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode: str(world.mirrors) not in str(path) and real(path, mode)
    )
    with pytest.raises(UsageError, match="which you may not read") as caught:
        check_mirrors([str(world.mirrors)])
    assert "chmod" in caught.value.hint
    found = world.check()
    assert all("you may not read it" in one.what for one in found)
    assert {one.level for one in found} == {"missing"}


def test_the_checkouts_of_the_workspace_serve(world: World, tmp_path: Path) -> None:
    layers = tmp_path / "layers"
    pins = world.load().pins
    assert Checkout(layers / "one", CommandLog(), Screen(quiet=True)).all(
        pins, [str(world.mirrors)]
    ) == []  # fmt: skip
    with git_settings() as calls, Places(calls, [], layers) as places:
        assert check_release(world.load(), [HOST_ROLE], places, TODAY) == []
        assert places.find(pins[0], "one").stores[0].folder == layers / "one" / "core"
        assert places.find(pins[0], "another").stores == []


def test_a_broken_mirror_inside_of_another_repository_is_not_that_one(world: World) -> None:
    shutil.rmtree(world.mirrors / "extra.git" / "refs")
    git(world.mirrors, "init", "-q")
    assert world.codes() == [("missing", "commit", "extra")]


def test_a_pin_without_a_branch_is_noted(world: World) -> None:
    world.manifest.write_text(world.manifest.read_text().replace("    branch: one\n", ""))
    assert {one.code for one in world.check()} == {"branch"}
    assert {one.level for one in world.check()} == {"note"}


# Layers -----------------------------------------------------------------------------


def test_a_layer_that_is_not_there(world: World) -> None:
    wrong = Selection("host", (("core", "meta", 0), ("core", "metta", 0), ("extra", ".", 0)))
    (found,) = world.check(wrong)
    assert (found.code, found.where, found.roles) == ("layer", "core/metta", ("host",))
    assert "no metta/conf/layer.conf" in found.what
    assert "did you mean meta?" in found.remedy


def test_a_repository_that_the_release_does_not_have(world: World) -> None:
    more = replace(HOST_ROLE, layers=(*HOST_ROLE.layers, ("gone", ".", 0)))
    assert world.codes(more) == [("error", "repository", "gone")]


def test_a_layer_of_another_series(world: World) -> None:
    repin(world, **{EXTRA: layer_conf("extra", series="thud warrior")})
    (found,) = world.check()
    assert (found.level, found.code, found.where) == ("error", "series", "extra")
    assert "it is for thud warrior, the release is one" in found.what
    assert 'LAYERSERIES_COMPAT_extra:append = " one"' in found.remedy


def test_a_series_that_a_header_widens(world: World) -> None:
    repin(world, **{EXTRA: layer_conf("extra", series="thud warrior")})
    wide = replace(HOST_ROLE, headers='LAYERSERIES_COMPAT_extra:append = " one"')
    assert world.codes(wide) == [("note", "widened", "extra")]
    # What bblayers.conf sets plainly, layer.conf sets again: bitbake would refuse it.
    useless = replace(HOST_ROLE, headers='LAYERSERIES_COMPAT_extra = "one"')
    assert world.codes(useless) == [("error", "series", "extra")]


def test_a_layer_that_names_no_series(world: World) -> None:
    conf = layer_conf("extra").replace('LAYERSERIES_COMPAT_extra = "one"\n', "")
    repin(world, **{EXTRA: conf})
    assert world.codes() == [("warning", "series", "extra")]


def test_a_core_layer_of_another_series(world: World) -> None:
    world.write(INFO.replace("series: one", "series: two"))
    assert world.codes() == [("error", "series", "one")]


def test_a_dependency_that_nobody_takes(world: World) -> None:
    repin(world, **{EXTRA: layer_conf("extra", depends="core other-layer (>= 2)")})
    (found,) = world.check()
    assert (found.level, found.code, found.where) == ("error", "depends", "extra")
    assert "depends on the collection other-layer (>= 2), which no layer" in found.what


def test_a_dependency_on_another_version(world: World) -> None:
    repin(world, **{EXTRA: layer_conf("extra", depends="core (>= 16)")})
    (found,) = world.check()
    assert "depends on core (>= 16), and core/meta is of version 15" in found.what
    repin(world, **{EXTRA: layer_conf("extra", depends="core (>= 15)")})
    assert world.check() == []


def test_what_cannot_be_looked_at_is_not_a_missing_dependency(world: World) -> None:
    world.write(core="b" * 40)
    assert world.codes() == [("missing", "commit", "core")]


def test_two_layers_with_one_collection(world: World) -> None:
    twice = replace(HOST_ROLE, own=(Layer("yoctovirt", "own", layer_conf("extra")),))
    (found,) = world.check(twice)
    assert (found.level, found.code, found.where) == ("error", "duplicate", "yoctovirt/own")
    assert "its collection extra is that of extra, too" in found.what


def test_a_class_in_two_layers_needs_an_order(world: World) -> None:
    (world.upstream / "extra" / "classes").mkdir()
    (world.upstream / "extra" / "classes" / "hosts.bbclass").write_text("")
    repin(world)
    own = Layer("yoctovirt", "own", layer_conf("own"), 0, frozenset({"classes/hosts.bbclass"}))
    (found,) = world.check(replace(HOST_ROLE, own=(own,)))
    assert (found.level, found.code, found.where) == ("warning", "order", "extra, yoctovirt/own")
    assert "that of extra counts" in found.what
    first = replace(own, prio=10)
    assert world.check(replace(HOST_ROLE, own=(first,))) == []


def test_a_role_with_repositories_of_its_own_is_left_to_bitbake(world: World) -> None:
    mine = replace(HOST_ROLE, foreign=("theirs",))
    assert world.codes(mine) == [("note", "foreign", "theirs")]


# The release as a whole ----------------------------------------------------------------


def test_a_repository_that_no_role_takes_from(world: World) -> None:
    bare_role = Selection("host", (("core", "meta", 0),))
    assert world.codes(bare_role) == [("warning", "unused", "extra")]
    world.write(INFO + "unused: {extra: for later}\n")
    assert world.codes(bare_role) == [("note", "unused", "extra")]
    assert world.codes() == [("warning", "unused", "extra")]  # it says so, and is used


def test_bitbake_is_no_layer_and_not_unused(world: World) -> None:
    repository(world.upstream / "other", "one", **{"meta__conf__layer.conf": CORE_CONF})
    bare(world.upstream / "other", world.mirrors / "other.git")
    text = world.manifest.read_text()
    sha = git(world.upstream / "other", "rev-parse", "HEAD")
    world.manifest.write_text(
        f"{text}  other:\n    url: https://git.example.invalid/other\n    commit: {sha}\n"
        "    branch: one\n"
    )
    role = Selection("host", (("other", "meta", 0), ("extra", ".", 0)))
    assert world.check(role) == []


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ('bitbake: "2.8"', 'bitbake: "2.18"', ("error", "bitbake")),
        ('bitbake: "2.8"', 'bitbake: "2"', None),
        ("core: core", "core: poky", ("error", "core")),
        ("2030-04", "2025-04", ("warning", "support")),
        ("supported, until: 2030-04", "ended, until: 2025-04", ("note", "support")),
        ("roles: [host]", "roles: [host, guest]", ("warning", "roles")),
        ("roles: [host]", "roles: []", ("warning", "roles")),
    ],
)
def test_what_the_file_beside_it_says(
    world: World, old: str, new: str, found: tuple[str, str] | None
) -> None:
    world.write(INFO.replace(old, new))
    assert [one[:2] for one in world.codes()] == ([found] if found else [])
    assert all(one.remedy for one in world.check() if one.level != "note")


def test_what_several_roles_share_is_said_once(world: World) -> None:
    world.write(INFO.replace("[host]", "[host, guest]"))
    repin(world, **{EXTRA: layer_conf("extra", series="old")})
    world.write(INFO.replace("[host]", "[host, guest]"))
    (found,) = world.check(HOST_ROLE, replace(HOST_ROLE, role="guest"))
    assert found.roles == ("host", "guest")
    assert found.as_json()["roles"] == ["host", "guest"]


def test_it_is_quick(world: World) -> None:
    start = time.process_time()
    world.check()
    assert time.process_time() - start < 1
