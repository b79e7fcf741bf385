"""Wrong names, manifests, mirrors, by the command line: one error, its remedy, nothing half done.

The calls run in a copy of the package, in which the manifest of a release is spoilt.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakebitbake import FakePoky, fake_poky
from tests.gitrepos import bare, git
from yoctovirt.config.resources import data_root

POKY = "1d54d1c4736a114e1cecbe85a0306e3814d5ce70"
PINNED = f"    commit: {POKY}\n"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the package with all that travels with it."""
    copy = tmp_path_factory.mktemp("package")
    for name in ("kas", "layers-manifest", "recipes-extra"):
        shutil.copytree(data_root() / name, copy / name)
    shutil.copytree(Path(__file__).parents[2] / "yoctovirt", copy / "yoctovirt")
    return copy


class Call:
    """The command line of the copy, in a workspace that holds nothing."""

    def __init__(self, package: Path, workspace: Path) -> None:
        self.package = package
        self.workspace = workspace
        workspace.mkdir()
        (workspace / "yoctovirt.yml").write_text("version: 1\n")
        self.manifest = package / "layers-manifest" / "scarthgap.yml"

    def error(self, *arguments: str, code: int = 2) -> str:
        """Return the error and hint of a call that must end with *code* and leave nothing."""
        before = sorted(self.workspace.rglob("*"))
        done = subprocess.run(
            [sys.executable, "-m", "yoctovirt", "--workspace", str(self.workspace), *arguments],
            cwd=self.package, env={**os.environ, "YOCTOVIRT_LAYER_MIRRORS": str(self.workspace)},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        assert done.stderr.count("error: ") == 1, done.stderr
        assert "Traceback" not in done.stderr
        assert sorted(self.workspace.rglob("*")) == before, "nothing is half written"
        return done.stderr[done.stderr.index("error: ") :]


@pytest.fixture
def call(package: Path, tmp_path: Path) -> Call:
    # The manifest may have been spoilt before.
    name = "layers-manifest/scarthgap.yml"
    shutil.copyfile(data_root() / name, package / name)
    return Call(package, tmp_path / "ws")


@pytest.mark.parametrize(
    ("arguments", "what", "near"),
    [
        (("config", "quick", "--release", "scarthgab"), "release 'scarthgab'", "scarthgap"),
        (("pins", "check", "--release", "Scarthgap"), "release 'Scarthgap'", "scarthgap"),
        (("mirror", "sync", "--to", "m", "--release", "wrynos"), "release 'wrynos'", "wrynose"),
        (("config", "quikc"), "role 'quikc'", "quick"),
        (("pins", "resolve", "--role", "quikc"), "role 'quikc'", "quick"),
        (("boot", "controler"), "role 'controler'", "controller"),
        (("config", "quick", "--machine", "qemux86_64"), "machine 'qemux86_64'", "qemux86-64"),
        (("pins", "update", "--release", "scarthgap", "--repo", "pokey"), "'pokey'", "poky"),
        (("config", "virt-host", "--feature", "podmen"), "feature 'podmen'", "podman"),
        (("ci", "refrence"), "role 'refrence'", "reference"),
        (("ci", "reference", "--suite", "dockr"), "suite 'dockr'", "docker"),
        (("ci", "reference", "-k", "docker and ("), "-k 'docker and ('", "and, or, not"),
        (("smoke", "reference", "-k", "-x ="), "-k '-x ='", "and, or, not"),
    ],
)
def test_unknown_names(call: Call, arguments: tuple[str, ...], what: str, near: str) -> None:
    said = call.error(*arguments)
    assert what in said.splitlines()[0]
    assert "hint:" in said
    assert near in said.split("hint:")[1]
    assert not (call.package / "m").exists()


@pytest.mark.parametrize(
    ("old", "new", "line", "what", "remedy"),
    [
        (PINNED, "", 9, "it has no commit", "commit of branch scarthgap"),
        (POKY, POKY[:12], 12, f"its commit is '{POKY[:12]}'", "cut short"),
        (POKY, "scarthgap", 12, "its commit is 'scarthgap'", "name of a branch or a tag"),
        (
            "  meta-openembedded:\n",
            "  meta-openembedded:\n    path: poky\n",
            18,
            "repositories poky and meta-openembedded have one path: poky",
            "a path of its own",
        ),
    ],
    ids=["no commit", "short commit", "branch as commit", "one path"],
)
def test_manifests(call: Call, old: str, new: str, line: int, what: str, remedy: str) -> None:
    text = call.manifest.read_text()
    assert old in text
    call.manifest.write_text(text.replace(old, new, 1))
    for arguments in (("pins", "check"), ("config", "docker-host"), ("pins", "show")):
        said = call.error(*arguments)
        assert f"{call.manifest}:{line}: " in said
        assert what in said
        assert remedy in said.split("hint:")[1]


def test_a_manifest_that_is_no_yaml(call: Call) -> None:
    text = call.manifest.read_text()
    call.manifest.write_text(text.replace("  poky:\n", "  poky: [\n", 1))
    for arguments in (("pins", "check"), ("config", "quick"), ("mirror", "sync", "--to", "m")):
        assert f"{call.manifest}:11:11: not valid YAML" in call.error(*arguments)
    assert not (call.package / "m").exists()


def test_a_commit_that_exists_nowhere(call: Call) -> None:
    text = call.manifest.read_text()
    call.manifest.write_text(text.replace(POKY, "d" * 40))
    said = call.error("--offline", "pins", "check", "--release", "scarthgap", code=3)
    assert "see the remedies above" in said
    call.error("--offline", "mirror", "sync", "--to", "m", "--release", "scarthgap", code=3)
    # The lock is what a call that runs at the same time waits for.
    assert [path.name for path in (call.package / "m").iterdir()] == [".lock"]
    shutil.rmtree(call.package / "m")


# Builds -------------------------------------------------------------------------


@pytest.fixture
def poky(tmp_path: Path) -> FakePoky:
    return fake_poky(tmp_path)


def refused(poky: FakePoky, code: int, *more: str, **env: str) -> str:
    done = poky.call("build", "mine", *more, **env)
    assert done.returncode == code, done.stderr
    for name in ("build-mine/conf", "config", "layers/scarthgap/poky"):
        assert not (poky.workspace / name).exists(), "nothing is half written"
    assert not list((poky.workspace / "layers").rglob(".tmp-*"))
    return done.stderr


@pytest.mark.parametrize("new", ["commit: main", "commit: 0123abc"])
def test_what_is_not_pinned_is_not_built(poky: FakePoky, new: str) -> None:
    role = poky.workspace / "kas/inc/mine.yml"
    role.write_text(role.read_text().replace(f"commit: {poky.commit}", new))
    said = refused(poky, 2)
    assert f"{role}:11: repository poky is not pinned" in said
    assert not (poky.workspace / "build-mine").exists()


def test_a_file_of_the_user_that_follows_a_branch(poky: FakePoky, tmp_path: Path) -> None:
    mine = tmp_path / "mine.yml"
    mine.write_text(
        f"header: {{version: 19}}\nrepos:\n  other:\n    url: {poky.url}\n    branch: main\n"
    )
    said = refused(poky, 2, "--with", str(mine))
    assert f"{mine}:3: repository other is not pinned: it has no commit" in said
    assert "name the commit of branch main" in said


def test_a_commit_that_no_mirror_has(poky: FakePoky, tmp_path: Path) -> None:
    role = poky.workspace / "kas/inc/mine.yml"
    role.write_text(role.read_text().replace(poky.commit, "d" * 40))
    bare(Path(poky.url.removeprefix("file://")), tmp_path / "mirrors" / "poky.git")
    said = refused(poky, 3, YOCTOVIRT_LAYER_MIRRORS=str(tmp_path / "mirrors"))
    assert f"repository poky at {'d' * 40} is found nowhere; tried:" in said
    assert "mirrors/poky.git: it does not have commit dddddddddddd (branch main)" in said
    assert "hint:  set YOCTOVIRT_LAYER_MIRRORS" in said


def test_a_shallow_mirror(poky: FakePoky, tmp_path: Path) -> None:
    """It serves the commit that it has, and no older one."""
    upstream = Path(poky.url.removeprefix("file://"))
    git(upstream, "commit", "-q", "--allow-empty", "-m", "next")
    mirror = tmp_path / "mirrors" / "poky.git"
    git(tmp_path, "clone", "-q", "--bare", "--depth=1", f"file://{upstream}", str(mirror))
    head = git(upstream, "rev-parse", "HEAD")
    role = poky.workspace / "kas/inc/mine.yml"
    away = {"url": "file:///no/such/poky"}
    text = role.read_text().replace(poky.url, away["url"])
    role.write_text(text)
    said = refused(poky, 3, YOCTOVIRT_LAYER_MIRRORS=str(mirror.parent))
    assert f"{mirror}: it does not have commit {poky.commit[:12]}" in said
    role.write_text(text.replace(poky.commit, head))
    done = poky.call("build", "mine", YOCTOVIRT_LAYER_MIRRORS=str(mirror.parent))
    assert done.returncode == 0, done.stderr
