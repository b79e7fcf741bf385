"""Who builds, in which surroundings; git; namespaces; the clock."""

from __future__ import annotations

import os
import subprocess
import time
from email.utils import formatdate
from pathlib import Path

import pytest

from yoctovirt.doctor import clock, gitrepo, namespaces, user
from yoctovirt.doctor.packages import APT, DNF
from yoctovirt.doctor.result import Result
from yoctovirt.doctor.subject import Account, run

ME = Account("me", os.geteuid(), Path("/nowhere"))


def test_root() -> None:
    assert user.not_root(ME).status == "ok"
    result = user.not_root(None)
    assert result.status == "error"
    assert "--build-user" in result.remedy


@pytest.mark.parametrize(
    ("mask", "status"),
    [(0o022, "ok"), (0o002, "ok"), (0, "ok"), (None, "ok"), (0o077, "error"), (0o027, "error"),
     (0o200, "error")],
)  # fmt: skip
def test_umask(mask: int | None, status: str) -> None:
    assert user.umask(mask).status == status


def test_the_umask_is_read_and_not_changed() -> None:
    before = os.umask(0o027)
    try:
        assert user.current_umask() == 0o027
    finally:
        assert os.umask(before) == 0o027


def test_locale() -> None:
    assert user.locale_there("C", APT).status == "ok"
    result = user.locale_there("xx_XX.UTF-8", APT)
    assert result.status == "error"
    assert "locales && localedef -i xx_XX -f UTF-8 xx_XX.UTF-8" in result.remedy
    assert "glibc-langpack-en" in user.locale_there("xx_XX.UTF-8", DNF).remedy


@pytest.mark.parametrize(
    ("environ", "status"),
    [
        ({"LANG": "de_DE.UTF-8"}, "ok"),
        ({"LC_ALL": "C.utf8"}, "ok"),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "C"}, "warning"),
        ({"LANG": "de_DE"}, "warning"),
        ({}, "warning"),
    ],
)
def test_own_locale(environ: dict[str, str], status: str) -> None:
    assert user.own_locale(environ, "en_US.UTF-8").status == status


@pytest.mark.parametrize(
    ("path", "status"),
    [("/bin:/usr/bin", "ok"), ("/bin::/x", "warning"), (".:/bin", "warning"), ("/bin:", "warning")],
)
def test_search_path(path: str, status: str) -> None:
    assert user.search_path({"PATH": path}).status == status


def test_may_enter(tmp_path: Path) -> None:
    assert user.may_enter(ME, {tmp_path: "-x", tmp_path / "absent": "-r"}).status == "ok"
    # A prefix that is not there: nothing can be run as that user.
    stranger = Account("stranger", 1, tmp_path, ("/no/such/setpriv", "--"))
    result = user.may_enter(stranger, {tmp_path: "-x"})
    assert result.status == "error"
    assert f"stranger cannot come to {tmp_path}" in result.message


def test_run_tells_what_is_missing_and_what_takes_too_long() -> None:
    assert run(["no-such-program-of-ours"])[0] == 127
    assert run(["sleep", "9"], timeout=0.05)[0] == 124
    assert run(["sh", "-c", "echo out; echo err >&2; exit 3"]) == (3, "out\nerr")


# git ------------------------------------------------------------------------------


def git_home(home: Path) -> dict[str, str]:
    kept = {"PATH": os.environ["PATH"], "HOME": str(home), "GIT_CONFIG_NOSYSTEM": "1"}
    return {**kept, "XDG_CONFIG_HOME": str(home)}


def test_identity(tmp_path: Path) -> None:
    env = git_home(tmp_path)
    result = gitrepo.identity(ME, env)
    assert result.status == "warning"
    assert "user.email" in result.remedy
    (tmp_path / ".gitconfig").write_text("[user]\n\tname = Ada\n\temail = ada@example.org\n")
    result = gitrepo.identity(ME, env)
    assert result.status == "ok"
    assert "Ada <ada@example.org>" in result.message


@pytest.mark.parametrize("half", ["name = Ada", "email = ada@example.org"])
def test_half_an_identity(tmp_path: Path, half: str) -> None:
    (tmp_path / ".gitconfig").write_text(f"[user]\n\t{half}\n")
    assert gitrepo.identity(ME, git_home(tmp_path)).status == "warning"


def test_an_identity_of_the_environment(tmp_path: Path) -> None:
    env = {"GIT_COMMITTER_NAME": "Ada", "GIT_COMMITTER_EMAIL": "ada@example.org"}
    assert gitrepo.identity(ME, {**git_home(tmp_path), **env}).status == "ok"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_safe_directories(tmp_path: Path) -> None:
    mine, strange = tmp_path / "mine", tmp_path / "strange"
    for folder in (mine, strange):
        subprocess.run(["git", "init", "-q", str(folder)], check=True)
    env = git_home(tmp_path)
    assert gitrepo.safe_directories([mine, strange, tmp_path / "absent"], ME, env).status == "ok"
    subprocess.run(["chown", "-R", "65534", str(strange)], check=True)
    result = gitrepo.safe_directories([mine, strange], ME, env)
    assert result.status == "warning"
    assert str(strange) in result.message
    assert str(mine) not in result.message
    (tmp_path / ".gitconfig").write_text(f"[safe]\n\tdirectory = {strange}\n")
    assert gitrepo.safe_directories([mine, strange], ME, env).status == "ok"


# user namespaces ------------------------------------------------------------------


def unshare(tmp_path: Path, says: str, status: int) -> Account:
    """Return an account as whom ``unshare`` says that."""
    tool = tmp_path / "as-user"
    tool.write_text(f"#!/bin/sh\necho '{says}' >&2\nexit {status}\n")
    tool.chmod(0o755)
    return Account("me", 1000, tmp_path, (str(tool),))


#: What unshare(1) of util-linux 2.38 and 2.39 printed: without the right, and under AppArmor.
WHOLLY = "unshare: unshare failed: Operation not permitted"
HALF = "unshare: write failed /proc/self/uid_map: Operation not permitted"


def test_user_namespaces(tmp_path: Path) -> None:
    switches = tmp_path / "sys"
    (switches / "kernel").mkdir(parents=True)
    assert namespaces.user_namespaces(unshare(tmp_path, "", 0), switches).status == "ok"
    result = namespaces.user_namespaces(unshare(tmp_path, WHOLLY, 1), switches)
    assert result.status == "warning"
    needed = namespaces.user_namespaces(unshare(tmp_path, WHOLLY, 1), switches, needed=True)
    assert needed.status == "error"
    (switches / "kernel" / "apparmor_restrict_unprivileged_userns").write_text("1\n")
    result = namespaces.user_namespaces(unshare(tmp_path, HALF, 1), switches)
    assert result.status == "error"
    assert "AppArmor" in result.message
    assert "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0" in result.remedy


def test_switches(tmp_path: Path) -> None:
    (tmp_path / "kernel").mkdir()
    (tmp_path / "user").mkdir()
    assert namespaces.switched_off(tmp_path) == []
    (tmp_path / "kernel" / "unprivileged_userns_clone").write_text("0\n")
    (tmp_path / "user" / "max_user_namespaces").write_text("0\n")
    lines = [line for line, _ in namespaces.switched_off(tmp_path)]
    assert lines == [
        "sysctl -w kernel.unprivileged_userns_clone=1",
        "sysctl -w user.max_user_namespaces=15000",
    ]
    (tmp_path / "kernel" / "unprivileged_userns_clone").write_text("1\n")
    (tmp_path / "user" / "max_user_namespaces").write_text("96365\n")
    assert namespaces.switched_off(tmp_path) == []


def test_subordinate_ids(tmp_path: Path) -> None:
    table = tmp_path / "subuid"
    assert namespaces.subordinate_ids("ada", 1000, [table]).status == "error"
    table.write_text("adam:100000:65536\n")
    assert namespaces.subordinate_ids("ada", 1000, [table]).status == "error"
    for line in ("ada:165536:65536", "1000:165536:65536"):
        table.write_text(f"adam:100000:65536\n{line}\n")
        assert namespaces.subordinate_ids("ada", 1000, [table]).status == "ok"


# clock ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ahead", "status"), [(-5, "ok"), (60, "ok"), (600, "warning"), (9 * 86400, "error")]
)
def test_files_from_the_future(tmp_path: Path, ahead: float, status: str) -> None:
    path, old = tmp_path / "file", tmp_path / "old"
    now = time.time()
    for one, stamp in ((path, now + ahead), (old, now - 9e6)):
        one.touch()
        os.utime(one, (stamp, stamp))
    result = clock.against_files([old, path, tmp_path / "absent"], now)
    assert result.status == status
    assert status == "ok" or str(path) in result.message


@pytest.mark.parametrize(
    ("off", "status", "word"),
    [(0, "ok", "agrees"), (90, "ok", "agrees"), (-600, "warning", "10 minutes behind"),
     (600, "warning", "10 minutes ahead"), (-400 * 86400, "error", "400 days behind")],
)  # fmt: skip
def test_dates_of_servers(off: float, status: str, word: str) -> None:
    now = 1_800_000_000.0
    header = formatdate(now, usegmt=True)
    result = clock.against_servers([("http://one/", header, now + off)])
    assert result.status == status
    assert word in result.message


def test_one_server_with_a_wrong_clock_is_outvoted() -> None:
    now = 1_800_000_000.0
    dates = [("wrong", formatdate(now - 9e6), now), ("right", formatdate(now), now)]
    assert clock.against_servers(dates).status == "ok"
    unread: Result = clock.against_servers([("odd", "yesterday", now)])
    assert unread.status == "not checked"
