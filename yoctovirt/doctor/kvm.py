"""Can QEMU use KVM here? From what can be seen without starting it."""

from __future__ import annotations

import errno
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

DEVICE = Path("/dev/kvm")
CPUINFO = Path("/proc/cpuinfo")
#: ``KVM_GET_API_VERSION`` of linux/kvm.h, and what it has answered since 2007.
_GET_API_VERSION, _API_VERSION = 0xAE00, 12


@dataclass(frozen=True)
class Obstacle:
    """Why KVM cannot be used, and what to do about it."""

    kind: Literal["missing", "forbidden", "no extensions", "busy", "broken", "dead"]
    reason: str
    remedy: str


def find_obstacle(device: Path = DEVICE, cpuinfo: Path = CPUINFO) -> Obstacle | None:
    """Return what speaks against KVM, None where nothing does.

    None is no proof: there are machines where the device opens and a guest hangs.
    """
    flags = re.search(r"^flags\s*:.*\b(vmx|svm)\b", cpuinfo.read_text(), re.MULTILINE)
    module = {"vmx": "kvm_intel", "svm": "kvm_amd"}.get(flags.group(1) if flags else "", "kvm")
    if not device.exists():
        return Obstacle(
            "missing",
            f"{device} is missing (no kvm module, or a container without the device)",
            f"as root: modprobe {module}; in a container: --device {device}",
        )
    try:
        fd = os.open(device, os.O_RDWR | os.O_CLOEXEC)
    except PermissionError:
        return Obstacle(
            "forbidden",
            f"{device} is forbidden for this user (add the user to the group kvm)",
            "as root: usermod -aG kvm $USER, then log in again",
        )
    except OSError as problem:
        if problem.errno == errno.EBUSY:
            return Obstacle(
                "busy",
                f"{device} is busy: another hypervisor holds the CPU's extensions",
                "stop the other one (VirtualBox, VMware), or unload its module",
            )
        return Obstacle(
            "broken",
            f"{device} cannot be opened: {problem.strerror}",
            f"as root: modprobe -r {module}; modprobe {module}; then see dmesg",
        )
    try:
        broken = _why_broken(fd)
    finally:
        os.close(fd)
    if not flags:
        return Obstacle(
            "no extensions",
            "the CPU has neither vmx nor svm (or the hypervisor below hides them)",
            "switch virtualization on in the firmware, or allow nested virtualization in the "
            "hypervisor below",
        )
    if broken:
        return Obstacle("broken", f"{device} {broken}", f"as root: modprobe {module}; see dmesg")
    return None


def _why_broken(fd: int) -> str | None:
    """Return why the open device *fd* is not KVM as it should be, None where it is."""
    import fcntl

    try:
        version = fcntl.ioctl(fd, _GET_API_VERSION, 0)
    except OSError as problem:
        return f"does not answer as KVM: {problem.strerror}"
    return None if version == _API_VERSION else f"speaks version {version} of its interface"
