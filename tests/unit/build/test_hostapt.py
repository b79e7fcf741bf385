"""Which sources an image is made of: fake roots of the hosts that we know."""

from __future__ import annotations

from pathlib import Path

import pytest

from yoctovirt.build.debian.hostapt import HostApt, find_host_apt
from yoctovirt.errors import InfrastructureError

DEBIAN_12 = """\
Types: deb
# URIs: http://snapshot.example.invalid/archive/debian/20261101T000000Z
URIs: http://archive.example.invalid/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://security.example.invalid/debian-security
Suites: bookworm-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
"""
UBUNTU_22 = """\
# See http://help.example.invalid/community/UpgradeNotes for how to upgrade.
deb http://archive.example.invalid/ubuntu/ jammy main restricted
# deb-src http://archive.example.invalid/ubuntu/ jammy main restricted
deb http://archive.example.invalid/ubuntu/ jammy-updates main restricted
deb http://archive.example.invalid/ubuntu/ jammy universe
"""
UBUNTU_24 = """\
Types: deb
URIs: http://archive.example.invalid/ubuntu/
Suites: noble noble-updates noble-backports
Components: main universe restricted multiverse
Signed-By: /usr/share/keyrings/ubuntu-archive-keyring.gpg
"""
DOCKER = "deb [arch=amd64] https://docker.example.invalid/linux/debian bookworm stable\n"
OTHER_MAIN = "deb https://third.example.invalid/packages bookworm main\n"


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("YOCTOVIRT_APT_SOURCES", raising=False)


def host(root: Path, os_release: str, **files: str) -> HostApt:
    """Look at a host with *files* below /etc/apt (``__`` stands for ``/``, ``_`` for ``.``)."""
    (root / "etc/apt/sources.list.d").mkdir(parents=True, exist_ok=True)
    (root / "etc/os-release").write_text(os_release)
    for name, text in files.items():
        (root / "etc/apt" / name.replace("__", ".d/").replace("_", ".")).write_text(text)
    return find_host_apt(root, "x86_64")


def release(distribution: str, version: str, suite: str) -> str:
    return (
        f'PRETTY_NAME="{distribution.title()} {version}"\nNAME={distribution}\n'
        f'VERSION_ID="{version}"\nVERSION_CODENAME={suite}\nID={distribution}\n'
    )


BOOKWORM = release("debian", "12", "bookworm")


def names(found: HostApt, root: Path) -> list[str]:
    return [str(path.relative_to(root / "etc/apt")) for path in found.sources]


def test_debian_12_in_deb822(tmp_path: Path) -> None:
    found = host(tmp_path, BOOKWORM, sources_list__debian_sources=DEBIAN_12)
    assert (found.distribution, found.version, found.suite) == ("debian", "12", "bookworm")
    assert names(found, tmp_path) == ["sources.list.d/debian.sources"]
    assert found.kernel_package == "linux-image-cloud-amd64"


def test_debian_12_as_the_installer_writes_it(tmp_path: Path) -> None:
    text = "deb http://archive.example.invalid/debian bookworm main contrib non-free-firmware\n"
    found = host(tmp_path, BOOKWORM, sources_list=text)
    assert names(found, tmp_path) == ["sources.list"]


def test_debian_13(tmp_path: Path) -> None:
    text = DEBIAN_12.replace("bookworm", "trixie")
    found = host(tmp_path, release("debian", "13", "trixie"), sources_list__debian_sources=text)
    assert (found.suite, found.version) == ("trixie", "13")
    assert found.kernel_package == "linux-image-cloud-amd64"


def test_ubuntu_22_04(tmp_path: Path) -> None:
    found = host(tmp_path, release("ubuntu", "22.04", "jammy"), sources_list=UBUNTU_22)
    assert (found.distribution, found.suite) == ("ubuntu", "jammy")
    assert names(found, tmp_path) == ["sources.list"]
    assert found.kernel_package == "linux-image-virtual"


def test_ubuntu_24_04(tmp_path: Path) -> None:
    # Its sources.list is there, and holds a remark only.
    found = host(
        tmp_path,
        release("ubuntu", "24.04", "noble"),
        sources_list="# Ubuntu sources have moved to /etc/apt/sources.list.d/ubuntu.sources\n",
        sources_list__ubuntu_sources=UBUNTU_24,
    )
    assert names(found, tmp_path) == ["sources.list.d/ubuntu.sources"]


def test_third_party_sources_stay_out(tmp_path: Path) -> None:
    found = host(
        tmp_path,
        BOOKWORM,
        sources_list__debian_sources=DEBIAN_12,
        sources_list__docker_list=DOCKER,
        sources_list__other_list=OTHER_MAIN,
    )
    assert names(found, tmp_path) == ["sources.list.d/debian.sources"]


def test_an_administrator_may_have_named_the_file_otherwise(tmp_path: Path) -> None:
    found = host(
        tmp_path, BOOKWORM, sources_list__mirror_sources=DEBIAN_12, sources_list__docker_list=DOCKER
    )
    assert names(found, tmp_path) == ["sources.list.d/mirror.sources"]


def test_the_order_of_the_fields_of_a_stanza_is_free(tmp_path: Path) -> None:
    text = (
        "Types: deb\nComponents: main\nURIs: http://archive.example.invalid/debian\n"
        "Suites: bookworm\n"
    )
    found = host(tmp_path, BOOKWORM, sources_list__debian_sources=text)
    assert names(found, tmp_path) == ["sources.list.d/debian.sources"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# deb http://archive.example.invalid/debian bookworm main\n",
        "deb http://archive.example.invalid/debian bullseye main\n",
        "deb http://archive.example.invalid/debian bookworm contrib\n",
        "deb-src http://archive.example.invalid/debian bookworm main\n",
    ],
)
def test_no_source_of_the_distribution(tmp_path: Path, text: str) -> None:
    with pytest.raises(InfrastructureError, match="no apt source for debian bookworm") as caught:
        host(tmp_path, BOOKWORM, sources_list=text)
    assert "YOCTOVIRT_APT_SOURCES" in caught.value.hint


def test_a_stanza_that_is_switched_off_is_no_source(tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match="no apt source"):
        host(
            tmp_path,
            BOOKWORM,
            sources_list__debian_sources="Enabled: no\n" + DEBIAN_12.partition("\n\n")[0] + "\n",
        )


def test_fedora_is_neither(tmp_path: Path) -> None:
    text = 'ID=fedora\nPRETTY_NAME="Fedora Linux 41"\nVERSION_CODENAME=""\n'
    with pytest.raises(InfrastructureError, match="Fedora Linux 41 is neither Debian nor Ubuntu"):
        host(tmp_path, text)


def test_another_machine(tmp_path: Path) -> None:
    host(tmp_path, BOOKWORM, sources_list__debian_sources=DEBIAN_12)
    with pytest.raises(InfrastructureError, match="this host is aarch64, not amd64"):
        find_host_apt(tmp_path, "aarch64")


def test_the_user_may_name_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = [tmp_path / "a.sources", tmp_path / "b.list"]
    for path in mine:
        path.write_text(DEBIAN_12)
    monkeypatch.setenv("YOCTOVIRT_APT_SOURCES", f"{mine[0]}:{mine[1]}")
    found = host(tmp_path, BOOKWORM, sources_list__debian_sources=DEBIAN_12)
    assert found.sources == tuple(mine)
    monkeypatch.setenv("YOCTOVIRT_APT_SOURCES", f"{mine[0]}:{tmp_path / 'gone'}")
    with pytest.raises(InfrastructureError, match=f"YOCTOVIRT_APT_SOURCES names {tmp_path}/gone"):
        host(tmp_path, BOOKWORM)
