"""Memory against the threads that bitbake and make will use.

bitbake starts one task for each CPU (BB_NUMBER_THREADS), and each compile task as many
compilers (PARALLEL_MAKE); both follow the CPUs unless they are set. A C++ compiler may want
2 GiB, so that a host with many CPUs and little memory kills compilers after an hour.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from yoctovirt.base.files import human_bytes
from yoctovirt.doctor.result import Result, error, ok, warning

_GIB = 1 << 30
#: Memory for each compiler that runs at one time, and the least that any build needs.
BYTES_PER_JOB, LEAST_BYTES = 2 * _GIB, 1 * _GIB
#: What parsing takes: some parser processes and the server.
PARSING_BYTES = 2 * _GIB


@dataclass(frozen=True)
class Memory:
    """What a process of ours may use, in bytes."""

    total: int  #: of the host, or the limit of the control group
    available: int
    swap: int  #: free
    limited_by: str = ""  #: the file of the control group that limits it


def _number(path: Path) -> int | None:
    """Return the number in a file of a control group, None for ``max`` and where there is none."""
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() and int(text) < 1 << 60 else None


def cgroup_folders(root: Path, own: str) -> list[Path]:
    """Return the folders of the control groups of a process, *own* being its /proc/PID/cgroup.

    Version 2 and the memory controller of version 1; those above it limit it as well.
    """
    found = []
    for line in own.splitlines():
        _, controllers, name = line.split(":", 2)
        if controllers == "":
            base = root / "unified" if (root / "unified").is_dir() else root
        elif "memory" in controllers.split(","):
            base = root / "memory"
        else:
            continue
        folder = base / name.lstrip("/")
        while True:
            found.append(folder)
            if folder in (base, folder.parent):
                break
            folder = folder.parent
    return found


def read_memory(
    meminfo: Path = Path("/proc/meminfo"),
    own_group: Path = Path("/proc/self/cgroup"),
    groups: Path = Path("/sys/fs/cgroup"),
) -> Memory:
    """Return the memory of this host, or of the control group that we are in."""
    values = {
        key: int(kib) * 1024
        for key, kib in re.findall(r"^(\w+):\s+(\d+) kB", meminfo.read_text(), re.MULTILINE)
    }
    total, swap = values["MemTotal"], values.get("SwapFree", 0)
    available = values.get("MemAvailable", total)
    limited = ""
    try:
        own = own_group.read_text()
    except OSError:
        own = ""
    for folder in cgroup_folders(groups, own):
        for limit_name, used_name in (
            ("memory.max", "memory.current"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ):
            limit = _number(folder / limit_name)
            if limit is None or limit >= total:
                continue
            total, limited = limit, str(folder / limit_name)
            available = min(available, max(0, limit - (_number(folder / used_name) or 0)))
            most = _number(folder / "memory.swap.max")
            swap = swap if most is None else min(swap, most)
    return Memory(total, available, swap, limited)


def cpu_count() -> int:
    """Return the CPUs that we may run on, as bitbake counts them."""
    return len(os.sched_getaffinity(0))


def threads_of(environ: Mapping[str, str], cpus: int) -> tuple[int, int]:
    """Return (BB_NUMBER_THREADS, jobs of PARALLEL_MAKE) that a build will use."""
    named = environ.get("BB_NUMBER_THREADS", "")
    threads = int(named) if named.isdigit() and int(named) else cpus
    jobs = re.search(r"-j\s*(\d+)|--jobs[= ](\d+)", environ.get("PARALLEL_MAKE", ""))
    return threads, int(jobs.group(1) or jobs.group(2)) if jobs else cpus


def proposal(memory: Memory, cpus: int) -> tuple[int, int]:
    """Return (BB_NUMBER_THREADS, jobs) that fit: so many compilers as memory allows."""
    jobs = max(1, min(cpus, (memory.total + memory.swap // 2 - PARSING_BYTES) // BYTES_PER_JOB))
    return jobs, jobs


def memory_for_build(
    memory: Memory, cpus: int, environ: Mapping[str, str], compiles: bool
) -> Result:
    """Check that there is memory for the threads; half of the swap counts."""
    check = "resources.memory"
    threads, jobs = threads_of(environ, cpus)
    limit = f" (limited by {memory.limited_by})" if memory.limited_by else ""
    said = (
        f"{human_bytes(memory.total)}{limit} and {human_bytes(memory.swap)} swap for "
        f"{threads} tasks and {jobs} compilers a task on {cpus} CPUs"
    )
    if memory.total + memory.swap < LEAST_BYTES:
        return error(check, f"{said}: less than {human_bytes(LEAST_BYTES)}",
                     "use a host, or a limit of the control group, with more memory")  # fmt: skip
    if not compiles:
        return ok(check, said)
    need = PARSING_BYTES + max(threads, jobs) * BYTES_PER_JOB
    if memory.total + memory.swap // 2 < need:
        fit_threads, fit_jobs = proposal(memory, cpus)
        return warning(
            check, f"{said}: compilers may be killed, {human_bytes(need)} would do",
            f'export BB_NUMBER_THREADS={fit_threads} PARALLEL_MAKE="-j {fit_jobs}" '
            "(yoctovirt hands them to bitbake), or add memory or swap",
        )  # fmt: skip
    return ok(check, said)


def cpus_for_threads(cpus: int, environ: Mapping[str, str]) -> Result:
    """Check that no more threads are asked for than CPUs can run."""
    threads, jobs = threads_of(environ, cpus)
    if max(threads, jobs) > 2 * cpus:
        return warning(
            "resources.threads",
            f"BB_NUMBER_THREADS={threads}, PARALLEL_MAKE -j {jobs} on {cpus} CPUs: more only "
            "costs memory",
            f'export BB_NUMBER_THREADS={cpus} PARALLEL_MAKE="-j {cpus}"',
        )
    return ok("resources.threads", f"{threads} tasks, {jobs} compilers a task, {cpus} CPUs")


def memory_for_node(memory: Memory, node_mib: int) -> Result:
    """Check that a node of so many MiB fits into the memory that is free now."""
    check = "boot.memory"
    said = f"{human_bytes(memory.available)} of memory available, the node takes {node_mib} MiB"
    # No error: a guest may leave alone most of what it has, and QEMU tells when it cannot.
    if memory.available < node_mib << 20:
        return warning(check, said, "stop other nodes or programs, or boot with --memory MIB")
    return ok(check, said)
