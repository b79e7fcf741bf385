"""What the host's apt knows: distribution, sources, kernel package."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path

from yoctovirt.errors import InfrastructureError

_NO_DEBIAN_HINT = "roles of the debian builder need a Debian 12+ or Ubuntu 22.04+ host on amd64"


@dataclass(frozen=True)
class HostApt:
    """Where packages come from on this host."""

    distribution: str  #: ``debian`` or ``ubuntu``
    version: str
    suite: str  #: code name, e.g. ``bookworm``
    sources: tuple[Path, ...]

    @property
    def kernel_package(self) -> str:
        """A small kernel with virtio, as the distribution makes it."""
        return "linux-image-cloud-amd64" if self.distribution == "debian" else "linux-image-virtual"


def _os_release(root: Path) -> dict[str, str]:
    if root == Path("/"):
        try:
            return dict(platform.freedesktop_os_release())
        except OSError:
            return {}
    values = {}
    for line in (root / "etc/os-release").read_text().splitlines():
        key, equals, value = line.partition("=")
        if equals:
            values[key] = value.strip().strip('"')
    return values


def _deb_lines(path: Path) -> str:
    text = path.read_text(errors="replace")
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))


def find_host_apt(root: Path = Path("/"), machine: str | None = None) -> HostApt:
    """Return the apt set-up of the host whose file system is at *root*.

    The sources are those of the distribution itself: third-party archives stay
    out of the image. ``YOCTOVIRT_APT_SOURCES`` names other files (``:`` between them).
    Raises InfrastructureError on another distribution or where no source is found.
    """
    machine = machine or platform.machine()
    release = _os_release(root)
    distribution = release.get("ID", "")
    suite = release.get("VERSION_CODENAME", "")
    if distribution not in ("debian", "ubuntu") or not suite:
        name = release.get("PRETTY_NAME", "this host")
        raise InfrastructureError(f"{name} is neither Debian nor Ubuntu", _NO_DEBIAN_HINT)
    if machine not in ("x86_64", "amd64"):
        raise InfrastructureError(f"this host is {machine}, not amd64", _NO_DEBIAN_HINT)
    named = os.environ.get("YOCTOVIRT_APT_SOURCES")
    if named:
        sources = [Path(part) for part in named.split(":") if part]
        absent = [str(path) for path in sources if not path.is_file()]
        if absent:
            raise InfrastructureError(
                f"YOCTOVIRT_APT_SOURCES names {', '.join(absent)}, which is no file"
            )
    else:
        sources = _distribution_sources(root / "etc/apt", distribution, suite)
    if not sources:
        raise InfrastructureError(
            f"no apt source for {distribution} {suite} in {root / 'etc/apt'}",
            "name the files of your mirror in YOCTOVIRT_APT_SOURCES",
        )
    return HostApt(distribution, release.get("VERSION_ID", ""), suite, tuple(sources))


def _distribution_sources(apt: Path, distribution: str, suite: str) -> list[Path]:
    folder = apt / "sources.list.d"
    usual = [folder / f"{distribution}.sources", apt / "sources.list"]
    others = sorted([*folder.glob("*.sources"), *folder.glob("*.list")]) if folder.is_dir() else []
    for candidates in ([path for path in usual if path.is_file()], others):
        found = [path for path in candidates if _offers(_deb_lines(path), suite)]
        if found:
            return found
    return []


def _offers(text: str, suite: str) -> bool:
    """Whether *text* (sources.list, or deb822 stanzas) has binary packages of *suite*'s main."""
    for line in text.splitlines():
        match = re.match(r"deb\s+(\[[^]]*\]\s+)?\S+\s+(\S+)\s+(.*)", line)
        if match and match[2] == suite and "main" in match[3].split():
            return True
    for stanza in re.split(r"\n\s*\n", text):
        fields = dict(re.findall(r"(?m)^([\w-]+):\s*(.*(?:\n[ \t]+.*)*)", stanza))
        fields = {key.lower(): value.split() for key, value in fields.items()}
        if (
            "deb" in fields.get("types", ())
            and suite in fields.get("suites", ())
            and "main" in fields.get("components", ())
            and fields.get("enabled", ["yes"]) != ["no"]
        ):
            return True
    return False
