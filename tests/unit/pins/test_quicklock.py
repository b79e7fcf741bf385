"""The lock of Debian packages: resolved by the real apt, from small archives made here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from yoctovirt.config.resources import data_root
from yoctovirt.config.yamlfile import load_mapping
from yoctovirt.errors import InfrastructureError, UsageError
from yoctovirt.pins import privateapt, quicklock
from yoctovirt.pins.privateapt import Mirrors, stanzas

LAYER = data_root() / "recipes-extra" / "meta-yoctovirt-quick"
MIRRORS = Mirrors("http://one.example/debian", "http://one.example/debian-security")
NAMES: dict[str, Any] = {
    "suite": "bookworm",
    "architecture": "amd64",
    "groups": {"base": ["tool"], "ssh": ["server"]},
    "left-out": {"debconf": "no script of Debian runs"},
    "licences": {"tool": "MIT", "server": "BSD-2-Clause", "libs": "Zlib"},
}


def package(name: str, version: str = "1.0-1", **fields: str) -> str:
    values = {
        "Package": name,
        "Version": version,
        "Architecture": "amd64",
        "Maintainer": "nobody <nobody@example.invalid>",
        "Description": "a package",
        "Filename": f"pool/main/{name}_{version.split(':')[-1]}_amd64.deb",
        "Size": "1000",
        "SHA256": f"{len(name):064x}",
        **{key.replace("_", "-"): value for key, value in fields.items()},
    }
    return "".join(f"{key}: {value}\n" for key, value in values.items()) + "\n"


def write_lists(archive: Path, suite: str, packages: str) -> None:
    folder = archive / "dists" / suite / "main" / "binary-amd64"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "Packages").write_text(packages)


TOOL = package("tool", Depends="lib (>= 1), debconf (>= 0.5) | debconf-2.0")
LIB = package("lib", "2:1.1-1", Source="libs (1.1)")
SERVER = package("server", Depends="lib, virtual-tool", Recommends="extra")


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a main and a security archive."""
    monkeypatch.setattr(privateapt, "TRUST", "trusted=yes")
    provider = package("provider", Source="tool", Provides="virtual-tool (= 1)")
    write_lists(tmp_path / "debian", "bookworm", TOOL + LIB + SERVER + provider)
    write_lists(tmp_path / "debian", "bookworm-updates", package("extra"))
    write_lists(tmp_path / "security", "bookworm-security", package("server", "1.0-1+deb12u1",
                Depends="lib, virtual-tool"))  # fmt: skip
    return tmp_path


def mirrors(archive: Path) -> Mirrors:
    return Mirrors(f"file:{archive}/debian", f"file:{archive}/security")


def test_the_real_apt_resolves_names_to_versions_and_urls(archive: Path) -> None:
    shown: list[str] = []
    lock = quicklock.make_lock(NAMES, mirrors(archive), shown.append)
    assert lock["suite"] == "bookworm"
    groups = lock["groups"]
    assert {group: sorted(packages) for group, packages in groups.items()} == {
        "base": ["lib", "tool"],
        "ssh": ["provider", "server"],
    }
    assert groups["base"]["lib"] == {
        "version": "2:1.1-1",
        "source": "libs",
        "url": "${YV_DEBIAN_MIRROR}/pool/main/lib_1.1-1_amd64.deb",
        "size": 1000,
        "sha256": f"{3:064x}",
        "licence": "Zlib",
        "depends": [],
    }
    assert groups["base"]["tool"]["depends"] == ["lib"]
    server = groups["ssh"]["server"]
    assert server["version"] == "1.0-1+deb12u1"
    assert server["url"].startswith("${YV_DEBIAN_SECURITY_MIRROR}/pool/")
    assert server["depends"] == ["lib", "provider"]
    assert str(archive) not in quicklock.to_text(lock)
    assert any("apt-get -q update" in line for line in shown)


def test_an_archive_that_is_not_there_is_the_hosts_fault(archive: Path) -> None:
    absent = Mirrors(f"file:{archive}/debian", f"file:{archive}/nowhere")
    with pytest.raises(InfrastructureError, match="nowhere") as caught:
        quicklock.make_lock(NAMES, absent)
    assert "YV_DEBIAN_SECURITY_MIRROR" in caught.value.hint


def test_a_keyring_that_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring = tmp_path / "ring.gpg"
    monkeypatch.setattr(privateapt, "KEYRING", ring)
    monkeypatch.setattr(privateapt, "TRUST", f"signed-by={ring}")
    with pytest.raises(InfrastructureError, match=str(ring)) as caught:
        quicklock.make_lock(NAMES, MIRRORS)
    assert "debian-archive-keyring" in caught.value.hint


def test_a_name_that_the_archive_does_not_have(archive: Path) -> None:
    names = {**NAMES, "groups": {"base": ["tool", "tolo"]}}
    with pytest.raises(UsageError, match="has no package tolo"):
        quicklock.make_lock(names, mirrors(archive))


def test_a_source_without_licence_is_refused(archive: Path) -> None:
    names = {**NAMES, "licences": {"tool": "MIT", "libs": "Zlib"}}
    with pytest.raises(UsageError, match="no licence is given for the source packages server"):
        quicklock.make_lock(names, mirrors(archive))


def test_urls_begin_with_a_variable_and_security_wins() -> None:
    url = quicklock.with_variable("http://one.example/debian-security/pool/a.deb", MIRRORS)
    assert url == "${YV_DEBIAN_SECURITY_MIRROR}/pool/a.deb"
    url = quicklock.with_variable("http://one.example/debian/pool/a.deb", MIRRORS)
    assert url == "${YV_DEBIAN_MIRROR}/pool/a.deb"
    with pytest.raises(InfrastructureError, match="neither"):
        quicklock.with_variable("http://three.example/a.deb", MIRRORS)


def test_dependencies_are_locked_names() -> None:
    fields = {
        "a": {"Depends": "b (>= 1) | c, virtual, present:any, a-self", "Pre-Depends": "libc"},
        "b": {},
        "libc": {"Provides": "virtual (= 2)"},
        "d": {"Depends": "nowhere"},
    }
    assert quicklock.locked_depends("a", fields, ["present", "a-self"]) == ["b", "libc"]
    with pytest.raises(UsageError, match="nowhere"):
        quicklock.locked_depends("d", fields, [])


def test_what_apt_says_in_between_is_no_field() -> None:
    text = "W: Repository is old\nPackage: a\nDepends: b,\n c\n\nN: There is 1 more\n"
    assert list(stanzas(text)) == [{"Package": "a", "Depends": "b,\nc"}]


def test_changes() -> None:
    def lock(**versions: str) -> dict[str, Any]:
        return {"groups": {"g": {name: {"version": v, "size": 1} for name, v in versions.items()}}}

    assert quicklock.changes(lock(a="1", b="1", c="1"), lock(b="1", c="2", d="1")) == [
        "removed  a 1",
        "updated  c 1 -> 2",
        "added    d 1",
    ]
    other = lock(a="1")
    other["groups"]["g"]["a"]["size"] = 2
    assert quicklock.changes(lock(a="1"), other) == ["changed  a 1 (same version, other size)"]
    assert quicklock.changes(lock(a="1"), lock(a="1")) == []
    assert quicklock.changes(lock(a="1"), {**lock(a="1"), "suite": "x"})


# Where the mirrors come from ----------------------------------------------------


def test_the_environment_names_the_mirrors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YV_DEBIAN_MIRROR", "http://a.example/debian/")
    monkeypatch.setenv("YV_DEBIAN_SECURITY_MIRROR", "http://a.example/security")
    assert quicklock.find_mirrors(LAYER) == Mirrors(
        "http://a.example/debian", "http://a.example/security"
    )


def test_a_host_without_sources_is_told_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("YV_DEBIAN_SECURITY_MIRROR", raising=False)
    monkeypatch.setenv("YV_DEBIAN_MIRROR", "http://a.example/debian")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "quick_mirrors.py").write_text("def host_mirrors():\n    return {}\n")
    with pytest.raises(InfrastructureError) as caught:
        quicklock.find_mirrors(tmp_path)
    assert "(YV_DEBIAN_SECURITY_MIRROR)" in caught.value.message


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "os-release").write_text('ID=debian\nVERSION_CODENAME="bookworm"\n')
    return tmp_path


def mirrors_of(etc: Path) -> dict[str, str]:
    import runpy

    read = runpy.run_path(str(LAYER / "lib" / "quick_mirrors.py"))["host_mirrors"]
    found: dict[str, str] = read(etc, etc / "os-release")
    return found


def test_deb822_sources(etc: Path) -> None:
    (etc / "sources.list.d/debian.sources").write_text(
        "Types: deb deb-src\n# a comment\nURIs: http://one.example/debian/\n"
        "Suites: bookworm bookworm-updates\n\n"
        "Enabled: no\nTypes: deb\nURIs: http://off.example/s\nSuites: bookworm-security\n\n"
        "Types: deb\nURIs: http://two.example/s\nSuites: bookworm-security\n"
    )
    assert mirrors_of(etc) == {
        "YV_DEBIAN_MIRROR": "http://one.example/debian",
        "YV_DEBIAN_SECURITY_MIRROR": "http://two.example/s",
    }


def test_one_line_sources_of_other_archives_do_not_count(etc: Path) -> None:
    (etc / "sources.list").write_text(
        "# deb http://no.example/debian bookworm main\n"
        "deb [arch=amd64 signed-by=/k.gpg] http://one.example/debian bookworm main contrib\n"
    )
    (etc / "sources.list.d/node.list").write_text("deb http://node.example/n nodistro main\n")
    (etc / "sources.list.d/old.list.disabled").write_text(
        "deb http://old.example/s bookworm-security main\n"
    )
    assert mirrors_of(etc) == {"YV_DEBIAN_MIRROR": "http://one.example/debian"}


# The file -----------------------------------------------------------------------


def test_the_lock_that_we_ship_is_whole() -> None:
    names = load_mapping(LAYER / "conf" / "quick-packages.yml")
    lock = quicklock.load_lock(LAYER / "conf" / "quick-packages.lock.json")
    assert list(lock["groups"]) == list(names["groups"])
    packages = quicklock.packages_of(lock)
    for name, entry in packages.items():
        assert entry["url"].startswith(("${YV_DEBIAN_MIRROR}/", "${YV_DEBIAN_SECURITY_MIRROR}/"))
        assert len(entry["sha256"]) == 64
        assert entry["licence"], name
        assert set(entry["depends"]) <= set(packages), name
    for members in names["groups"].values():
        assert set(members) <= set(packages)


@pytest.mark.parametrize("text", ["[]", "{", '{"format": 2}'])
def test_a_file_that_is_no_lock_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "lock").write_text(text)
    with pytest.raises(UsageError, match="no lock of packages"):
        quicklock.load_lock(tmp_path / "lock")
    assert quicklock.load_lock(tmp_path / "absent") == {}


# The verb -----------------------------------------------------------------------


def call(archive: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Call the verb, with archives and a list of names of the test."""
    program = (
        "import sys, yaml\n"
        "from yoctovirt.pins import privateapt\n"
        "from yoctovirt.config import yamlfile\n"
        "privateapt.TRUST = 'trusted=yes'\n"
        f"yamlfile.load_mapping = lambda path: {NAMES!r}\n"
        "from yoctovirt.cli import run\n"
        "sys.exit(run(sys.argv[1:]))\n"
    )
    env = {
        "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
        "YV_DEBIAN_MIRROR": f"file:{archive}/debian",
        "YV_DEBIAN_SECURITY_MIRROR": f"file:{archive}/security",
    }
    return subprocess.run(
        [sys.executable, "-c", program, "quick-lock", *arguments],
        env=env, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_the_verb_writes_says_what_changed_and_checks(archive: Path) -> None:
    lock = archive / "lock.json"
    done = call(archive, "--check", "--lock", str(lock))
    assert done.returncode == 1, done.stderr
    assert "4 differences" in done.stderr
    assert not lock.exists()

    done = call(archive, "--lock", str(lock))
    assert done.returncode == 0, done.stderr
    assert "added    tool 1.0-1" in done.stdout
    assert "4 packages" in done.stdout
    assert call(archive, "--check", "--lock", str(lock)).returncode == 0

    write_lists(archive / "debian", "bookworm-updates", TOOL.replace("1.0-1", "1.0-2"))
    done = call(archive, "--lock", str(lock), "--output", str(archive / "new.json"))
    assert "updated  tool 1.0-1 -> 1.0-2" in done.stdout
    assert json.loads(lock.read_text())["groups"]["base"]["tool"]["version"] == "1.0-1"
    new = json.loads((archive / "new.json").read_text())
    assert new["groups"]["base"]["tool"]["version"] == "1.0-2"
    assert not list(archive.glob(".*.tmp"))


def test_the_verb_refuses_before_it_works(archive: Path) -> None:
    done = call(archive, "--output", str(archive / "no" / "folder" / "lock.json"))
    assert done.returncode == 2
    assert "there is no folder" in done.stderr
    assert "apt-get" not in done.stderr
