"""The programs that a build or a boot starts: there, new enough, and not harmful.

Source: ``HOSTTOOLS`` and ``sanity.bbclass`` of the release (:mod:`yoctovirt.doctor.sanity`).
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from yoctovirt.doctor.packages import Manager
from yoctovirt.doctor.result import Result, error, ok
from yoctovirt.doctor.subject import run

#: What the role quick uses in place of tools that bitbake would compile.
QUICK_TOOLS = (
    "apt-get", "apt-ftparchive", "depmod", "dpkg-deb", "mke2fs", "pseudo", "qemu-system-x86_64",
    "start-stop-daemon", "tune2fs",
)  # fmt: skip
#: What the builder of Debian packages starts; a normal user needs newuidmap as well.
DEBIAN_TOOLS = ("apt-get", "mmdebstrap", "mke2fs", "mount", "unshare")
#: What a boot starts on this host, by machine.
QEMU = {"qemux86-64": "qemu-system-x86_64", "qemuarm64": "qemu-system-aarch64"}
#: Perl modules that sanity.bbclass asks for.
PERL_MODULES = ("Text::ParseWords", "Thread::Queue", "Data::Dumper")
#: Some third-party programs make these setuid root; pseudo cannot work with that.
_NEVER_SETUID = ("chown", "chmod", "mknod")
#: So many tools are named where all is well.
_FEW = 10
#: The Python that yoctovirt itself needs.
OUR_PYTHON = (3, 10)


def present(check: str, tools: Iterable[str], path: str, manager: Manager, why: str) -> Result:
    """Check that *tools* are in *path*; *why* says who wants them."""
    wanted = sorted(set(tools))
    missing = [tool for tool in wanted if shutil.which(tool, path=path) is None]
    if missing:
        return error(
            check, f"missing: {', '.join(missing)} ({why})", f"as root: {manager.line(missing)}"
        )
    shown = ", ".join(wanted) if len(wanted) <= _FEW else f"all {len(wanted)}"
    return ok(check, f"there: {shown} ({why})")


def version_of(tool: str, path: str) -> str | None:
    """Return the version that *tool* prints of itself, None where it prints none."""
    # gcc puts the version of its package into the same line.
    words = ["-dumpfullversion", "-dumpversion"] if tool == "gcc" else ["--version"]
    place = shutil.which(tool, path=path)
    if place is None:
        return None
    env = {**os.environ, "PATH": path, "LC_ALL": "C"}
    status, said = run([place, *words], env=env)
    first = re.sub(r"\([^)]*\)", "", said.splitlines()[0]) if said else ""
    found = re.search(r"\d+(?:\.\d+)*", first)
    return found.group() if found and status == 0 else None


def number(version: str) -> tuple[int, ...]:
    """Return *version* as numbers, to be compared."""
    return tuple(int(part) for part in version.split("."))


def new_enough(least: Mapping[str, str], path: str, manager: Manager, why: str) -> Result:
    """Check that the tools are at least of the versions in *least*."""
    check = "tools.versions"
    old = []
    shown = []
    for tool, wanted in sorted(least.items()):
        if shutil.which(tool, path=path) is None:
            continue  # that it is missing is said elsewhere
        found = version_of(tool, path)
        if found is None:
            old.append(f"{tool} does not tell its version")
        elif number(found) < number(wanted):
            old.append(f"{tool} is {found}, {wanted} is needed")
        else:
            shown.append(f"{tool} {found}")
    if old:
        return error(
            check, f"{'; '.join(old)} ({why})",
            f"use a newer distribution, the buildtools tarball of the release "
            f"(scripts/install-buildtools), or as root: {manager.line(least)}",
        )  # fmt: skip
    return ok(check, f"new enough: {', '.join(shown)}")


def gnu_tar(path: str, manager: Manager) -> Result:
    """Check that tar is GNU tar: sstate is packed with its options."""
    place = shutil.which("tar", path=path)
    said = run([place, "--version"])[1] if place else ""
    if place and "GNU tar" not in said:
        return error("tools.tar", f"{place} is not GNU tar: {said.splitlines()[:1]}",
                     f"put GNU tar first: {manager.line(['tar'])}")  # fmt: skip
    return ok("tools.tar", "tar is GNU tar")


def perl_modules(path: str, manager: Manager) -> Result:
    """Check for the Perl modules that are packages of their own on some distributions."""
    check = "tools.perl"
    place = shutil.which("perl", path=path)
    if place is None:
        return ok(check, "no perl, as tools.host says")
    status, _ = run([place, *(f"-M{module}" for module in PERL_MODULES), "-e", "1"])
    if status == 0:
        return ok(check, f"{', '.join(PERL_MODULES)} are there")
    missing = [module for module in PERL_MODULES if run([place, f"-M{module}", "-e", "1"])[0]]
    return error(check, f"perl lacks {', '.join(missing)}",
                 f"as root: {manager.line(['perl-modules'])}")  # fmt: skip


def no_setuid(path: str) -> Result:
    """Check that none of chown, chmod, mknod is setuid root."""
    for tool in _NEVER_SETUID:
        place = shutil.which(tool, path=path)
        if place is None:
            continue
        found = Path(place).stat()
        if found.st_uid == 0 and found.st_mode & stat.S_ISUID:
            return error("tools.setuid", f"{place} is setuid root: that breaks pseudo",
                         f"as root: chmod u-s {place}")  # fmt: skip
    return ok("tools.setuid", f"none of {', '.join(_NEVER_SETUID)} is setuid root")


def shell(sh: Path = Path("/bin/sh")) -> Result:
    """Check that /bin/sh is bash or dash."""
    real = str(sh.resolve())
    if sh.is_symlink() and not re.search(r"/(bash|dash)", real):
        return error("tools.sh", f"{sh} leads to {real}; OpenEmbedded needs bash or dash",
                     f"as root: ln -sf dash {sh}")  # fmt: skip
    return ok("tools.sh", f"{sh} is {real}")


def own_python(version: tuple[int, ...] = sys.version_info[:3]) -> Result:
    """Check that the Python that runs us is new enough."""
    shown = ".".join(map(str, version))
    if version[:2] < OUR_PYTHON:
        return error("tools.python", f"yoctovirt runs on Python {shown}; 3.10 is needed",
                     "install yoctovirt with a newer Python (python3.10 -m venv ...)")  # fmt: skip
    return ok("tools.python", f"yoctovirt runs on Python {shown}")
