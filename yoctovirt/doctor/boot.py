"""What a boot needs of the host: KVM, a tap device, a free port."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from yoctovirt.doctor.kvm import CPUINFO, DEVICE, find_obstacle
from yoctovirt.doctor.kvmprobe.probe import probe_obstacle
from yoctovirt.doctor.result import Result, error, not_checked, ok, warning

TUN = Path("/dev/net/tun")


def kvm(device: Path = DEVICE, cpuinfo: Path = CPUINFO) -> Result:
    """Check that QEMU can use KVM."""
    obstacle = find_obstacle(device, cpuinfo) or probe_obstacle()
    if obstacle is None:
        return ok("boot.kvm", f"{device} can be used: a guest of ours ran under it")
    return warning(
        "boot.kvm", f"no KVM: {obstacle.reason}; nodes run under TCG, several times slower",
        obstacle.remedy,
    )  # fmt: skip


def tun(device: Path = TUN) -> Result:
    """Check that a tap device could be made; only ``--net tap`` needs one."""
    if not device.exists():
        return warning("boot.tun", f"{device} is missing: no tap devices; slirp needs none",
                       "as root: modprobe tun; in a container: --device /dev/net/tun")  # fmt: skip
    if not os.access(device, os.R_OK | os.W_OK):
        return warning("boot.tun", f"{device} is forbidden for this user; slirp needs none",
                       f"as root: chmod 666 {device}")  # fmt: skip
    return ok("boot.tun", f"{device} can be used")


def holder(port: int, proc: Path = Path("/proc")) -> str | None:
    """Return ``name (pid N)`` of the process that listens on *port*, None where it is not told."""
    inodes = set()
    for table in ("tcp", "tcp6"):
        try:
            lines = (proc / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            words = line.split()
            # state 0A: listening (include/net/tcp_states.h)
            if words[3] == "0A" and int(words[1].rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{words[9]}]")
    for folder in proc.glob("[0-9]*"):
        try:
            for entry in (folder / "fd").iterdir():
                if str(entry.readlink()) in inodes:
                    name = (folder / "comm").read_text().strip()
                    return f"{name} (pid {folder.name})"
        except OSError:
            continue
    return None


def port(number: int | None) -> Result:
    """Check that the port of 127.0.0.1 is free, or any where none is named."""
    check = "boot.port"
    with socket.socket() as probe:
        # As QEMU does it: a port in TIME_WAIT is free, one that is listened on is not.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", number or 0))
            probe.listen(1)
        except PermissionError:
            return error(check, f"port {number} of 127.0.0.1 is for root only",
                         "use a port above 1023, or none: QEMU finds one")  # fmt: skip
        except OSError as problem:
            who = holder(number) if number else None
            return error(
                check,
                f"port {number or 'any'} of 127.0.0.1 cannot be had: {problem.strerror}"
                + (f"; {who} has it" if who else ""),
                "use another port, or none: QEMU finds a free one",
            )
        shown = probe.getsockname()[1]
    return ok(check, f"port {shown} of 127.0.0.1 is free")


def nested(parameters: Path = Path("/sys/module")) -> Result:
    """Check that a node under KVM could offer KVM to guests of its own."""
    check = "boot.nested"
    for module in ("kvm_intel", "kvm_amd"):
        try:
            value = (parameters / module / "parameters" / "nested").read_text().strip()
        except OSError:
            continue
        if value in ("1", "Y", "y"):
            return ok(check, f"{module} offers nested virtualization")
        return warning(
            check,
            f"{module} does not offer nested virtualization: the node has no KVM",
            f"as root: modprobe -r {module}; modprobe {module} nested=1",
        )
    return not_checked(check, "neither kvm_intel nor kvm_amd tells whether it can be nested")
