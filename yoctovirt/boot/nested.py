"""Guests inside of the node: whether its CPU offers them virtualization, and how it is made to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from yoctovirt.boot.accel import Accelerator
from yoctovirt.boot.qemuargs import BootOptions
from yoctovirt.config.roles import Role
from yoctovirt.doctor.boot import nested

#: Promises of roles whose nodes run virtual machines.
_HYPERVISORS = {"qemu", "xen"}


@dataclass(frozen=True)
class Nested:
    """What a node of a role with a hypervisor has for its guests."""

    cpu: str | None  #: for QEMU's ``-cpu``; None: the one of the image
    note: str


def nested_virtualization(
    role: Role | None, qemu: str, accelerator: Accelerator, modules: Path = Path("/sys/module")
) -> Nested | None:
    """Return what the node of *role* offers to its guests, None where it is to run none.

    Under TCG QEMU's ``max`` has AMD's extensions (the models that images name have none). Xen
    needs it without SMAP: with it, its first domain crashes under TCG (seen with Xen 4.17).
    """
    if role is None or not _HYPERVISORS & set(role.promises):
        return None
    if not qemu.endswith("x86_64"):
        return Nested(None, "nested virtualization: not looked at on this machine")
    if accelerator.name == "tcg":
        cpu = "max,smap=off" if "xen" in role.promises else "max"
        return Nested(cpu, f"nested virtualization: offered to the node (TCG, -cpu {cpu})")
    result = nested(modules)
    word = {"ok": "offered to the node", "warning": "not offered to the node"}.get(result.status)
    remedy = f"; {result.remedy}" if result.remedy else ""
    return Nested(None, f"nested virtualization: {word or 'not known'} ({result.message}{remedy})")


def with_cpu(options: BootOptions, cpu: str | None, own: str) -> BootOptions:
    """Return *options* with the CPU before what the user gives: of several QEMU takes the last.

    *own* is what the image names (QB_CPU); where that is the same, nothing is added.
    """
    if cpu is None or own.split() == ["-cpu", cpu]:
        return options
    return replace(options, qemuparams=(f"-cpu {cpu}", *options.qemuparams))
