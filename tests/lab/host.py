"""What the lab needs of this machine."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tests.lab.lab import cache_folder, cgroup_mount
from tests.lab.store import LabError
from yoctovirt.base.files import free_bytes
from yoctovirt.build.debian.hostapt import find_host_apt
from yoctovirt.errors import InfrastructureError

CPUS = 2
#: GiB that OpenStack's services and two small guests take at most.
MEMORY = 10
#: GiB of the layers, and of what running nodes write.
DISK = 8
PROGRAMS = ("mmdebstrap", "unshare", "nsenter", "ip", "ssh", "ssh-keygen")


def available_gib() -> float:
    """Return the memory that programs can still have, in GiB (MemAvailable of proc(5))."""
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) / 1048576
    return 0.0


def why_not() -> str | None:
    """Return why the lab cannot run here; None where it can."""
    if os.geteuid() != 0:
        return "the lab needs root: for namespaces with network cards and mounts of their own"
    cpus = len(os.sched_getaffinity(0))
    if cpus < CPUS:
        return f"the lab needs {CPUS} CPUs, there is {cpus}"
    if available_gib() < MEMORY:
        return f"the lab needs {MEMORY} GiB of memory, {available_gib():.1f} are free"
    free = free_bytes(cache_folder()) / 2**30
    if free < DISK:
        return f"the lab needs {DISK} GiB in {cache_folder()}, {free:.1f} are free"
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"the lab needs {', '.join(missing)} (scripts/host-setup test)"
    try:
        host = find_host_apt()
        cgroup_mount()
    except (InfrastructureError, LabError) as error:
        return str(error)
    if host.suite != "bookworm":
        return f"the lab takes OpenStack from Debian 12, this host has {host.suite}"
    return None
