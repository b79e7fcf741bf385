"""docs/own-role.md: what it shows is accepted, but for the parts that boot or build."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.guides import commands, files, write_files

PAGE = "own-role.md"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the files of the guide; nobody has made it a workspace."""
    write_files(PAGE, tmp_path)
    return tmp_path


def call(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "yoctovirt", *words]
    return subprocess.run(argv, cwd=folder, text=True, capture_output=True, check=False)


def test_the_files(folder: Path) -> None:
    assert sorted(files(PAGE)) == [
        "kas/inc/edge-host.role.yml", "kas/inc/edge-host.yml", "kas/inc/edge.role.yml", "nodes.yml",
        "smoke/test_chrony.py",
    ]  # fmt: skip
    assert commands(PAGE)[0] == "yoctovirt ci edge"


def test_roles_of_a_folder_that_is_no_workspace_yet(folder: Path) -> None:
    done = call(folder, "roles", "edge", "--json")
    assert done.returncode == 0, done.stderr
    (role,) = json.loads(done.stdout)
    assert (role["memory_mib"], role["promises"]) == (1024, ["lxc", "chrony"])
    assert "edge-host" in call(folder, "roles").stdout
    assert not (folder / "yoctovirt.yml").exists(), "looking makes no workspace"


def test_configuration(folder: Path) -> None:
    done = call(folder, "config", "edge-host")
    assert done.returncode == 0, done.stderr
    assert 'IMAGE_INSTALL:append:pn-docker-host-image = " lxc chrony chronyc"' in done.stdout
    assert "target: docker-host-image" in done.stdout
    assert not (folder / "yoctovirt.yml").exists(), "looking makes no workspace"


def test_a_broken_file_of_the_workspace_is_no_workspace_less(folder: Path) -> None:
    """It was taken for none, and the roles in it were unknown."""
    (folder / "yoctovirt.yml").write_text("version: 7\n")
    for verb in (["roles"], ["config", "edge-host"]):
        done = call(folder, *verb)
        assert done.returncode == 2
        assert "yoctovirt.yml: version is 7, expected 1" in done.stderr


def test_suite_and_board(folder: Path) -> None:
    done = call(folder, "smoke", "edge-1", "--list")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "can_be_steered" in done.stdout
    assert not (folder / "yoctovirt.yml").exists(), "looking makes no workspace"
    wrong = (folder / "nodes.yml").read_text().replace("role: edge-host", "role: edge-hots")
    (folder / "nodes.yml").write_text(wrong)
    done = call(folder, "smoke", "edge-1", "--list")
    assert done.returncode == 2
    assert "edge-host" in done.stderr


def test_a_host_needs_no_workspace_before_it(folder: Path) -> None:
    """nodes.yml is enough: the folder becomes one, and the host is asked."""
    host = (folder / "nodes.yml").read_text().replace("192.0.2.7", "127.0.0.1:1")
    (folder / "nodes.yml").write_text(host[: host.index("    serial:")])
    done = call(folder, "smoke", "edge-1", "--ssh-timeout", "1")
    assert done.returncode == 5, done.stdout + done.stderr
    assert "127.0.0.1:1" in done.stderr
    assert (folder / "yoctovirt.yml").is_file()
