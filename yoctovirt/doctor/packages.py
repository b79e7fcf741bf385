"""Which package brings a tool, by the host's package manager.

Sources: the packages of Debian 12, Fedora 40 and openSUSE 15.6 that hold the files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Manager:
    """A package manager: its name, and the line that installs."""

    name: str
    install: str

    def line(self, tools: Iterable[str]) -> str:
        """Return the command that installs what brings *tools*."""
        packages = sorted({package_of(tool, self.name) for tool in tools})
        return f"{self.install} {' '.join(packages)}"


APT = Manager("apt", "apt-get install --no-install-recommends")
DNF = Manager("dnf", "dnf install")
ZYPPER = Manager("zypper", "zypper install")

#: Package -> what it brings that bitbake asks for. Named alike everywhere but below.
_BRINGS = {
    "binutils": "ar as ld nm objcopy objdump ranlib readelf strings strip",
    "coreutils": "[ basename cat chgrp chmod chown comm cp cut date dd dirname du echo env expand "
    "expr false head id install ln ls md5sum mkdir mkfifo mknod mktemp mv od pr printf pwd "
    "readlink realpath rm rmdir seq sha1sum sha224sum sha256sum sha384sum sha512sum sleep sort "
    "split stat tail tee test touch tr true truncate uname uniq wc",
    "bash": "bash sh",
    "bzip2": "bunzip2 bzip2",
    "diffutils": "cmp diff",
    "findutils": "find xargs",
    "gawk": "awk gawk",
    "grep": "egrep fgrep grep",
    "gzip": "gunzip gzip",
    "util-linux": "flock getopt setpriv unshare",
    "zstd": "pzstd unzstd zstd",
    "lz4": "lz4c",
    "kmod": "depmod",
    "e2fsprogs": "mke2fs tune2fs",
    "dpkg": "dpkg-deb start-stop-daemon",
}
_PACKAGE = {tool: package for package, tools in _BRINGS.items() for tool in tools.split()}
#: Tool -> package, where a manager names it in its own way.
_NAMES = {
    "apt": {
        "apt-ftparchive": "apt-utils", "apt-get": "apt", "cpp": "cpp", "getconf": "libc-bin",
        "iconv": "libc-bin", "ldd": "libc-bin", "locale": "libc-bin", "locale-gen": "locales",
        "newuidmap": "uidmap", "qemu-img": "qemu-utils", "rpcgen": "rpcsvc-proto",
        "qemu-system-aarch64": "qemu-system-arm", "qemu-system-x86_64": "qemu-system-x86",
        "ssh": "openssh-client", "which": "debianutils", "xz": "xz-utils",
        "sh": "dash", "perl-modules": "perl",
    },
    "dnf": {
        "apt-ftparchive": "apt", "apt-get": "apt", "cpp": "cpp", "g++": "gcc-c++",
        "getconf": "glibc-common", "iconv": "glibc-common", "ldd": "glibc-common",
        "locale": "glibc-common", "locale-gen": "glibc-langpack-en", "lz4c": "lz4",
        "newuidmap": "shadow-utils", "qemu-img": "qemu-img",
        "qemu-system-aarch64": "qemu-system-aarch64-core",
        "qemu-system-x86_64": "qemu-system-x86-core", "ssh": "openssh-clients",
        "perl-modules": "perl-Text-ParseWords perl-Thread-Queue perl-Data-Dumper",
        "mount": "util-linux-core",
    },
    "zypper": {
        "g++": "gcc-c++", "getconf": "glibc", "iconv": "glibc-extra", "ldd": "glibc",
        "locale": "glibc", "locale-gen": "glibc-locale", "newuidmap": "shadow",
        "qemu-img": "qemu-img", "qemu-system-aarch64": "qemu-arm", "qemu-system-x86_64": "qemu-x86",
        "ssh": "openssh-clients", "python3": "python3", "perl-modules": "perl",
        "mount": "util-linux",
    },
}  # fmt: skip


def package_of(tool: str, manager: str) -> str:
    """Return the package that brings *tool*; most are named as their tool."""
    return _NAMES[manager].get(tool) or _PACKAGE.get(tool, tool)


def find_manager(os_release: Path = Path("/etc/os-release")) -> Manager:
    """Return the package manager of this host; apt where its distribution is not known."""
    try:
        text = os_release.read_text(encoding="utf-8")
    except OSError:
        return APT
    words = set(re.findall(r"[\w.-]+", " ".join(re.findall(r"^ID(?:_LIKE)?=(.*)$", text, re.M))))
    if words & {"fedora", "rhel", "centos", "rocky", "almalinux"}:
        return DNF
    if any("suse" in word or word == "sles" for word in words):
        return ZYPPER
    return APT
