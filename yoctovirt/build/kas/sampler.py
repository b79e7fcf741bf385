"""What a build takes of the host, sampled from /proc and the file system while it runs."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from yoctovirt.base.files import tree_bytes

#: Seconds between two samples.
PERIOD = 5.0
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Sampler:
    """Memory of the host and of the processes below one, free disk; the extremes are kept."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._next = 0.0
        self._free_before = self._free_least = _free(folder)
        self._oom_before = _oom_kills()
        host = _meminfo()
        self._total = host.get("MemTotal", 0)
        self._used_before = self._total - host.get("MemAvailable", 0)
        self._used_peak = self._build_peak = self._swap_peak = 0
        self._largest = (0, "")

    def sample(self, root: int | None, now: float) -> None:
        """Take a sample if it is time for one; *root* is the process above all of the build."""
        if now < self._next:
            return
        self._next = now + PERIOD
        host = _meminfo()
        self._used_peak = max(self._used_peak, self._total - host.get("MemAvailable", 0))
        swap = host.get("SwapTotal", 0) - host.get("SwapFree", 0)
        self._swap_peak = max(self._swap_peak, swap)
        self._free_least = min(self._free_least, _free(self._folder))
        sizes = _resident(root) if root is not None else {}
        self._build_peak = max(self._build_peak, sum(size for size, _ in sizes.values()))
        self._largest = max([self._largest, *sizes.values()])

    def memory(self) -> dict[str, Any]:
        """Return the peaks, in bytes.

        *build_peak* is the sum of the resident sizes of all processes of the build: pages that
        they share count several times. *oom_kills* are those of the whole host meanwhile.
        """
        size, name = self._largest
        return {
            "host_total": self._total,
            "host_used_before": self._used_before,
            "host_used_peak": max(self._used_peak, self._used_before),
            "swap_used_peak": self._swap_peak,
            "build_peak": self._build_peak,
            "largest_process": {"name": name, "bytes": size} if size else None,
            "oom_kills": _oom_kills() - self._oom_before,
        }

    def disk(self) -> dict[str, int]:
        """Return what was free on the file system of the folder, in bytes.

        *used* is what is gone since the start, whoever wrote it.
        """
        free = _free(self._folder)
        return {
            "free_before": self._free_before,
            "free_after": free,
            "free_least": min(self._free_least, free),
            "used": self._free_before - free,
        }


def downloaded(folder: Path, since: float) -> dict[str, Any]:
    """Return what came into the download folder (DL_DIR) after *since*: files, their bytes.

    The time of a file's inode counts: wget gives it the server's date. Git repositories are
    counted; their bytes are those of the whole clone where it is new.
    """
    files = size = repositories = 0
    for place in (folder, folder / "git2"):
        with suppress(OSError), os.scandir(place) as entries:
            for entry in entries:
                about = entry.stat(follow_symlinks=False)
                if about.st_ctime < since or entry.name.endswith((".done", ".lock")):
                    continue
                if entry.is_file(follow_symlinks=False):
                    files, size = files + 1, size + about.st_size
                elif place.name == "git2":
                    repositories, size = repositories + 1, size + tree_bytes(Path(entry.path))
    return {"files": files, "repositories": repositories, "bytes": size}


def _free(folder: Path) -> int:
    with suppress(OSError):
        return shutil.disk_usage(folder).free
    return 0


def _meminfo() -> dict[str, int]:
    found = {}
    with suppress(OSError, ValueError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            name, _, value = line.partition(":")
            found[name] = int(value.split()[0]) * 1024
    return found


def _oom_kills() -> int:
    with suppress(OSError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0


def _resident(root: int) -> dict[int, tuple[int, str]]:
    """Return resident size in bytes and name of each process below *root*."""
    children: dict[int, list[int]] = {}
    about: dict[int, tuple[int, str]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - every few seconds, and there are many
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", errors="replace") as stat:  # noqa: PTH123
                head, _, tail = stat.read().rpartition(")")
        except OSError:
            continue
        fields = tail.split()
        children.setdefault(int(fields[1]), []).append(int(name))
        about[int(name)] = (int(fields[21]) * _PAGE, head.partition("(")[2])
    below: dict[int, tuple[int, str]] = {}
    todo = [root]
    while todo:
        for pid in children.get(todo.pop(), ()):
            below[pid] = about[pid]
            todo.append(pid)
    return below
