"""The caches of a team: who may write, who answers, what bitbake is told."""

from __future__ import annotations

import os
import pwd
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.fakebitbake import FakePoky, fake_poky
from tests.mounts import mounts, volume
from yoctovirt.base.process import CommandLog
from yoctovirt.build.kas.caches import prepare_folders, settle_servers
from yoctovirt.build.kas.user import BuildUser
from yoctovirt.config.workspace import Workspace
from yoctovirt.errors import InfrastructureError


@pytest.fixture
def server() -> Iterator[int]:
    """Return a port of localhost that accepts connections."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


@pytest.fixture
def closed() -> int:
    """Return a port of localhost at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "SSTATE_MIRRORS", "BB_HASHSERVE", "PRSERV_HOST",
                 "YOCTOVIRT_OFFLINE"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)


def test_servers_that_answer_are_not_spoken_of(server: int) -> None:
    mirror = f"file://.* http://127.0.0.1:{server}/sstate/PATH;downloadfilename=PATH"
    env = {
        "BB_HASHSERVE": f"ws://127.0.0.1:{server}/ws",
        "PRSERV_HOST": f"127.0.0.1:{server}",
        "SSTATE_MIRRORS": f"{mirror} file://.* file:///tmp/PATH",
    }
    assert settle_servers({"env": env}) == []
    assert settle_servers({"env": {"BB_HASHSERVE": "auto", "PRSERV_HOST": "localhost:0"}}) == []
    assert settle_servers({}) == []


def test_servers_that_do_not_answer(
    closed: int, server: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    url = f"http://127.0.0.1:{closed}/sstate"
    env = {"BB_HASHSERVE": f"127.0.0.1:{closed}", "SSTATE_MIRRORS": f"file://.* {url}/PATH"}
    first, second = settle_servers(config := {"env": env})
    assert config["env"]["BB_HASHSERVE"] == "auto", "bitbake would end with a traceback"
    assert first.startswith(f"the hash equivalence server 127.0.0.1:{closed} does not answer (")
    assert second.startswith(f"the sstate mirror {url} does not answer (Connection refused)")
    (third,) = settle_servers({"env": {"BB_HASHSERVE": f"unix://{tmp_path}/no.sock"}})
    assert "there is no such socket" in third
    (fourth,) = settle_servers({"env": {"BB_HASHSERVE_UPSTREAM": f"127.0.0.1:{closed}"}})
    assert "takes less from the sstate of others" in fourth
    monkeypatch.setenv("BB_HASHSERVE", f"127.0.0.1:{closed}")
    with pytest.raises(InfrastructureError, match="hash equivalence server") as caught:
        settle_servers({"env": {"BB_HASHSERVE": "auto"}})
    assert "unset BB_HASHSERVE" in caught.value.hint
    monkeypatch.delenv("BB_HASHSERVE")
    config = {"env": {"PRSERV_HOST": f"127.0.0.1:{closed}"}}
    with pytest.raises(InfrastructureError, match=f"PR server 127.0.0.1:{closed} does not answer"):
        settle_servers(config)
    monkeypatch.setenv("PRSERV_HOST", f"127.0.0.1:{server}")
    assert settle_servers(config) == []


def test_offline_nobody_is_asked(closed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YOCTOVIRT_OFFLINE", "1")
    assert settle_servers({"env": {"PRSERV_HOST": f"127.0.0.1:{closed}"}}) == []


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Return a folder to which other users can come; those of pytest are private."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_folders_of_others_are_not_taken_over(open_folder: Path) -> None:
    tmp_path = open_folder
    me = pwd.getpwuid(os.geteuid())
    root = me.pw_uid == 0
    entry = pwd.getpwnam("nobody") if root else me
    user = BuildUser(entry.pw_name if root else None, entry.pw_uid, entry.pw_gid, tmp_path)
    workspace = Workspace(tmp_path / "ws", tmp_path / "cache")
    theirs = tmp_path / "theirs"
    theirs.mkdir(mode=0o755)
    theirs.chmod(0o755 if root else 0o555)
    new, own = tmp_path / "new", workspace.path / "downloads"
    log = CommandLog()
    prepare_folders({"DL_DIR": own, "SSTATE_DIR": new}, workspace, user, log)
    assert own.stat().st_uid == new.stat().st_uid == entry.pw_uid
    who = user.name or "you"
    with pytest.raises(InfrastructureError, match=f"theirs, where {who} cannot write") as caught:
        prepare_folders({"DL_DIR": own, "SSTATE_DIR": theirs}, workspace, user, log)
    assert "SSTATE_DIR is " in caught.value.message
    assert "site.yml" in caught.value.hint
    assert theirs.stat().st_uid == me.pw_uid
    theirs.chmod(0o777)
    prepare_folders({"DL_DIR": theirs}, workspace, user, log)
    assert theirs.stat().st_uid == me.pw_uid


@mounts
@pytest.mark.parametrize("name", ["DL_DIR", "SSTATE_DIR"])
def test_a_cache_that_is_read_only(tmp_path: Path, name: str) -> None:
    """It is said before bitbake starts, also of the workspace's own; as a mirror it is welcome."""
    fake = fake_poky(tmp_path)
    own = fake.workspace / {"DL_DIR": "downloads", "SSTATE_DIR": "sstate-cache"}[name]
    for folder, env in ((tmp_path / "cache", {name: f"{tmp_path}/cache/yocto"}), (own, {})):
        with volume(folder, "size=9m,ro"):
            done = fake.call("ci", "mine", "--until", "build", **env)
            shown = env.get(name, str(folder))
        assert done.returncode == 3, done.stderr
        assert f"{name} is {shown}, on a file system that is mounted read-only" in done.stderr
        assert f"_mirrors: [{shown}] in site.yml" in done.stderr
        assert "kas build" not in done.stderr
    own.rmdir()
    done = fake.call("build", "mine")
    assert done.returncode == 0, done.stderr


def test_a_build_uses_the_site(tmp_path: Path, server: int, closed: int) -> None:
    fake: FakePoky = fake_poky(tmp_path)
    sources = tmp_path / "dl"
    site = fake.workspace / "site.yml"
    site.write_text(
        f"DL_DIR: {sources}\nSSTATE_DIR: sstate\nPARALLEL_MAKE: 3\nBB_NUMBER_THREADS: 5\n"
        f"sstate_mirrors: ['http://127.0.0.1:{closed}/s']\n"
        f"BB_HASHSERVE: 127.0.0.1:{server}\nPRSERV_HOST: 127.0.0.1:{server}\n"
        "proxies: {no_proxy: localhost}\nsource_mirrors: [https://sources.example.com/dl]\n"
    )
    done = fake.call("build", "mine", SSTATE_DIR=str(tmp_path / "mine"), BB_NUMBER_THREADS="2")
    assert done.returncode == 0, done.stderr
    assert f"warning: the sstate mirror http://127.0.0.1:{closed}/s does not answer" in done.stderr
    env = fake.seen()["env"]
    assert env["DL_DIR"] == str(sources)
    assert env["SSTATE_DIR"] == str(tmp_path / "mine"), "the environment wins"
    assert env["BB_NUMBER_THREADS"] == "2"
    assert env["PARALLEL_MAKE"] == "-j 3"
    assert env["PRSERV_HOST"] == env["BB_HASHSERVE"] == f"127.0.0.1:{server}"
    assert env["SSTATE_MIRRORS"].endswith(f"127.0.0.1:{closed}/s/PATH;downloadfilename=PATH")
    assert env["SOURCE_MIRROR_URL"] == "https://sources.example.com/dl"
    assert env["no_proxy"] == "localhost"
    assert {"PRSERV_HOST", "SOURCE_MIRROR_URL"} <= set(env["BB_ENV_PASSTHROUGH_ADDITIONS"].split())
    local = (fake.workspace / "build-mine/conf/local.conf").read_text()
    assert 'INHERIT += "own-mirrors"' in local
    recorded = yaml.safe_load((fake.record() / "kas.yml").read_text())
    assert recorded["env"]["PRSERV_HOST"] == f"127.0.0.1:{server}"

    # Without its PR server nothing is begun, offline it is left out.
    site.write_text(f"PRSERV_HOST: 127.0.0.1:{closed}\n")
    done = fake.call("build", "mine")
    assert done.returncode == 3, done.stderr
    assert f"the PR server 127.0.0.1:{closed} does not answer" in done.stderr
    assert "kas build" not in done.stderr
    site.write_text("PRSERV_HOST: prserv.example.com:8585\n")
    done = fake.call("build", "mine", YOCTOVIRT_OFFLINE="1")
    assert done.returncode == 0, done.stderr
    assert f"warning: offline: PRSERV_HOST of {site} is not asked" in done.stderr
    assert "PRSERV_HOST" not in fake.seen()["env"]


def test_a_site_that_is_wrong_ends_a_build_at_once(tmp_path: Path) -> None:
    fake = fake_poky(tmp_path)
    (fake.workspace / "site.yml").write_text("layer_mirrors: [nowhere]\n")
    done = fake.call("build", "mine")
    assert done.returncode == 2, done.stderr
    assert f"{fake.workspace}/site.yml:1:17: layer_mirrors.0: there is no folder" in done.stderr
    assert not (fake.workspace / "layers").exists()
    assert not (fake.workspace / "build-mine").exists()
