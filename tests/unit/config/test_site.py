"""site.yml: what a host or a team has, as defaults of the environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from yoctovirt.base.process import CommandLog
from yoctovirt.cli import cli, run
from yoctovirt.cli.common import use_site
from yoctovirt.config.kasfile import FORMAT, flatten
from yoctovirt.config.kasschema import check_config
from yoctovirt.config.roles import load_role
from yoctovirt.config.site import Site, find_site_file, load_site, shared_folders
from yoctovirt.errors import UsageError
from yoctovirt.pins.sources import mirror_list

NAMES = ("YOCTOVIRT_SITE", "XDG_CONFIG_HOME", "DL_DIR", "SSTATE_DIR", "SSTATE_MIRRORS",
         "BB_HASHSERVE", "PRSERV_HOST", "YOCTOVIRT_LAYER_MIRRORS", "YOCTOVIRT_OFFLINE",
         "http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY")  # fmt: skip

WHOLE = """\
DL_DIR: /srv/downloads
SSTATE_DIR: shared/sstate
BB_NUMBER_THREADS: 6
PARALLEL_MAKE: 4
layer_mirrors: [mirrors, https://git.example.com/mirrors/]
sstate_mirrors: [https://cache.example.com/sstate/, /tmp]
source_mirrors: [https://cache.example.com/sources, file:///srv/more]
BB_HASHSERVE: cache.example.com:8686
PRSERV_HOST: cache.example.com:8585
proxies: {http_proxy: "http://proxy.example.com:3128", no_proxy: "localhost,.example.com"}
"""


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in NAMES:
        # Set and deleted: what the code under test sets is taken back in any case.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "no-config"))


def site_of(folder: Path, text: str) -> Site:
    folder.mkdir(exist_ok=True)
    (folder / "mirrors").mkdir(exist_ok=True)
    (folder / "site.yml").write_text(text)
    return load_site(folder)


def kas_of(site: Site, offline: bool = False) -> dict[str, Any]:
    content = site.kas_file(FORMAT, offline)
    assert content is not None
    check_config({**content, "repos": {}}, "the site")
    return content


def test_what_bitbake_gets(tmp_path: Path) -> None:
    site = site_of(tmp_path, WHOLE)
    content = kas_of(site)
    assert content["env"] == {
        "DL_DIR": "/srv/downloads",
        "SSTATE_DIR": f"{tmp_path}/shared/sstate",
        "BB_NUMBER_THREADS": "6",
        "PARALLEL_MAKE": "-j 4",
        "BB_HASHSERVE": "cache.example.com:8686",
        "PRSERV_HOST": "cache.example.com:8585",
        "SSTATE_MIRRORS": "file://.* https://cache.example.com/sstate/PATH;downloadfilename=PATH "
        "file://.* file:///tmp/PATH",
        "SOURCE_MIRROR_URL": "https://cache.example.com/sources",
        "http_proxy": "http://proxy.example.com:3128",
        "no_proxy": "localhost,.example.com",
    }
    lines = content["local_conf_header"]["site"].splitlines()
    assert 'BB_SIGNATURE_HANDLER ?= "OEEquivHash"' in lines
    assert 'INHERIT += "own-mirrors"' in lines
    assert 'PREMIRRORS:append = " (?!file).*://.*/.* file:///srv/more"' in lines
    assert site.layer_mirrors == (f"{tmp_path}/mirrors", "https://git.example.com/mirrors")


def test_nothing_is_added_where_nothing_is_named(tmp_path: Path) -> None:
    assert load_site(tmp_path).kas_file(FORMAT) is None
    assert site_of(tmp_path, "layer_mirrors: [mirrors]\n").kas_file(FORMAT) is None
    assert "local_conf_header" not in kas_of(site_of(tmp_path, "DL_DIR: /srv/dl\n"))


def test_servers_elsewhere_are_not_asked_offline(tmp_path: Path) -> None:
    site = site_of(tmp_path, WHOLE)
    assert not {"BB_HASHSERVE", "PRSERV_HOST"} & set(kas_of(site, offline=True)["env"])
    assert len(site.left_out(True)) == 2
    assert site.left_out(False) == []
    here = site_of(tmp_path, "BB_HASHSERVE: localhost:8686\nPRSERV_HOST: 127.0.0.1:8585\n")
    assert kas_of(here, offline=True) == kas_of(here)


def test_an_upstream_server_is_only_read(tmp_path: Path) -> None:
    site = site_of(tmp_path, "BB_HASHSERVE_UPSTREAM: ws://cache.example.com:8687/ws\n")
    env = kas_of(site)["env"]
    assert env["BB_HASHSERVE"] == "auto"
    assert env["BB_HASHSERVE_UPSTREAM"] == "ws://cache.example.com:8687/ws"
    assert site.kas_file(FORMAT, offline=True) is None


def test_what_users_know_of_sstate_mirrors_is_understood(tmp_path: Path) -> None:
    text = "sstate_mirrors: ['https://c.example.com/s/PATH;downloadfilename=PATH']\n"
    assert site_of(tmp_path, text).variables["SSTATE_MIRRORS"] == (
        "file://.* https://c.example.com/s/PATH;downloadfilename=PATH"
    )


@pytest.mark.parametrize(
    ("text", "place", "words", "hint"),
    [
        ("DL_DIRR: /x\n", "1:1", "DL_DIRR: there is no such key", "DL_DIR"),
        ("dl_dir: /x\n", "1:1", "dl_dir: there is no such key", "did you mean DL_DIR"),
        ("# one\nlayer_mirors: []\n", "2:1", "there is no such key", "layer_mirrors"),
        ("proxies:\n  htps_proxy: http://p:1\n", "2:3", "no such key", "https_proxy"),
        ("DL_DIR: 7\n", "1:1", "7 is not of type 'string'", "caches.md"),
        ("DL_DIR: https://x/y\n", "1:1", "is no folder", "folder"),
        ("DL_DIR: /srv/a b\n", "1:1", "not a path or URL without blanks", "caches.md"),
        ("BB_NUMBER_THREADS: 0\n", "1:1", "0 is less than the minimum", "caches.md"),
        ("PARALLEL_MAKE: fast\n", "1:1", '"-j 8"', "caches.md"),
        ("BB_HASHSERVE: cache\n", "1:1", "host:port", "caches.md"),
        ("PRSERV_HOST: ws://cache:1\n", "1:1", "host:port", "caches.md"),
        ("sstate_mirrors:\n  - https://a/b\n  - nowhere\n", "3:5", "there is no folder", "URL"),
        ("layer_mirrors: x\n", "1:1", "'x' is not of type 'array'", "caches.md"),
        ("- a\n", "", "expected a mapping", ""),
        ("DL_DIR: [\n", "2:1", "not valid YAML", ""),
        ("DL_DIR: /a\nDL_DIR: /b\n", "2:1", "stands twice", ""),
        (
            "BB_HASHSERVE: h:1\nBB_HASHSERVE_UPSTREAM: h:2\n",
            "2:1",
            "only where BB_HASHSERVE is auto",
            "remove one",
        ),
    ],
)
def test_what_does_not_fit(tmp_path: Path, text: str, place: str, words: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        site_of(tmp_path, text)
    assert caught.value.message.startswith(f"{tmp_path}/site.yml:{place}")
    assert words in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("text", "place", "way"),
    [
        ("sstate_mirrors:\n  - https://me:hunter2@c.example.com/s\n", "2:5", "NETRC_FILE"),
        ("source_mirrors: ['https://hunter2@c.example.com/s']\n", "1:18", "machine c.example.com"),
        ("BB_HASHSERVE: ws://me:hunter2@c.example.com:1\n", "1:1", "NETRC_FILE"),
        ("layer_mirrors: ['ssh://git:hunter2@c.example.com/s']\n", "1:17", "NETRC_FILE"),
        ("proxies:\n  http_proxy: http://me:hunter2@p:1\n", "2:3", "export http_proxy="),
    ],
)
def test_credentials_are_refused_and_not_repeated(
    tmp_path: Path, text: str, place: str, way: str
) -> None:
    with pytest.raises(UsageError, match="credentials in a URL") as caught:
        site_of(tmp_path, text)
    assert f"site.yml:{place}: " in caught.value.message
    assert way in caught.value.hint
    assert "hunter2" not in caught.value.message + caught.value.hint


def test_the_user_of_an_ssh_url_is_no_secret(tmp_path: Path) -> None:
    assert site_of(tmp_path, "layer_mirrors: ['ssh://git@c.example.com/s']\n").layer_mirrors


def test_which_file_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace, users = tmp_path / "ws", tmp_path / "config" / "yoctovirt"
    workspace.mkdir()
    users.mkdir(parents=True)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(users.parent))
    assert find_site_file(workspace) is None
    (users / "site.yml").write_text("BB_NUMBER_THREADS: 1\n")
    assert find_site_file(workspace) == find_site_file(None) == users / "site.yml"
    (workspace / "site.yml").write_text("BB_NUMBER_THREADS: 2\n")
    assert load_site(workspace).variables == {"BB_NUMBER_THREADS": "2"}
    named = tmp_path / "named.yml"
    named.write_text("DL_DIR: dl\n")
    monkeypatch.setenv("YOCTOVIRT_SITE", str(named))
    assert load_site(workspace).variables == {"DL_DIR": f"{tmp_path}/dl"}
    monkeypatch.setenv("YOCTOVIRT_SITE", "/dev/null")
    assert load_site(workspace).variables == {}
    monkeypatch.setenv("YOCTOVIRT_SITE", str(tmp_path / "gone.yml"))
    with pytest.raises(UsageError, match="which is no file"):
        load_site(workspace)


def test_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = site_of(tmp_path, WHOLE)
    assert shared_folders(kas_of(site), tmp_path) == {
        "DL_DIR": Path("/srv/downloads"),
        "SSTATE_DIR": tmp_path / "shared/sstate",
    }
    assert shared_folders({}, tmp_path)["DL_DIR"] == tmp_path / "downloads"
    monkeypatch.setenv("DL_DIR", "/elsewhere")
    assert shared_folders(kas_of(site), tmp_path)["DL_DIR"] == Path("/elsewhere")

    monkeypatch.setenv("HTTP_PROXY", "http://other:1")
    monkeypatch.setenv("YOCTOVIRT_LAYER_MIRRORS", "/mine")
    use_site(tmp_path)
    assert mirror_list() == ["/mine"]
    assert os.environ["http_proxy"] == "http://other:1"


def test_layer_mirrors_and_proxies_reach_git(tmp_path: Path) -> None:
    site_of(tmp_path, WHOLE)
    use_site(tmp_path)
    assert mirror_list() == [f"{tmp_path}/mirrors", "https://git.example.com/mirrors"]
    assert os.environ["http_proxy"] == "http://proxy.example.com:3128"
    assert os.environ["no_proxy"] == "localhost,.example.com"


def test_the_users_own_file_is_merged_over_the_site(tmp_path: Path) -> None:
    site = site_of(tmp_path, WHOLE)
    mine = tmp_path / "mine.yml"
    mine.write_text("header: {version: 19}\nenv: {PARALLEL_MAKE: -j 1}\n")
    config = flatten(load_role("quick"), "scarthgap", CommandLog(), extra=[mine], site=site)
    assert config["env"]["PARALLEL_MAKE"] == "-j 1"
    assert config["env"]["DL_DIR"] == "/srv/downloads"
    assert "own-mirrors" in config["local_conf_header"]["site"]


def test_config_shows_the_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = tmp_path / "ws"
    site_of(workspace, WHOLE)
    (workspace / "yoctovirt.yml").write_text("version: 1\n")

    def config(*more: str) -> str:
        done = CliRunner().invoke(cli, ["--workspace", str(workspace), "config", "quick", *more])
        assert done.exit_code == 0, done.output
        return done.output

    assert yaml.safe_load(config())["env"]["BB_HASHSERVE"] == "cache.example.com:8686"
    assert 'INHERIT += "own-mirrors"' in config("--format", "local")
    monkeypatch.setenv("SSTATE_DIR", "/mine")
    shown = config("--format", "env")
    assert "export DL_DIR=/srv/downloads\n" in shown
    assert "export SSTATE_DIR=/mine\n" in shown
    assert "export PARALLEL_MAKE='-j 4'\n" in shown
    assert "export PRSERV_HOST=cache.example.com:8585\n" in shown


def test_a_wrong_site_ends_the_call_before_anything_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = tmp_path / "ws"
    site_of(workspace, "")
    (workspace / "yoctovirt.yml").write_text("version: 1\n")
    (workspace / "site.yml").write_text("DL_DIRS: x\n")
    assert run(["--workspace", str(workspace), "config", "quick"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert f"{workspace}/site.yml:1:1: DL_DIRS: there is no such key" in said.err
    assert "did you mean DL_DIR?" in said.err
