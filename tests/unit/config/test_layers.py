"""Pinned repositories from mirrors: real git, small repositories made here."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.gitrepos import bare, commit, git, repository
from yoctovirt.base.process import CommandLog
from yoctovirt.base.screen import Screen
from yoctovirt.config.layers import Checkout, Pin, candidates, mirror_list, pins_of
from yoctovirt.errors import InfrastructureError, UsageError

URL = "https://git.example.invalid/meta-one"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a repository of two commits on ``main``, and a mirror of it."""
    base = tmp_path_factory.mktemp("template")
    repository(base / "upstream", conf__layer_conf="one")
    commit(base / "upstream", "second", conf__layer_conf="two")
    bare(base / "upstream", base / "mirrors" / "meta-one.git")
    return base


@pytest.fixture
def upstream(tmp_path: Path, template: Path) -> Path:
    """Return a repository with two commits on its branch ``main``."""
    return Path(shutil.copytree(template / "upstream", tmp_path / "upstream"))


@pytest.fixture
def mirrors(tmp_path: Path, template: Path) -> Path:
    """Return a folder of mirrors with ``meta-one.git``, a copy of *upstream*."""
    return Path(shutil.copytree(template / "mirrors", tmp_path / "mirrors"))


def head(folder: Path) -> str:
    return git(folder, "rev-parse", "HEAD")


def first(folder: Path) -> str:
    return git(folder, "rev-list", "--max-parents=0", "HEAD")


def pin(upstream: Path, url: str = URL, branch: str | None = "main", sha: str = "") -> Pin:
    return Pin("meta-one", url, sha or head(upstream), branch)


def checkout(tmp_path: Path, *pins: Pin, mirrors: list[str] | None = None) -> list[str]:
    work = Checkout(tmp_path / "layers", CommandLog(), Screen(quiet=True))
    return work.all(pins, mirrors)


def left(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "layers").iterdir())


# Pins and places ----------------------------------------------------------------


def test_a_pin_is_a_full_commit() -> None:
    sha = "0123456789abcdef" * 2 + "01234567"
    config = {"repos": {
        "a": {"url": "https://x.invalid/a", "commit": sha, "branch": "main"},
        "b": {"url": "https://x.invalid/b", "commit": sha},
        "own": {"path": "/x", "layers": {}}, "none": None,
    }}  # fmt: skip
    assert pins_of(config) == [
        Pin("a", "https://x.invalid/a", sha, "main"), Pin("b", "https://x.invalid/b", sha, None)
    ]  # fmt: skip
    assert pins_of({}) == []


@pytest.mark.parametrize("sha", [None, "", "main", "0123456", "0" * 39, "0" * 41, "A" * 40])
def test_anything_less_than_a_full_commit_is_refused(sha: str | None) -> None:
    entry: dict[str, Any] = {"url": "https://x.invalid/a", "branch": "main", "commit": sha}
    with pytest.raises(UsageError, match="repository a is not pinned") as caught:
        pins_of({"repos": {"a": entry}})
    assert "40 hexadecimal digits" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("", []),
        ("/a", ["/a"]),
        ("/a:/b:", ["/a", "/b"]),
        ("/a  https://x.invalid/y\n/b", ["/a", "https://x.invalid/y", "/b"]),
        ("file:///a", ["file:///a"]),
    ],
)
def test_the_variable(text: str, entries: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert mirror_list(text) == entries
    monkeypatch.setenv("YOCTOVIRT_LAYER_MIRRORS", text)
    assert mirror_list() == entries


@pytest.mark.parametrize(
    "url",
    [
        "https://x.invalid/owner/name",
        "https://x.invalid/group/owner/name.git",
        "git@x.invalid:owner/name.git",
        "ssh://git@x.invalid:22/owner/name/",
    ],
)
def test_names_in_a_url_prefix(url: str) -> None:
    assert candidates(url, ["https://m.invalid/git/"]) == [
        "https://m.invalid/git/owner+name.git",
        "https://m.invalid/git/owner/name.git",
        "https://m.invalid/git/name.git",
        url,
    ]


def test_a_url_without_owner_has_one_name() -> None:
    assert candidates("https://x.invalid/poky", ["file:///m"]) == [
        "file:///m/poky.git", "https://x.invalid/poky"
    ]  # fmt: skip


# Mirrors ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["meta-one.git", "meta-one", "owner+meta-one.git",
                                  "owner/meta-one.git"])  # fmt: skip
def test_each_form_of_a_mirror_folder_serves(tmp_path: Path, upstream: Path, name: str) -> None:
    bare(upstream, tmp_path / "m" / name)
    one = pin(upstream, "https://git.example.invalid/owner/meta-one")
    assert checkout(tmp_path, one, mirrors=[str(tmp_path / "m")]) == []
    final = tmp_path / "layers" / "meta-one"
    assert head(final) == one.commit
    assert (final / "conf" / "layer_conf").read_text() == "two"
    assert git(final, "remote", "get-url", "origin") == one.url
    assert git(final, "rev-parse", "origin/main") == one.commit
    assert git(final, "status", "--porcelain") == ""
    assert left(tmp_path) == [".lock", "meta-one"]


def test_two_repositories_with_one_basename_are_kept_apart(tmp_path: Path, upstream: Path) -> None:
    other = tmp_path / "other"
    repository(other, fork="yes")
    for mirror, form in (("plus", "{}+meta-one.git"), ("slash", "{}/meta-one.git")):
        folder = tmp_path / mirror
        bare(upstream, folder / form.format("upstream"))
        bare(other, folder / form.format("fork"))
        pins = [
            Pin(f"{mirror}-a", "https://x.invalid/upstream/meta-one", head(upstream), "main"),
            Pin(f"{mirror}-b", "https://x.invalid/fork/meta-one", head(other), "main"),
        ]
        assert checkout(tmp_path, *pins, mirrors=[str(folder)]) == []
        assert (tmp_path / "layers" / f"{mirror}-b" / "fork").exists()
        assert not (tmp_path / "layers" / f"{mirror}-a" / "fork").exists()


def test_the_wrong_repository_under_the_right_name_is_passed_over(
    tmp_path: Path, mirrors: Path, upstream: Path
) -> None:
    repository(tmp_path / "other", fork="yes")
    bare(tmp_path / "other", mirrors / "owner+meta-one.git")
    one = pin(upstream, "https://x.invalid/owner/meta-one")
    assert checkout(tmp_path, one, mirrors=[str(mirrors)]) == []
    assert head(tmp_path / "layers" / "meta-one") == one.commit


def test_mirrors_are_tried_in_order(
    tmp_path: Path, mirrors: Path, upstream: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    broken = tmp_path / "broken" / "meta-one.git"
    broken.mkdir(parents=True)
    (broken / "HEAD").write_text("no repository")
    names = [str(tmp_path / "empty"), str(tmp_path / "broken"), str(mirrors)]
    work = Checkout(tmp_path / "layers", CommandLog(), Screen())
    assert work.all([pin(upstream)], names) == []
    assert f"from {mirrors}/meta-one.git" in capsys.readouterr().err


def test_a_url_prefix_serves(tmp_path: Path, mirrors: Path, upstream: Path) -> None:
    assert checkout(tmp_path, pin(upstream), mirrors=[f"file://{mirrors}/"]) == []
    assert head(tmp_path / "layers" / "meta-one") == head(upstream)


def test_the_public_url_comes_last(tmp_path: Path, upstream: Path) -> None:
    one = pin(upstream, f"file://{upstream}")
    assert checkout(tmp_path, one, mirrors=[]) == []
    assert head(tmp_path / "layers" / "meta-one") == one.commit


def test_a_shallow_mirror_serves(tmp_path: Path, upstream: Path) -> None:
    bare(upstream, tmp_path / "m" / "meta-one.git", "--depth=1")
    assert checkout(tmp_path, pin(upstream), mirrors=[str(tmp_path / "m")]) == []
    final = tmp_path / "layers" / "meta-one"
    assert git(final, "rev-parse", "--is-shallow-repository") == "true"
    assert head(final) == head(upstream)
    with pytest.raises(InfrastructureError, match=r"not our ref|does not have commit"):
        checkout(tmp_path, pin(upstream, sha=first(upstream)), mirrors=[str(tmp_path / "m")])
    assert head(final) == head(upstream)


def test_a_mirror_without_the_commit_is_named_with_the_reason(
    tmp_path: Path, mirrors: Path, upstream: Path
) -> None:
    new = commit(upstream, "third", more="x")
    with pytest.raises(InfrastructureError) as caught:
        checkout(tmp_path, pin(upstream), mirrors=[str(mirrors)])
    assert f"{mirrors}/meta-one.git: it does not have commit {new[:12]}" in caught.value.message


def test_a_mirror_without_the_branch_is_named_with_the_reason(
    tmp_path: Path, mirrors: Path, upstream: Path
) -> None:
    commit(upstream, "third", more="x")
    with pytest.raises(InfrastructureError, match="couldn't find remote ref refs/heads/gone"):
        checkout(tmp_path, pin(upstream, branch="gone"), mirrors=[str(mirrors)])


@pytest.mark.parametrize("branch", ["main", "gone", None])
def test_a_commit_that_no_branch_reaches_is_used_without_the_branch(
    tmp_path: Path, mirrors: Path, upstream: Path, branch: str | None
) -> None:
    old = head(upstream)
    git(upstream, "reset", "-q", "--hard", "HEAD~1")
    commit(upstream, "rewritten", conf__layer_conf="three")
    git(mirrors / "meta-one.git", "fetch", "-q", str(upstream), "+main:main")
    one = pin(upstream, sha=old, branch=branch)
    work = Checkout(tmp_path / "layers", CommandLog(), Screen(quiet=True))
    # The second call says it again: kas has to be told each time.
    for _ in range(2):
        warnings = work.all([one], [str(mirrors)])
        assert head(tmp_path / "layers" / "meta-one") == old
        assert work.branchless == ({"meta-one"} if branch else set())
        assert len(warnings) == (1 if branch else 0)
        if branch:
            assert f"commit {old[:12]} is not on branch {branch}" in warnings[0]
    # And it is nothing of the user's that would be in the way of the next pin.
    assert checkout(tmp_path, pin(upstream), mirrors=[str(mirrors)]) == []


def test_a_server_that_gives_no_commit_by_its_name_is_refused_with_the_reason(
    tmp_path: Path, mirrors: Path, upstream: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = head(upstream)
    git(upstream, "reset", "-q", "--hard", "HEAD~1")
    git(mirrors / "meta-one.git", "fetch", "-q", str(upstream), "+main:main")
    # The older protocol gives only what its branches reach.
    settings = tmp_path / "gitconfig"
    settings.write_text("[protocol]\n\tversion = 0\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    with pytest.raises(InfrastructureError, match=r"does not have commit|unadvertised"):
        checkout(tmp_path, pin(upstream, sha=old), mirrors=[f"file://{mirrors}"])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_a_mirror_of_another_user_serves(tmp_path: Path, mirrors: Path, upstream: Path) -> None:
    for folder, _, files in os.walk(mirrors):
        for name in ("", *files):
            os.chown(Path(folder) / name, 65534, 65534)
    assert checkout(tmp_path, pin(upstream), mirrors=[str(mirrors)]) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_a_checkout_of_the_build_user_is_known_to_stand(
    tmp_path: Path, mirrors: Path, upstream: Path
) -> None:
    made = Checkout(tmp_path / "layers", CommandLog(), Screen(quiet=True))
    one = pin(upstream)
    made.all([one], [str(mirrors)])
    for folder, _, files in os.walk(tmp_path / "layers" / one.name):
        for name in ("", *files):
            os.chown(Path(folder) / name, 65534, 65534)
    assert made.exactly_at(one)


def test_a_mirror_that_may_not_be_read_is_said_to_be_that(
    tmp_path: Path, mirrors: Path, upstream: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As root everything may be read: the answer of the kernel is replaced, not the folder.
    real = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode: not str(path).endswith(".git") and real(path, mode)
    )
    with pytest.raises(InfrastructureError) as caught:
        checkout(tmp_path, pin(upstream), mirrors=[str(mirrors)])
    owner = mirrors.owner()
    assert f"meta-one.git: it belongs to {owner}, and you may not read it" in caught.value.message
    assert "chmod" in caught.value.message


def test_nothing_reachable_names_all_that_was_tried_and_what_to_set(tmp_path: Path) -> None:
    sha = "1" * 40
    broken = tmp_path / "m" / "meta-one.git"
    broken.mkdir(parents=True)
    with pytest.raises(InfrastructureError) as caught:
        checkout(
            tmp_path, Pin("meta-one", URL, sha, "main"),
            mirrors=[str(tmp_path / "m"), "https://mirror.example.invalid/git"],
        )  # fmt: skip
    message = caught.value.message
    assert f"meta-one at {sha} is found nowhere" in message
    lines = message.splitlines()[1:]
    assert [line.split(": ")[0].strip() for line in lines] == [
        str(broken), "https://mirror.example.invalid/git/meta-one.git", URL
    ]  # fmt: skip
    assert "does not appear to be a git repository" in lines[0]
    assert "Could not resolve host: git.example.invalid" in lines[-1]
    assert "YOCTOVIRT_LAYER_MIRRORS" in caught.value.hint
    assert "meta-one.git" in caught.value.hint
    assert left(tmp_path) == [".lock"]


def test_an_entry_that_is_no_folder(tmp_path: Path, upstream: Path) -> None:
    with pytest.raises(UsageError, match="YOCTOVIRT_LAYER_MIRRORS names /no/such, which is no"):
        checkout(tmp_path, pin(upstream), mirrors=[str(tmp_path), "/no/such"])


def test_git_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InfrastructureError, match="git is not installed"):
        checkout(tmp_path, mirrors=[])


def test_the_settings_of_the_user_count(
    tmp_path: Path, mirrors: Path, upstream: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "my gitconfig"
    settings.write_text(f'[url "file://{mirrors}/"]\n\tinsteadOf = https://git.example.invalid/\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))  # as in a hook
    git(upstream, "clone", "-q", "--bare", str(upstream), str(mirrors / "meta-one"))
    assert checkout(tmp_path, pin(upstream), mirrors=[]) == []


# What is there already ----------------------------------------------------------


def test_the_second_call_needs_nobody(tmp_path: Path, mirrors: Path, upstream: Path) -> None:
    one = pin(upstream)
    checkout(tmp_path, one, mirrors=[str(mirrors)])
    inode = (tmp_path / "layers" / "meta-one").stat().st_ino
    mirrors.rename(tmp_path / "gone")
    assert checkout(tmp_path, one, mirrors=[]) == []
    assert (tmp_path / "layers" / "meta-one").stat().st_ino == inode
    # An older commit of the same branch is here already, too.
    assert checkout(tmp_path, pin(upstream, sha=first(upstream)), mirrors=[]) == []
    assert head(tmp_path / "layers" / "meta-one") == first(upstream)
    assert checkout(tmp_path, one, mirrors=[]) == []
    assert head(tmp_path / "layers" / "meta-one") == one.commit


def test_what_kas_leaves_is_not_of_the_user(tmp_path: Path, mirrors: Path, upstream: Path) -> None:
    old = pin(upstream, sha=first(upstream))
    checkout(tmp_path, old, mirrors=[str(mirrors)])
    final = tmp_path / "layers" / "meta-one"
    git(final, "checkout", "-q", f"{old.commit}^{{commit}}", "-B", "main")
    assert checkout(tmp_path, old, mirrors=[]) == []
    git(final, "checkout", "-q", "-B", f"patched-{old.commit}")
    patched = commit(final, "kas: a patch", conf__layer_conf="patched")
    (final / "lib" / "__pycache__").mkdir(parents=True)
    (final / "lib" / "__pycache__" / "a.pyc").write_text("x")
    assert checkout(tmp_path, old, mirrors=[]) == []
    assert head(final) == patched
    assert checkout(tmp_path, pin(upstream), mirrors=[]) == []
    assert head(final) == head(upstream)


def test_changes_of_the_user_at_the_pin_are_kept_and_named(
    tmp_path: Path, mirrors: Path, upstream: Path
) -> None:
    one = pin(upstream)
    checkout(tmp_path, one, mirrors=[str(mirrors)])
    final = tmp_path / "layers" / "meta-one"
    (final / "conf" / "layer_conf").write_text("mine")
    warnings = checkout(tmp_path, one, mirrors=[])
    assert len(warnings) == 1
    assert "has changes of yours, which are built: conf/layer_conf" in warnings[0]


def change(final: Path) -> None:
    (final / "conf" / "layer_conf").write_text("mine")


def add(final: Path) -> None:
    (final / "new.bb").write_text("mine")


def commit_mine(final: Path) -> None:
    git(final, "checkout", "-q", "-b", "mine")
    commit(final, "mine", mine="x")
    git(final, "checkout", "-q", "--detach", "origin/main")


def commit_detached(final: Path) -> None:
    commit(final, "mine", mine="x")


@pytest.mark.parametrize("work", [change, add, commit_mine, commit_detached])
@pytest.mark.parametrize("known", [True, False], ids=["pin is there", "pin is not there"])
def test_work_of_the_user_is_never_lost(
    tmp_path: Path, mirrors: Path, upstream: Path, work: Callable[[Path], None], known: bool
) -> None:
    checkout(tmp_path, pin(upstream), mirrors=[str(mirrors)])
    final = tmp_path / "layers" / "meta-one"
    work(final)
    before = head(final), git(final, "status", "--porcelain")
    if known:
        wanted = pin(upstream, sha=first(upstream))
    else:
        commit(upstream, "third", third="x")
        git(mirrors / "meta-one.git", "fetch", "-q", str(upstream), "+main:main")
        wanted = pin(upstream)
    with pytest.raises(UsageError, match="is at another commit and has") as caught:
        checkout(tmp_path, wanted, mirrors=[str(mirrors)])
    assert str(final) in caught.value.message
    assert (head(final), git(final, "status", "--porcelain")) == before


def test_a_folder_that_is_no_repository_is_left_alone(
    tmp_path: Path, mirrors: Path, upstream: Path
) -> None:
    final = tmp_path / "layers" / "meta-one"
    final.mkdir(parents=True)
    (final / "notes").write_text("mine")
    with pytest.raises(UsageError, match="is in the way"):
        checkout(tmp_path, pin(upstream), mirrors=[str(mirrors)])
    assert (final / "notes").read_text() == "mine"


# Killed in the middle -----------------------------------------------------------

CALL = """
import sys
from pathlib import Path
from yoctovirt.base.process import CommandLog
from yoctovirt.base.screen import Screen
from yoctovirt.config.layers import Checkout, Pin
folder, mirror, sha = sys.argv[1:]
pin = Pin("meta-one", "https://git.example.invalid/meta-one", sha, "main")
Checkout(Path(folder), CommandLog(), Screen(quiet=True)).all([pin], [mirror])
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a mirror whose checkout takes a while, and its commit beside it."""
    base = tmp_path_factory.mktemp("large")
    source = base / "source"
    source.mkdir()
    for number in range(60):
        (source / f"d{number}").mkdir()
        for one in range(60):
            (source / f"d{number}" / f"f{one}").write_text(f"{number} {one}\n" * 40)
    (base / "commit").write_text(repository(source, README="x"))
    bare(source, base / "mirrors" / "meta-one.git")
    return base


@pytest.mark.parametrize("moment", ["fetch", "checkout"])
def test_a_killed_checkout_is_never_half_there(tmp_path: Path, large: Path, moment: str) -> None:
    layers, sha = tmp_path / "layers", (large / "commit").read_text()
    argv = [sys.executable, "-c", CALL, str(layers), str(large / "mirrors"), sha]
    process = subprocess.Popen(argv, start_new_session=True)
    sign = {"fetch": ".tmp-*/git/.git", "checkout": ".tmp-*/git/d1*"}[moment]
    end = time.monotonic() + 60
    while not list(layers.glob(sign)) and time.monotonic() < end and process.poll() is None:
        time.sleep(0.001)
    assert process.poll() is None, "it was faster than we"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (layers / "meta-one").exists()
    # The git that it had started is stopped by its guard; the next call succeeds.
    again = subprocess.run(argv, capture_output=True, text=True, timeout=120)
    assert again.returncode == 0, again.stderr
    assert head(layers / "meta-one") == sha
    assert git(layers / "meta-one", "status", "--porcelain") == ""
    assert left(tmp_path) == [".lock", "meta-one"]


def test_two_calls_at_once_take_turns(tmp_path: Path, large: Path) -> None:
    layers, sha = tmp_path / "layers", (large / "commit").read_text()
    argv = [sys.executable, "-c", CALL, str(layers), str(large / "mirrors"), sha]
    calls = [subprocess.Popen(argv) for _ in range(2)]
    assert [call.wait(120) for call in calls] == [0, 0]
    assert head(layers / "meta-one") == sha
    assert left(tmp_path) == [".lock", "meta-one"]
