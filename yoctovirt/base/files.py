"""Files that are never half there, and locks that die with their holder."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shlex
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from yoctovirt.errors import InfrastructureError, UsageError


def write_atomically(path: Path, text: str, mode: int = 0o644) -> None:
    """Write *text* to *path* so that a reader sees the old or the new content, whole.

    Raises UsageError where *path* is no file, InfrastructureError where the disk is full or
    the folder not writable.
    """
    check_replaceable(path)
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        try:
            with os.fdopen(
                os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb"
            ) as out:
                out.write(text.encode("utf-8", "backslashreplace"))
                out.flush()
                os.fsync(out.fileno())
            aside.replace(path)
        except OSError as error:
            raise disk_error(error, path) from error
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)


def check_replaceable(path: Path) -> None:
    """Raise UsageError where *path* is there and no file: a rename would take its place.

    Of root's ``/dev/stdout`` or ``/dev/null`` a file would be made, for all of the host.
    """
    if path.exists() and not path.is_file():
        what = "a folder" if path.is_dir() else "no regular file"
        raise UsageError(f"{path} is {what}", "name a file that is to be written")


def disk_error(error: OSError, path: Path) -> InfrastructureError:
    """Turn an OSError on *path* into an error that says what to do."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return InfrastructureError(
            f"the disk is full: could not write {path}",
            f"free some space on the file system of {path.parent}, or use another folder",
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return InfrastructureError(
            f"{path} cannot be written: {os.strerror(error.errno)}",
            "check the owner and the mount of that folder, or use another one",
        )
    return InfrastructureError(f"{path}: {error.strerror or error}")


def make_folder(path: Path, mode: int = 0o777) -> Path:
    """Make *path* with its parents; InfrastructureError says why where that fails."""
    try:
        path.mkdir(mode=mode, parents=True, exist_ok=True)
    except OSError as error:
        raise disk_error(error, path) from error
    return path


def nearest(path: Path) -> Path:
    """Return *path*, or the first folder above it that is there."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def free_bytes(path: Path) -> int:
    """Bytes that the user may still write on the file system that holds *path*."""
    return shutil.disk_usage(nearest(path)).free


def is_read_only(path: Path) -> bool:
    """Whether the file system that holds *path*, or is to hold it, is mounted read-only."""
    return bool(os.statvfs(nearest(path)).f_flag & os.ST_RDONLY)


def tree_bytes(path: Path) -> int:
    """Bytes that *path* and all below it occupy on disk (holes in files do not count)."""
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with suppress(OSError):
                total += os.lstat(Path(folder) / name).st_blocks * 512
    if path.is_file():
        total += path.stat().st_blocks * 512
    return total


def sha256_file(path: Path, size: int | None = None) -> str:
    """Return the SHA-256 of *path*, or of its first *size* bytes, in hexadecimal."""
    digest, block = hashlib.sha256(), 1 << 20
    with path.open("rb") as source:
        while data := source.read(block if size is None else min(size, block)):
            digest.update(data)
            size = None if size is None else size - len(data)
    return digest.hexdigest()


def human_bytes(count: float) -> str:
    """Return *count* bytes as a person reads them: ``1.4 GiB``."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


class Lock:
    """An flock(2) on a file: gone with the last process that holds its descriptor."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None

    def acquire(self, wait: bool = False) -> bool:
        """Take the lock; without *wait* return False at once where somebody has it."""
        make_folder(self.path.parent)
        try:
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise disk_error(error, self.path) from error
        try:
            if not _flock(fd, wait):
                os.close(fd)
                return False
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd
        return True

    def fileno(self) -> int:
        """Return the descriptor that holds the lock, to be handed to a child process."""
        if self._fd is None:
            raise ValueError(f"{self.path} is not locked")
        return self._fd

    def release(self) -> None:
        """Close our descriptor; a child that inherited it still holds the lock."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def write(self, text: str) -> None:
        """Leave word of the holder in the file, for the one who finds it locked."""
        os.ftruncate(self.fileno(), 0)
        os.pwrite(self.fileno(), text.encode(), 0)

    def read(self) -> str:
        """Return what the holder has left."""
        with suppress(OSError):
            return self.path.read_text(errors="replace").strip()
        return ""


def _flock(fd: int, wait: bool) -> bool:
    """Lock *fd*; a refusal counts only when it lasts: is_locked() holds a lock for a moment."""
    if wait:
        fcntl.flock(fd, fcntl.LOCK_EX)
        return True
    for _ in range(20):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(0.005)
    return False


def is_locked(path: Path) -> bool:
    """Whether some process holds the lock on *path*."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def holder() -> str:
    """Return who we are, for the one who finds a lock of ours: pid, since when, command."""
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    return f"pid {os.getpid()}, since {since}: {command}"


def _still_there(said: str) -> str:
    """Return *said* of a :func:`holder`, and that it is gone where only its lock is left."""
    word = said.partition(",")[0].removeprefix("pid ")
    if word.isdigit() and not Path("/proc", word).exists():
        return f"{said}; that process is gone, and what it had started is ending"
    return said or "by another process"


@contextmanager
def locked(path: Path, busy: str) -> Iterator[Lock]:
    """Hold the lock on *path*; raise InfrastructureError with *busy* where it is taken."""
    lock = Lock(path)
    if not lock.acquire():
        raise InfrastructureError(
            f"{busy} ({_still_there(lock.read())})", "wait until it has ended"
        )
    try:
        lock.write(holder())
        yield lock
    finally:
        lock.release()
