"""The file systems of the workspace: room, and what bitbake cannot stand of them.

Sources: ``sanity.bbclass`` (path length, names of 200 characters, NFS, letter case) and
``BB_DISKMON_DIRS`` of local.conf.sample (bitbake stops tasks below 1 GiB or 100 000 inodes).
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from yoctovirt.base.files import free_bytes, human_bytes, nearest
from yoctovirt.doctor.result import Result, error, not_checked, ok, warning

_GIB = 1 << 30
#: Inodes that a build needs for each GiB of its disk space (measured: 5600 for quick).
INODES_PER_GIB = 10_000
#: Free space that even a build with everything in place needs, in bytes, and so many inodes.
LEAST_BYTES, LEAST_INODES = _GIB, 20_000
#: Free space without which a node has no room for its overlay, and a cache is full.
OVERLAY_BYTES = 64 << 20
#: Length of the file names that sanity.bbclass tries in TMPDIR and SSTATE_DIR.
NAME_LENGTH = 200
ELSEWHERE = "use a workspace on another file system (--workspace DIR)"
#: Magic numbers of statfs(2) that sanity.bbclass refuses for TMPDIR.
_REMOTE = ("nfs", "nfs4")


def space(path: Path, need_gib: int, fresh: bool, elsewhere: str = ELSEWHERE) -> Result:
    """Check for the room of a build that needs *need_gib* GiB when it is *fresh*."""
    check = "disk.space"
    found = os.statvfs(nearest(path))
    free, total = found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
    said = f"{human_bytes(free)} of {human_bytes(total)} free at {path}"
    if free < LEAST_BYTES:
        return error(
            check, f"{said}: builds stop below 1 GiB",
            f"free some space ('yoctovirt clean'), or {elsewhere}",
        )  # fmt: skip
    if fresh and free < need_gib * _GIB:
        return error(
            check,
            f"{said}; a build from nothing needs {need_gib} GiB",
            f"free some space ('yoctovirt clean'), or {elsewhere}",
        )
    return ok(check, f"{said}; a build from nothing needs {need_gib} GiB")


def cache_space(name: str, path: Path, workspace: Path) -> list[Result]:
    """Check for room in a folder that builds share (*name*: ``DL_DIR``, ``SSTATE_DIR``).

    Where it is on the file system of the *workspace*, that is looked at already. One that has
    all that is asked of it may be nearly full; a full one ends the build in its middle.
    """
    folder = nearest(path)
    if folder.stat().st_dev == nearest(workspace).stat().st_dev:
        return []
    check, free = "disk.caches", free_bytes(folder)
    said = f"{name}: {human_bytes(free)} free at {path}"
    remedy = f"free some space there (old files may go), or name another folder by {name}"
    if free < OVERLAY_BYTES:
        return [error(check, f"{said}: it is full", remedy)]
    if free < LEAST_BYTES:
        return [warning(check, f"{said}: a build that adds much to it stops", remedy)]
    return [ok(check, said)]


def overlay_space(path: Path) -> Result:
    """Check for the room of what a node writes while it runs."""
    free = free_bytes(path)
    said = f"{human_bytes(free)} free at {path} for what nodes write"
    if free < OVERLAY_BYTES:
        return error("boot.disk", said, f"free some space ('yoctovirt clean'), or {ELSEWHERE}")
    return ok("boot.disk", said)


def inodes(path: Path, need_gib: int, fresh: bool) -> Result:
    """Check that there are inodes for the files of a build."""
    check = "disk.inodes"
    found = os.statvfs(nearest(path))
    if found.f_files == 0:
        return ok(check, f"the file system of {path} has no fixed number of inodes")
    need = need_gib * INODES_PER_GIB if fresh else LEAST_INODES
    said = f"{found.f_favail} of {found.f_files} inodes free at {path}"
    if found.f_favail < need:
        return error(
            check, f"{said}; the build needs {need}",
            f"remove small files there, or {ELSEWHERE} with more inodes (mke2fs -N)",
        )  # fmt: skip
    return ok(check, f"{said}; the build needs {need}")


def letter_case(path: Path) -> Result:
    """Check that *path* can be written, and that its file system tells ``a`` from ``A``."""
    check = "disk.case"
    folder = nearest(path)
    try:
        with tempfile.NamedTemporaryFile(prefix=".yoctovirt-Case-", dir=folder) as probe:
            name = Path(probe.name)
            same = name.with_name(name.name.swapcase()).exists()
    except OSError as problem:
        return error(
            check, f"nothing can be written to {folder}: {problem.strerror}",
            "give the folder to the user who calls yoctovirt, or use another workspace",
        )  # fmt: skip
    if same:
        return error(check, f"the file system of {folder} ignores letter case", ELSEWHERE)
    return ok(check, f"{folder} can be written, and tells letter case")


def executable(path: Path, elsewhere: str = ELSEWHERE) -> Result:
    """Check that programs may run there: bitbake runs what it has built in TMPDIR."""
    folder = nearest(path)
    if os.statvfs(folder).f_flag & os.ST_NOEXEC:
        return error(
            "disk.noexec", f"{folder} is mounted noexec: what bitbake builds cannot run there",
            f"mount -o remount,exec (as root), or {elsewhere}",
        )  # fmt: skip
    return ok("disk.noexec", f"programs may run in {folder}")


def name_length(path: Path) -> Result:
    """Check that names may be as long as those of sstate; encrypted homes (eCryptfs) allow 143."""
    folder = nearest(path)
    limit = os.pathconf(folder, "PC_NAME_MAX")
    if limit < NAME_LENGTH:
        return error(
            "disk.names", f"file names in {folder} may have {limit} characters; bitbake needs "
            f"{NAME_LENGTH}", ELSEWHERE,
        )  # fmt: skip
    return ok("disk.names", f"file names in {folder} may have {limit} characters")


def path_length(tmpdir: Path, limit: int) -> Result:
    """Check that TMPDIR is as short as sanity.bbclass demands."""
    length = len(str(tmpdir))
    if length > limit:
        return error(
            "disk.path", f"{tmpdir} would be TMPDIR: {length} characters, bitbake stands {limit}",
            "use a workspace with a shorter path",
        )  # fmt: skip
    return ok("disk.path", f"TMPDIR has {length} characters, of {limit} that bitbake stands")


def characters(path: Path, ascii_only: bool) -> Result:
    """Check for characters that bitbake, autotools or make cannot stand in a path."""
    bad = sorted({letter for letter in str(path) if letter in " \t+@:~%"})
    if ascii_only:
        bad += sorted({letter for letter in str(path) if not letter.isascii()})
    if bad:
        shown = ", ".join(repr(letter) for letter in bad)
        return error(
            "disk.characters", f"bitbake cannot stand a character in the path of {path}: {shown}",
            "use a path of letters, digits, '-', '_' and '.'",
        )  # fmt: skip
    return ok("disk.characters", f"{path} has no character that bitbake cannot stand")


def mount_of(path: Path, mounts: str) -> tuple[str, str, str] | None:
    """Return mount point, type and options of the file system of *path*, from /proc/mounts."""
    best: tuple[str, str, str] | None = None
    for line in mounts.splitlines():
        words = line.split()
        if len(words) < 4:
            continue
        point = words[1].replace("\\040", " ").replace("\\011", "\t")
        inside = path == Path(point) or Path(point) in path.parents
        # Of two mounts on one point the later one is on top.
        if inside and (best is None or len(point) >= len(best[0])):
            best = (point, words[2], words[3])
    return best


def file_system(path: Path, mounts: str) -> Result:
    """Check that TMPDIR is on no file system that bitbake refuses (NFS), or that lacks much."""
    check = "disk.type"
    found = mount_of(nearest(path).resolve(), mounts)
    if found is None:
        return not_checked(check, f"the mount of {path} is not in /proc/mounts")
    point, kind, _ = found
    if kind in _REMOTE:
        return error(check, f"{path} is on NFS ({point}): bitbake refuses that for TMPDIR",
                     ELSEWHERE)  # fmt: skip
    if kind in ("9p", "fuse.sshfs", "cifs", "smb3", "drvfs", "vfat", "exfat"):
        return warning(check, f"{path} is on {kind} ({point}): it lacks links, locks or speed",
                       ELSEWHERE)  # fmt: skip
    return ok(check, f"{path} is on {kind} ({point})")
