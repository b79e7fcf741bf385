"""``pins check``, ``mirror sync`` and ``pins update`` on the real layers."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from tests.integration.conftest import PATIENCE, Yoctovirt
from tests.layers.conftest import Places
from yoctovirt.base.process import CommandLog
from yoctovirt.base.screen import Screen
from yoctovirt.config.layers import Checkout
from yoctovirt.config.selection import known, load_releases, selections
from yoctovirt.pins.check import check_release
from yoctovirt.pins.git import git_settings
from yoctovirt.pins.places import Places as Repositories
from yoctovirt.pins.sources import candidates, mirror_list

pytestmark = [pytest.mark.layers, pytest.mark.timeout(2400)]


def releases_at_hand() -> list[str]:
    """Return the releases all of whose pins are in local mirrors; all where URLs are named."""
    mirrors = mirror_list()
    if not mirrors or any("://" in entry for entry in mirrors):
        return [release.name for release in load_releases()]
    return [
        release.name
        for release in load_releases()
        if all(
            any(has(Path(place), pin.commit) for place in candidates(pin.url, mirrors)[:-1])
            for pin in release.pins
        )
    ]


def has(folder: Path, commit: str) -> bool:
    argv = ["git", f"--git-dir={folder}", "cat-file", "-e", f"{commit}^{{commit}}"]
    return not subprocess.run(argv, capture_output=True, check=False).returncode


RELEASES = releases_at_hand()


def needs(release: str) -> None:
    if release not in RELEASES:
        pytest.skip(f"no mirror at hand has all pins of {release}")


@pytest.fixture(scope="module")
def synced(places: Places) -> Iterator[Yoctovirt]:
    """Return a workspace whose mirrors ``mirror sync`` has made from those at hand."""
    if not RELEASES:
        pytest.skip("no mirror at hand has all pins of any release")
    yv = workspace(places, "pins")
    target = yv.workspace / "mirrors"
    named = [word for name in RELEASES for word in ("--release", name)]
    done = yv.run("mirror", "sync", "--to", str(target), *named)
    assert done.returncode == 0, done.stderr
    yv.env.update(YOCTOVIRT_LAYER_MIRRORS=str(target), YOCTOVIRT_OFFLINE="1")
    yield yv
    shutil.rmtree(target)


def workspace(places: Places, name: str) -> Yoctovirt:
    yv = places.workspace(name)
    yv.workspace.mkdir()
    (yv.workspace / "yoctovirt.yml").write_text("version: 1\n")
    return yv


def test_all_releases_check(synced: Yoctovirt) -> None:
    """No error and no warning on any release, in under two seconds of an idle machine."""
    start = time.monotonic()
    named = [word for name in RELEASES for word in ("--release", name)]
    done = synced.run("pins", "check", *named)
    took = time.monotonic() - start
    print(done.stdout, f"{took:.1f} s")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\d pins: 0 missing, 0 errors, 0 warnings", done.stdout)
    assert took < 2 * PATIENCE


def test_the_traps_of_openstack_are_seen(synced: Yoctovirt) -> None:
    """On scarthgap the fork's layers, made for kirkstone, are fatal unless a header widens them.

    Without its `prio` the deploy layer's hosts.bbclass would stand behind the empty one.
    """
    needs("scarthgap")
    (release,) = load_releases(["scarthgap"])
    (role,) = (one for one in selections(release, known()) if one.role == "controller")
    flat = replace(role, layers=tuple((repo, path, 0) for repo, path, _ in role.layers))
    with (
        git_settings() as git,
        Repositories(git, [synced.env["YOCTOVIRT_LAYER_MIRRORS"]]) as repositories,
    ):
        told, plain, unordered = (
            [one for one in check_release(release, [selection], repositories, date(2026, 11, 21))
             if one.roles]
            for selection in (role, replace(role, headers=""), flat)
        )  # fmt: skip
    assert {(one.level, one.code) for one in told} == {("note", "widened")}
    assert {(one.level, one.code) for one in plain} == {("error", "series")}
    assert {one.where for one in plain} == {one.where for one in told}
    deploy = "meta-cloud-services/meta-openstack-controller-deploy"
    assert deploy in {one.where for one in plain}
    (order,) = (one for one in unordered if one.code == "order")
    assert "classes/hosts.bbclass" in order.what
    assert deploy in order.where


def test_the_mirror_serves_every_release(synced: Yoctovirt, tmp_path: Path) -> None:
    mirrors = [synced.env["YOCTOVIRT_LAYER_MIRRORS"]]
    for release in load_releases(RELEASES):
        work = Checkout(tmp_path / release.name, CommandLog(), Screen(quiet=True))
        assert work.all(release.pins, mirrors) == []


def test_kas_alone_takes_from_the_mirror(synced: Yoctovirt, tmp_path: Path) -> None:
    """Kas clones and checks out the pins of a release from it, branches and all."""
    import sys

    from yoctovirt.config.kasfile import kas_environment

    needs("kirkstone")
    (release,) = load_releases(["kirkstone"])
    mirrors = Path(synced.env["YOCTOVIRT_LAYER_MIRRORS"])
    rewrite = "\n".join(
        f"^{re.escape(pin.url)}$ file://{candidates(pin.url, [str(mirrors)])[0]}"
        for pin in release.pins
    )
    work = tmp_path / "work"
    work.mkdir()
    shutil.copy(release.path, work / "kirkstone.yml")
    (tmp_path / "gitconfig").write_text("[safe]\n\tdirectory = *\n")
    env = {**kas_environment(), "KAS_WORK_DIR": str(work), "KAS_PREMIRRORS": rewrite,
           "GITCONFIG_FILE": str(tmp_path / "gitconfig")}  # fmt: skip
    argv = [sys.executable, "-m", "kas", "checkout", "--skip", "setup_environ",
            "--skip", "write_bbconfig", str(work / "kirkstone.yml")]  # fmt: skip
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for pin in release.pins:
        head = subprocess.run(
            ["git", "-C", str(work / pin.name), "rev-parse", "HEAD"],
            capture_output=True, text=True, check=True,
        ).stdout.strip()  # fmt: skip
        assert head == pin.commit


def test_update_says_that_it_has_no_history(synced: Yoctovirt) -> None:
    needs("scarthgap")
    done = synced.run("pins", "update", "--release", "scarthgap", "--repo", "poky")
    assert done.returncode == 3
    assert "no source has the history" in done.stderr
    assert "it holds the pinned commits only" in done.stderr


def test_update_where_the_whole_history_is(places: Places) -> None:
    """Three commits back and none forth, on a repository whose whole history is at hand."""
    for release in load_releases():
        for pin in release.pins:
            for place in candidates(pin.url, mirror_list())[:-1]:
                whole = not (Path(place) / "shallow").exists()
                if whole and has(Path(place), f"{pin.commit}~3"):
                    yv = workspace(places, "update")
                    yv.env["YOCTOVIRT_LAYER_MIRRORS"] = os.fspath(Path(place).parent)
                    done = yv.run(
                        "pins", "update", "--dry-run", "--release", release.name,
                        "--repo", pin.name, "--to", f"{pin.commit}~3", "--offline",
                    )  # fmt: skip
                    assert done.returncode in (0, 1), done.stderr
                    assert len(re.findall(r"^  - ", done.stdout, re.MULTILINE)) >= 3
                    return
    pytest.skip("every mirror at hand is shallow: none has the history that this takes")


def test_the_findings_are_for_programs_too(synced: Yoctovirt) -> None:
    needs("kirkstone")
    done = synced.run("pins", "check", "--json", "--release", "kirkstone")
    assert done.returncode == 0, done.stderr
    assert {one["level"] for one in json.loads(done.stdout)} <= {"note"}
