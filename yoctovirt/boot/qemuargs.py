"""The QEMU command line for an image: what runqemu would make of its qemuboot.conf."""

from __future__ import annotations

import hashlib
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

from yoctovirt.boot.accel import Accelerator
from yoctovirt.boot.forwards import Forward
from yoctovirt.build.deploydir import DeployDir
from yoctovirt.build.qemuboot import QemuBoot
from yoctovirt.errors import UsageError

#: Socket of the first serial port and of QMP, in the folder of the node.
SERIAL_SOCKET = "serial.sock"
QMP_SOCKET = "qmp.sock"
#: A second monitor: the first is for commands, and has one client at a time.
EVENTS_SOCKET = "events.sock"
OVERLAY = "overlay.qcow2"


@dataclass(frozen=True)
class BootOptions:
    """What the user may change about a boot."""

    kvm: bool | None = None
    memory: int | None = None  #: MiB
    cpus: int | None = None
    qemuparams: tuple[str, ...] = ()  #: extra QEMU arguments, each a line as for a shell
    bootparams: tuple[str, ...] = ()  #: extra kernel arguments
    ssh_port: int | None = None  #: None: QEMU takes a free one
    login_timeout: float | None = None  #: seconds, not scaled
    ssh_timeout: float | None = None  #: seconds, not scaled
    settle: bool = True  #: wait until init has started what it was to start
    settle_timeout: float | None = None  #: seconds, not scaled
    timeout_scale: float = field(default=1.0)
    disks: tuple[int, ...] = ()  #: empty disks beside the root, bytes
    persist: bool = False  #: keep what the node writes on its disks
    forwards: tuple[Forward, ...] = ()  #: ports of the host that lead into the node
    warm: bool = False  #: resume the state that is kept of such a node, or keep one
    preflight: bool = True  #: look first whether the host is fit for it


def mac_address(name: str, interface: int = 0) -> str:
    """Return a locally administered address that a node keeps across restarts."""
    digest = hashlib.sha256(name.encode()).digest()
    return f"52:54:00:{digest[0]:02x}:{digest[1]:02x}:{(digest[2] & 0xF0) | interface:02x}"


def memory_mib(boot: QemuBoot, wanted: int | None) -> int:
    """Return the memory of the node in MiB: *wanted*, else QB_MEM, else runqemu's 256."""
    if wanted is not None:
        return wanted
    match = re.fullmatch(r"(?:-m\s+)?(\d+)([MGmg]?)", boot.get("qb_mem", "-m 256").strip())
    if not match:
        raise UsageError(f"{boot.source}: qb_mem is not understood: {boot.get('qb_mem')}")
    return int(match[1]) * (1024 if match[2] in ("G", "g") else 1)


def _split(text: str, what: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise UsageError(f"{what} {text!r}: {error}") from error


def boots_from_disk(boot: QemuBoot) -> bool:
    """Whether the image brings its own boot loader, so that nobody gives it a kernel.

    So runqemu treats wic images whose QB_FSINFO does not say otherwise.
    """
    return boot.fstype.startswith("wic") and "wic:no-kernel-in-fs" not in boot.get("qb_fsinfo")


def root_disk(boot: QemuBoot, overlay: Path) -> str:
    """Return the options of the root disk as runqemu chooses them, on the overlay.

    QB_ROOTFS_OPT may hard-code ``format=raw``; the overlay is qcow2.
    """
    file = f"file={overlay},format=qcow2"
    if boots_from_disk(boot):
        kind = boot.get("qb_drive_type")
        if kind.startswith("/dev/sd"):
            return (
                f"-drive if=none,id=hd,{file} -device virtio-scsi-pci,id=scsi "
                "-device scsi-hd,drive=hd"
            )
        if kind.startswith("/dev/hd"):
            return f"-drive {file}"
        if kind.startswith("/dev/vdb"):
            return f"-drive id=disk0,if=none,{file} -device virtio-blk-device,drive=disk0"
        return f"-drive if=virtio,{file}"
    words = boot.get("qb_rootfs_opt", "-drive file=@ROOTFS@,if=virtio").split(" ")
    for index, word in enumerate(words):
        if "@ROOTFS@" in word:
            options = [one for one in word.split(",") if not one.startswith("format=")]
            words[index] = ",".join([*options, "format=qcow2"]).replace("@ROOTFS@", str(overlay))
    return " ".join(words)


def _cpu(boot: QemuBoot, accelerator: Accelerator) -> list[str]:
    if accelerator.name == "kvm":
        return [*(boot.words("qb_cpu_kvm") or ["-cpu", "host"]), "-accel", "kvm"]
    return [*(boot.words("qb_cpu") or ["-cpu", "max"]), "-accel", "tcg,thread=multi"]


def kernel_command_line(boot: QemuBoot, bootparams: tuple[str, ...]) -> str:
    """Return the kernel's arguments: root, network by slirp, consoles, QB_*, the user's."""
    root = boot.get("qb_kernel_root", "/dev/vda")
    words = [f"root={root}"]
    if not re.search(r"\b(ro|rw)\b", root):
        words.append("rw")
    words.append(boot.get("qb_cmdline_ip_slirp", "ip=dhcp"))
    words += [f"console={port}" for port in serial_ports(boot)]
    words += [boot.get("qb_kernel_cmdline_append"), *bootparams]
    # The last console= becomes /dev/console; ours is the first serial port.
    if sum(word.startswith("console=") for word in words) > 1:
        words.append(first_console(boot))
    return " ".join(word for word in words if word)


def serial_ports(boot: QemuBoot) -> list[str]:
    """Return the serial ports of the machine (SERIAL_CONSOLES: ``115200;ttyS0 …``)."""
    entries = boot.get("serial_consoles", "115200;ttyS0").split()
    return [entry.partition(";")[2] or entry for entry in entries]


def first_console(boot: QemuBoot) -> str:
    """Return the kernel argument that makes the first serial port the console."""
    return f"console={serial_ports(boot)[0]}"


def check_bootparams(boot: QemuBoot, options: BootOptions) -> None:
    """Raise UsageError where kernel arguments are given that cannot reach the kernel."""
    if options.bootparams and boots_from_disk(boot):
        raise UsageError(
            f"--bootparams cannot reach the kernel of {boot.source.name}: the boot loader inside "
            f"of its {boot.fstype} image starts it",
            "set them in the configuration of that boot loader (APPEND, or bootloader --append "
            "in the .wks file)",
        )


def _kernel(deploy: DeployDir, options: BootOptions) -> list[str]:
    check_bootparams(deploy.qemuboot, options)
    if boots_from_disk(deploy.qemuboot) or deploy.kernel is None:
        return []
    line = kernel_command_line(deploy.qemuboot, options.bootparams)
    return ["-kernel", str(deploy.kernel), "-append", line]


def qemu_command(
    deploy: DeployDir, name: str, options: BootOptions, accelerator: Accelerator, console_log: Path
) -> list[str]:
    """Return argv for QEMU; sockets and overlay are relative to the folder of the node."""
    boot = deploy.qemuboot
    hostfwd = f",hostfwd=tcp:127.0.0.1:{options.ssh_port}-:22" if options.ssh_port else ""
    network = [word.replace("@MAC@", mac_address(name)) for word in
               boot.words("qb_network_device")]  # fmt: skip
    smp = ["-smp", str(options.cpus)] if options.cpus else boot.words("qb_smp")
    argv = [
        boot.get("qb_system_name"),
        "-name",
        name,
        "-nodefaults",
        "-display",
        "none",
        *boot.words("qb_machine"),
        *_cpu(boot, accelerator),
        *smp,
        "-m",
        str(memory_mib(boot, options.memory)),
        *_split(root_disk(boot, Path(OVERLAY)), "qb_rootfs_opt"),
        "-netdev",
        f"user,id=net0{hostfwd}",
        *(network or ["-device", f"virtio-net-pci,netdev=net0,mac={mac_address(name)}"]),
        *boot.words("qb_rng"),
        "-chardev",
        f"socket,id=console,path={SERIAL_SOCKET},server=on,wait=off,logfile={console_log}",
        "-serial",
        "chardev:console",
        *["-serial", "null"] * (len(serial_ports(boot)) - 1),
        "-qmp",
        f"unix:{QMP_SOCKET},server=on,wait=off",
        "-qmp",
        f"unix:{EVENTS_SOCKET},server=on,wait=off",
        *boot.words("qb_opt_append"),
        *_kernel(deploy, options),
    ]
    for extra in options.qemuparams:
        argv += _split(extra, "--qemuparams")
    return [*argv, "-S"]
