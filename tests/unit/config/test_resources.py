"""The files that travel with the package, in a clone and in an installed wheel."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from yoctovirt.config.resources import data_root

REPOSITORY = Path(__file__).resolve().parents[3]

LOOK = """
import json, sys
sys.path.insert(0, sys.argv[1])
import yoctovirt, yoctovirt.config.resources, yoctovirt.config.roles as roles
print(json.dumps({
    "package": yoctovirt.__file__,
    "root": str(yoctovirt.config.resources.data_root()),
    "roles": {name: roles.load_role(name).description for name in roles.role_files()},
}))
"""


def look(folder: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", "-c", LOOK, str(folder)], cwd=cwd, capture_output=True, text=True
    )


def test_a_clone_finds_its_files_at_its_top_level() -> None:
    assert data_root() == REPOSITORY
    assert (data_root() / "kas" / "inc" / "reference.role.yml").is_file()


def test_an_installation_without_its_files_is_said_to_be_incomplete(tmp_path: Path) -> None:
    shutil.copytree(
        REPOSITORY / "yoctovirt",
        tmp_path / "lib" / "yoctovirt",
        ignore=shutil.ignore_patterns("__pycache__", "_data"),
    )
    done = look(tmp_path / "lib", tmp_path)
    assert done.returncode != 0
    assert "InfrastructureError: the kas files of yoctovirt are missing" in done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built of a copy: a build in the clone would leave files there."""
    copy = tmp_path_factory.mktemp("source") / "yoctovirt"
    copy.mkdir()
    for name in ("yoctovirt", "kas", "layers-manifest", "recipes-extra"):
        shutil.copytree(
            REPOSITORY / name,
            copy / name,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, copy)
    out = copy.parent / "dist"
    argv = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(out), str(copy)]
    if importlib.util.find_spec("hatchling"):
        argv.insert(4, "--no-build-isolation")
    done = subprocess.run(argv, cwd=copy.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (path,) = out.glob("yoctovirt-*.whl")
    return path


def test_a_wheel_brings_roles_schemas_templates_and_suites(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for path in (
        "_data/kas/inc/reference.role.yml",
        "config/role.schema.json",
        "pins/release.schema.json",
        "_data/layers-manifest/wrynose.release.yml",
        "report/templates/report.html.j2",
        "smoke/suites/test_base.py",
        "smoke/suites/pytest.ini",
        "build/debian/hook.sh",
        "base/guard.py",
        "py.typed",
    ):
        assert f"yoctovirt/{path}" in names
    ours = {
        str(path.relative_to(REPOSITORY))
        for folder in ("kas", "layers-manifest", "recipes-extra")
        for path in (REPOSITORY / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {f"yoctovirt/_data/{name}" for name in ours} <= names
    assert not any(name.startswith(("tests/", "kas/")) for name in names)


def test_an_installed_wheel_finds_the_roles_outside_of_the_clone(
    wheel: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "lib")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = look(tmp_path / "lib", elsewhere)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["package"].startswith(str(tmp_path))
    assert found["root"] == str(tmp_path / "lib" / "yoctovirt" / "_data")
    assert found["roles"]["reference"]
