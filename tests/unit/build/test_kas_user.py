"""Who runs bitbake, and what is found before it is started."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from yoctovirt.base.process import CommandLog
from yoctovirt.build.kas.preflight import check_host
from yoctovirt.build.kas.user import BuildUser, choose_build_user
from yoctovirt.config.roles import load_role
from yoctovirt.config.workspace import Workspace, find_workspace
from yoctovirt.doctor import disk, preflight, tools
from yoctovirt.doctor.sanity import Demands
from yoctovirt.errors import InfrastructureError, UsageError

ROOT = os.geteuid() == 0
as_root = pytest.mark.skipif(not ROOT, reason="only root can become another user")


@pytest.fixture(autouse=True)
def nobody_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("YOCTOVIRT_BUILD_USER", raising=False)


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> BuildUser:
    # The Python of the tests may lie where nobody can come.
    monkeypatch.setattr(sys, "executable", "/bin/sh")
    return choose_build_user("nobody")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Return a folder that others may enter (pytest's own are closed)."""
    with TemporaryDirectory(dir="/var/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


# Who ----------------------------------------------------------------------------


def become(monkeypatch: pytest.MonkeyPatch, uid: int) -> None:
    """Say that we are *uid*: what a check decides by that needs no real one."""
    monkeypatch.setattr(os, "geteuid", lambda: uid)


def test_a_normal_user_builds_as_oneself(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = pwd.getpwnam("nobody")
    become(monkeypatch, entry.pw_uid)
    for named in (None, "nobody"):
        found = choose_build_user(named)
        assert (found.name, found.uid, found.home) == (None, entry.pw_uid, Path(entry.pw_dir))
        assert found.argv(["kas", "build"]) == ["kas", "build"]
    with pytest.raises(UsageError, match="only root can build as daemon; this is nobody"):
        choose_build_user("daemon")


def test_root_has_to_name_somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    become(monkeypatch, 0)
    with pytest.raises(InfrastructureError, match="bitbake refuses to run as root") as caught:
        choose_build_user(None)
    assert "--build-user" in caught.value.hint
    assert "useradd" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "words"), [("no-such-user", "there is no user 'no-such-user'"), ("root", "is root")]
)
@pytest.mark.parametrize("way", ["option", "variable"])
def test_users_that_cannot_build(
    monkeypatch: pytest.MonkeyPatch, name: str, words: str, way: str
) -> None:
    become(monkeypatch, 0)
    if way == "variable":
        monkeypatch.setenv("YOCTOVIRT_BUILD_USER", name)
    with pytest.raises(UsageError, match=words):
        choose_build_user(name if way == "option" else None)


@as_root
def test_a_python_that_the_user_cannot_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\n")
    python.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(UsageError, match=f"user nobody cannot run {python}") as caught:
        choose_build_user("nobody")
    assert "/usr/bin/python3 -m venv" in caught.value.hint


@as_root
def test_a_host_without_setpriv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(InfrastructureError, match="setpriv is not installed"):
        choose_build_user("nobody")


@as_root
def test_commands_really_run_as_that_user(nobody: BuildUser) -> None:
    script = "id -u; id -g; id -G; exit 7"
    done = subprocess.run(nobody.argv(["sh", "-c", script]), capture_output=True, text=True)
    assert done.returncode == 7
    uid, gid, groups = done.stdout.splitlines()
    assert (int(uid), int(gid)) == (nobody.uid, nobody.gid)
    assert "0" not in groups.split()


@as_root
def test_what_the_user_can(nobody: BuildUser, open_folder: Path) -> None:
    closed = open_folder / "closed"
    closed.mkdir(mode=0o700)
    assert nobody.can("-x", str(open_folder))
    assert not nobody.can("-x", str(closed))
    assert not nobody.can("-w", str(open_folder))


@as_root
def test_folders_are_handed_over_and_only_what_is_not_theirs(
    nobody: BuildUser, open_folder: Path, tmp_path: Path
) -> None:
    layers, build = open_folder / "layers", open_folder / "build"
    outside = tmp_path / "outside"
    outside.mkdir()
    for folder in (layers / "poky" / "deep" / "deeper", build / "tmp" / "deep"):
        folder.mkdir(parents=True)
        (folder / "file").write_text("x")
    log = CommandLog(tmp_path / "log")
    nobody.take([layers, build, open_folder / "absent"], log)
    for folder in (layers, build):
        assert {path.lstat().st_uid for path in [folder, *folder.rglob("*")]} == {nobody.uid}

    # What root leaves after a build: a file, a link, a new repository.
    (build / "deployed.json").write_text("{}")
    (build / "deploy").symlink_to(outside)
    (layers / "poky" / "new").mkdir()
    (layers / "poky" / "new" / "file").write_text("x")
    nobody.take([layers, build], log)
    last = (tmp_path / "log").read_text().splitlines()[-1]
    assert f" {build} " not in f"{last} "
    for folder in (layers, build):
        assert {path.lstat().st_uid for path in [folder, *folder.rglob("*")]} == {nobody.uid}
    assert outside.stat().st_uid == 0, "a link was followed"

    lines = len((tmp_path / "log").read_text().splitlines())
    nobody.take([layers, build], log)
    assert len((tmp_path / "log").read_text().splitlines()) == lines, "nothing was to be done"


def test_one_who_builds_as_oneself_takes_nothing(tmp_path: Path) -> None:
    BuildUser(None, 1, 1, tmp_path).take([tmp_path], CommandLog(tmp_path / "log"))
    assert not (tmp_path / "log").exists()


# What is missing ----------------------------------------------------------------


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return find_workspace(tmp_path / "space", create=True)


SMALL = Demands(("sh",), {}, 410, False, "C")


@pytest.fixture
def whole_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Demand so little that every host has it."""
    monkeypatch.setattr(preflight, "demands_of", lambda subject: SMALL)
    monkeypatch.setattr(tools, "QUICK_TOOLS", ("ls",))


MYSELF = BuildUser(None, os.geteuid(), os.getegid(), Path("/"))


@pytest.mark.usefixtures("whole_host")
def test_a_whole_host_passes(workspace: Workspace) -> None:
    check_host(load_role("quick"), workspace, MYSELF, fresh=False)


@pytest.mark.usefixtures("whole_host")
def test_missing_tools_are_named_by_their_packages(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tools, "QUICK_TOOLS", ("no-such-tool", "mke2fs-of-nobody"))
    with pytest.raises(InfrastructureError, match="missing: mke2fs-of-nobody, no-such-tool"):
        check_host(load_role("quick"), workspace, MYSELF, fresh=False)
    # The other roles need none of these.
    check_host(load_role("controller"), workspace, MYSELF, fresh=False)


@pytest.mark.usefixtures("whole_host")
def test_all_that_is_wrong_is_in_one_error(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tools, "QUICK_TOOLS", ("no-such-tool",))
    wanted = Demands(("sh",), {}, 5, False, "xx_XX.UTF-8")
    monkeypatch.setattr(preflight, "demands_of", lambda subject: wanted)
    with pytest.raises(InfrastructureError, match="3 things keep this host from") as caught:
        check_host(load_role("quick"), workspace, MYSELF, fresh=False)
    for check in ("disk.path", "user.locale", "tools.quick"):
        assert check in caught.value.message
        assert check in caught.value.hint


@pytest.mark.usefixtures("whole_host")
def test_disk_space_is_asked_for_a_build_from_nothing_only(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    role = replace(load_role("controller"), disk_gib=1 << 20)
    monkeypatch.setattr(disk, "INODES_PER_GIB", 0)
    monkeypatch.setenv("YOCTOVIRT_OFFLINE", "1")
    with pytest.raises(InfrastructureError, match=r"GiB free at .*needs 1048576 GiB"):
        check_host(role, workspace, MYSELF, fresh=True)
    check_host(role, workspace, MYSELF, fresh=False)


@pytest.mark.usefixtures("whole_host")
@pytest.mark.parametrize("name", ["with blank", "a+b", "a@b", "a:b", "a~b"])
def test_paths_that_bitbake_cannot_stand(tmp_path: Path, name: str) -> None:
    space = find_workspace(tmp_path / name, create=True)
    with pytest.raises(UsageError, match="cannot stand a character in the path"):
        check_host(load_role("quick"), space, MYSELF, fresh=False)


@as_root
@pytest.mark.usefixtures("whole_host")
def test_a_workspace_where_the_build_user_cannot_come(nobody: BuildUser, open_folder: Path) -> None:
    closed = open_folder / "home"
    space = find_workspace(closed / "space", create=True)
    closed.chmod(0o700)
    with pytest.raises(UsageError, match=f"user nobody cannot come to {space.path}"):
        check_host(load_role("quick"), space, nobody, fresh=False)
