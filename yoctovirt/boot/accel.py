"""Which accelerator QEMU can use here, and the reason where it is not KVM."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path

from yoctovirt.doctor.kvm import CPUINFO, DEVICE, find_obstacle
from yoctovirt.doctor.kvmprobe.probe import probe_obstacle
from yoctovirt.errors import BootError

#: How much longer things take under TCG than under KVM, as a factor for deadlines.
TCG_SCALE = 4.0


@dataclass(frozen=True)
class Accelerator:
    """The accelerator of a node and why it was taken."""

    name: str  #: ``kvm`` or ``tcg``
    reason: str

    @property
    def timeout_scale(self) -> float:
        """Factor for all deadlines of the node."""
        return 1.0 if self.name == "kvm" else TCG_SCALE


def kvm_obstacle(device: Path = DEVICE, cpuinfo: Path = CPUINFO) -> str | None:
    """Return why KVM cannot be used on this host, or None where nothing speaks against it.

    None is no proof: there are machines where the device opens and a guest hangs
    all the same. So the first boot under KVM has a deadline for its first sign of life.
    """
    obstacle = find_obstacle(device, cpuinfo)
    return obstacle.reason if obstacle else None


def foreign_guest(qemu: str, host: str | None = None) -> str | None:
    """Return that KVM is of no use for the guests of *qemu* on a host of another architecture."""
    host = host or platform.machine()
    guest = qemu.rpartition("qemu-system-")[2]
    if guest == host or (guest == "i386" and host == "x86_64"):
        return None
    return f"the machine is {guest}, this host is {host}"


def dead_kvm(qemu: str, cache: Path | None, scale: float) -> str | None:
    """Return why a guest makes no progress under KVM, None where it does."""
    found = probe_obstacle(qemu, cache, scale)
    return found.reason if found else None


def choose_accelerator(
    kvm: bool | None,
    qemu: str = "qemu-system-x86_64",
    cache: Path | None = None,
    scale: float = 1.0,
) -> Accelerator:
    """Return the accelerator for ``--kvm`` (True), ``--no-kvm`` (False) or neither (None).

    *qemu* is the program of the machine. Where nothing that can be seen speaks against KVM, a
    firmware of our own is run under it; the proof is kept in *cache*, *scale* is a factor for
    its deadlines. Raises BootError where KVM is insisted on and cannot be used.
    """
    if kvm is False:
        return Accelerator("tcg", "asked for with --no-kvm")
    obstacle = foreign_guest(qemu) or kvm_obstacle() or dead_kvm(qemu, cache, scale)
    if obstacle is None:
        return Accelerator("kvm", "asked for with --kvm" if kvm else "KVM is usable")
    if kvm:
        raise BootError(
            f"KVM cannot be used: {obstacle}",
            "boot with --no-kvm, or leave the choice to yoctovirt",
        )
    return Accelerator("tcg", f"no KVM: {obstacle}")
