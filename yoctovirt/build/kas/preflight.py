"""What would fail after an hour, found before the first minute."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from yoctovirt.base.files import free_bytes, human_bytes
from yoctovirt.build.kas.user import BuildUser
from yoctovirt.config.kasfile import kas_environment
from yoctovirt.config.resources import data_root
from yoctovirt.config.roles import Role
from yoctovirt.config.workspace import Workspace
from yoctovirt.errors import InfrastructureError, UsageError

#: Programs that bitbake's sanity check wants on the host (HOSTTOOLS), and their Debian packages.
HOST_TOOLS = {
    "ar": "binutils", "bash": "bash", "bzip2": "bzip2", "chrpath": "chrpath", "cpio": "cpio",
    "diffstat": "diffstat", "file": "file", "g++": "g++", "gawk": "gawk", "gcc": "gcc",
    "git": "git", "lz4c": "lz4", "make": "make", "makeinfo": "texinfo", "patch": "patch",
    "perl": "perl", "python3": "python3", "rpcgen": "rpcsvc-proto", "tar": "tar",
    "unzip": "unzip", "wget": "wget", "xz": "xz-utils", "zstd": "zstd",
}  # fmt: skip
#: What the role quick uses in place of tools that bitbake would compile.
QUICK_TOOLS = {
    "apt-get": "apt", "apt-ftparchive": "apt-utils", "depmod": "kmod", "dpkg-deb": "dpkg",
    "mke2fs": "e2fsprogs", "pseudo": "pseudo", "qemu-system-x86_64": "qemu-system-x86",
    "start-stop-daemon": "dpkg", "tune2fs": "e2fsprogs",
}  # fmt: skip
_GIB = 1 << 30


def check_host(role: Role, workspace: Workspace, user: BuildUser, fresh: bool) -> None:
    """Raise for the first group of things that this host lacks for a build of *role*.

    *fresh* says that nothing of it is built yet, so that the whole disk space is needed.
    """
    path = kas_environment()["PATH"]
    tools = HOST_TOOLS | (QUICK_TOOLS if role.name == "quick" else {})
    missing = sorted(
        {package for tool, package in tools.items() if not shutil.which(tool, path=path)}
    )
    if missing:
        raise InfrastructureError(
            f"this host lacks what bitbake needs: {', '.join(missing)}",
            f"apt-get install --no-install-recommends {' '.join(missing)}",
        )
    _check_locale()
    _check_folders(workspace, user)
    free = free_bytes(workspace.path)
    if fresh and free < role.disk_gib * _GIB:
        raise InfrastructureError(
            f"{workspace.path} has {human_bytes(free)} free; a build of {role.name} from nothing "
            f"needs {role.disk_gib} GiB",
            "free some space, or use a workspace on another file system",
        )


def _check_locale() -> None:
    known = ""
    if shutil.which("locale"):
        known = subprocess.run(["locale", "-a"], capture_output=True, text=True, check=False).stdout
    if not any(line.lower().replace("-", "") == "en_us.utf8" for line in known.splitlines()):
        raise InfrastructureError(
            "the locale en_US.UTF-8, which bitbake needs, is not there",
            "as root: apt-get install locales, enable it in /etc/locale.gen, run locale-gen",
        )


def _check_folders(workspace: Workspace, user: BuildUser) -> None:
    """Make sure that the build user can come to the workspace and to our layers."""
    if any(character in str(workspace.path) for character in " \t+@:~"):
        raise UsageError(
            f"bitbake cannot stand a character in the path of the workspace: {workspace.path}",
            "use a path without blanks and without any of + @ : ~",
        )
    ours = data_root() / "recipes-extra"
    for folder, test in ((workspace.path, "-x"), (ours, "-r"), (Path(__file__), "-r")):
        if not user.can(test, str(folder)):
            raise UsageError(
                f"the build user {user.name} cannot come to {folder}",
                "use a workspace and an installation outside of private home folders",
            )
