"""Caches between workspaces that share no folder: bitbake's own hash equivalence server, HTTP.

Each workspace knows of them by its ``site.yml`` alone. The HTTP server asks for a password,
which comes from a netrc file.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.conftest import Yoctovirt
from tests.layers.conftest import BUILD_USER, Places
from tests.layers.servers import USER, free_port, hash_server, http_server
from tests.layers.test_hash_equivalence import NEUTRAL
from tests.layers.test_quick import figures

pytestmark = [pytest.mark.layers, pytest.mark.timeout(3000)]

SECRET = "hunter2-of-the-mirror"
#: No archive of Debian: all sources have to come from the mirror.
NOWHERE = {
    "YV_DEBIAN_MIRROR": "http://127.0.0.1:9/debian",
    "YV_DEBIAN_SECURITY_MIRROR": "http://127.0.0.1:9/security",
}


@dataclass
class Team:
    """What the team has, and workspaces that use it."""

    places: Places
    url: str  #: of the HTTP server
    hashserv: str
    netrc: Path
    neutral: Path

    def workspace(self, name: str, **site: object) -> Yoctovirt:
        yv = self.places.workspace(name, NETRC_FILE=str(self.netrc), **NOWHERE)
        yv.workspace.mkdir()
        (yv.workspace / "yoctovirt.yml").write_text("version: 1\n")
        values = {"source_mirrors": [f"{self.url}/downloads"], **site}
        lines = "".join(f"{key}: {value}\n" for key, value in values.items())
        (yv.workspace / "site.yml").write_text(lines)
        return yv

    def build(self, yv: Yoctovirt, *more: str) -> tuple[dict[str, int], str]:
        start = time.monotonic()
        done = yv.run("build", "quick", *more, timeout=2400)
        assert done.returncode == 0, done.stderr
        got = figures(yv)
        print(f"{yv.workspace.name}: {time.monotonic() - start:.0f} s, {got}")
        yv.assert_nothing_left()
        return got, done.stderr


@pytest.fixture(scope="module")
def team(quick: Yoctovirt, places: Places) -> Iterator[Team]:
    root = places.root / "team"
    root.mkdir()
    (root / "empty").mkdir()
    (root / "downloads").symlink_to(quick.workspace / "downloads")
    (root / "sstate").symlink_to(places.root / "team-one" / "sstate-cache")
    netrc = root / "netrc"
    netrc.write_text(f"machine 127.0.0.1 login {USER} password {SECRET}\n")
    netrc.chmod(0o600)
    if os.geteuid() == 0:
        shutil.chown(netrc, pwd.getpwnam(BUILD_USER).pw_uid)
    neutral = root / "neutral.yml"
    neutral.write_text(NEUTRAL)
    bitbake = quick.workspace / "layers/scarthgap/poky/bitbake"
    with http_server(root, SECRET) as url, hash_server(bitbake, root) as address:
        yield Team(places, url, address, netrc, neutral)


@pytest.fixture(scope="module")
def one(team: Team) -> Yoctovirt:
    """Return the workspace that fills the caches: built, and again after a change of a recipe.

    The change changes no output: only the server knows then that what depends on the recipe
    can be had.
    """
    yv = team.workspace("team-one", BB_HASHSERVE=team.hashserv)
    first, _ = team.build(yv)
    assert first["sstate_local"] + first["sstate_mirrors"] == 0
    assert list((yv.workspace / "downloads").glob("*.deb")), "from the source mirror"
    team.build(yv, "--with", str(team.neutral))
    return yv


def manifest(yv: Yoctovirt) -> str:
    return next((yv.workspace / "build-quick/deploy/").glob("*.rootfs.manifest")).read_text()


def test_full_reuse(team: Team, one: Yoctovirt) -> None:
    two = team.workspace(
        "team-two", BB_HASHSERVE=team.hashserv, sstate_mirrors=[f"{team.url}/sstate"]
    )
    got, _ = team.build(two, "--with", str(team.neutral))
    assert got["sstate_local"] == 0
    assert got["sstate_mirrors"] >= got["sstate_wanted"] - 2, "all but the image's own"
    assert not list((two.workspace / "downloads").glob("*.deb")), "nothing had to be unpacked"
    assert manifest(two) == manifest(one)
    for folder in ("runs", "config", "build-quick/conf"):
        found = subprocess.run(["grep", "-rl", SECRET, str(two.workspace / folder)], check=False)
        assert found.returncode == 1, "the password stands in no record"


def test_without_the_hash_equivalence_server(team: Team, one: Yoctovirt) -> None:
    """It is the server that makes the difference; without it the build says so, and is right."""
    three = team.workspace(
        "team-three",
        BB_HASHSERVE=f"127.0.0.1:{free_port()}",
        sstate_mirrors=[f"{team.url}/sstate"],
    )
    got, said = team.build(three, "--with", str(team.neutral))
    assert "warning: the hash equivalence server 127.0.0.1:" in said
    assert "does not answer (Connection refused): this build uses the workspace's own" in said
    assert got["sstate_mirrors"] < got["sstate_wanted"] - 10
    assert manifest(three) == manifest(one)


def test_with_an_empty_mirror(team: Team, one: Yoctovirt) -> None:
    four = team.workspace(
        "team-four", BB_HASHSERVE=team.hashserv, sstate_mirrors=[f"{team.url}/empty"]
    )
    got, said = team.build(four, "--with", str(team.neutral))
    # That the closed mirrors of sources do not answer is true, and said once in a while.
    closed = tuple(f"warning: {url} does not answer" for url in NOWHERE.values())
    warnings = [line.strip() for line in said.splitlines() if "warning" in line]
    assert [line for line in warnings if not line.startswith(closed)] == []
    assert got["sstate_mirrors"] == got["sstate_local"] == 0
    assert manifest(four) == manifest(one)


def test_without_the_password(team: Team) -> None:
    """Then no source comes from the mirror, and it is said what was asked."""
    five = team.workspace("team-five", BB_HASHSERVE=team.hashserv)
    five.env["NETRC_FILE"] = "/dev/null"
    done = five.run("fetch", "quick", timeout=2400)
    assert done.returncode == 3, done.stdout + done.stderr
    assert re.search(rf"    {team.url}/downloads/\S+\.deb: 401 Unauthorized", done.stderr)
    assert f"{NOWHERE['YV_DEBIAN_MIRROR']}/pool/" in done.stderr
    five.assert_nothing_left()
