"""Tools: missing, too old, harmful. The tools are small real programs in a folder."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from yoctovirt.doctor import tools
from yoctovirt.doctor.packages import APT, DNF, ZYPPER, find_manager

Make = Callable[..., str]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Return a function that makes a tool that prints something, and returns the PATH to it."""

    def one(name: str, says: str = "", status: int = 0) -> str:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(
            f"#!/bin/sh\nprintf '%s\\n' {shlex.quote(says)}\nexit {status}\n"
        )
        (folder / name).chmod(0o755)
        return str(folder)

    return one


def test_present(make: Make) -> None:
    path = make("chrpath")
    make("g++")
    assert tools.present("tools.host", ["g++", "chrpath"], path, APT, "x").status == "ok"
    missing = tools.present("tools.host", ["g++", "rpcgen", "lz4c", "chrpath"], path, APT, "who")
    assert missing.status == "error"
    assert "missing: lz4c, rpcgen (who)" in missing.message
    assert missing.remedy.endswith("install --no-install-recommends lz4 rpcsvc-proto")


def test_a_file_that_may_not_run_is_missing(make: Make) -> None:
    path = make("chrpath")
    (Path(path) / "chrpath").chmod(0o644)
    assert tools.present("tools.host", ["chrpath"], path, APT, "x").status == "error"


SAYS = {
    "git": "git version 2.39.5 (Apple Git-154)",
    "make": "GNU Make 4.3\nBuilt for x86_64-pc-linux-gnu",
    "tar": "tar (GNU tar) 1.34",
    "patch": "GNU patch 2.7.6",
    "python3": "Python 3.11.2",
    "gcc": "12.2.0",
}
VERSIONS = {"git": "2.39.5", "make": "4.3", "tar": "1.34", "patch": "2.7.6",
            "python3": "3.11.2", "gcc": "12.2.0"}  # fmt: skip


@pytest.mark.parametrize("tool", SAYS)
def test_version_of(make: Make, tool: str) -> None:
    assert tools.version_of(tool, make(tool, SAYS[tool])) == VERSIONS[tool]
    assert tools.version_of(tool, make(tool, SAYS[tool], status=1)) is None
    assert tools.version_of(tool, make(tool, "no figures")) is None


def test_the_version_of_the_package_is_not_that_of_the_tool(make: Make) -> None:
    assert tools.version_of("cc", make("cc", "cc (Distribution 99.1-3) 9.4.0")) == "9.4.0"


def test_new_enough(make: Make) -> None:
    path = make("git", "git version 1.8.3.1")
    make("make", "GNU Make 4.0")
    least = {"git": "1.8.3.1", "make": "4.0", "tar": "1.28"}
    result = tools.new_enough(least, path, APT, "kirkstone")
    assert result.status == "ok"  # that there is no tar is said by another check
    make("git", "git version 1.8.3")
    make("make", "GNU Make 3.82")
    result = tools.new_enough(least, path, APT, "kirkstone")
    assert result.status == "error"
    assert "git is 1.8.3, 1.8.3.1 is needed; make is 3.82, 4.0 is needed" in result.message
    make("git", "git version 1.10.0")  # ten is more than eight
    assert "git" not in tools.new_enough(least, path, APT, "x").message


def test_gnu_tar(make: Make) -> None:
    assert tools.gnu_tar(make("tar", SAYS["tar"]), APT).status == "ok"
    result = tools.gnu_tar(make("tar", "bsdtar 3.6.2 - libarchive 3.6.2"), APT)
    assert result.status == "error"
    assert "bsdtar" in result.message


def test_perl_modules(make: Make, tmp_path: Path) -> None:
    path = make("perl")
    assert tools.perl_modules(path, APT).status == "ok"
    perl = Path(path) / "perl"
    perl.write_text('#!/bin/sh\ncase "$*" in *Queue*) exit 2;; esac\n')
    result = tools.perl_modules(path, DNF)
    assert result.status == "error"
    assert "lacks Thread::Queue" in result.message
    assert "perl-Thread-Queue" in result.remedy


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of root")
def test_no_setuid(make: Make) -> None:
    path = make("chmod")
    assert tools.no_setuid(path).status == "ok"
    (Path(path) / "chmod").chmod(0o4755)
    result = tools.no_setuid(path)
    assert result.status == "error"
    assert result.remedy == f"as root: chmod u-s {path}/chmod"


def test_shell(tmp_path: Path) -> None:
    sh = tmp_path / "sh"
    for name, status in (("dash", "ok"), ("bash", "ok"), ("zsh", "error")):
        (tmp_path / name).touch()
        sh.unlink(missing_ok=True)
        sh.symlink_to(name)
        assert tools.shell(sh).status == status


def test_own_python() -> None:
    assert tools.own_python((3, 10, 0)).status == "ok"
    assert tools.own_python((3, 9, 18)).status == "error"


@pytest.mark.parametrize(
    ("text", "manager"),
    [
        ("ID=debian\n", APT),
        ('ID=pop\nID_LIKE="ubuntu debian"\n', APT),
        ("ID=fedora\n", DNF),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"\n', DNF),
        ('ID="opensuse-leap"\nID_LIKE="suse opensuse"\n', ZYPPER),
        ("ID=unknown\nNAME=fedora\n", APT),
    ],
)
def test_the_package_manager(tmp_path: Path, text: str, manager: object) -> None:
    path = tmp_path / "os-release"
    path.write_text(text)
    assert find_manager(path) is manager


def test_one_tool_by_three_managers() -> None:
    assert APT.line(["xz"]) == "apt-get install --no-install-recommends xz-utils"
    assert DNF.line(["g++", "[", "ls"]) == "dnf install coreutils gcc-c++"
    assert ZYPPER.line(["ssh"]) == "zypper install openssh-clients"
