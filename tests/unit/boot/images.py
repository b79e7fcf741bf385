"""Deploy directories whose qemuboot.conf is as the releases write it."""

from __future__ import annotations

from pathlib import Path

from tests.samples import IMAGE, bzimage, deploy_dir, ext4
from yoctovirt.build.deploydir import DeployDir, open_deploy_dir

COMMON = {
    "image_link_name": IMAGE,
    "image_name": f"{IMAGE}-20261121",
    "qb_cmdline_ip_slirp": "ip=dhcp",
    "qb_graphics": "-device virtio-vga",
    "qb_kernel_cmdline_append": "oprofile.timer=1 tsc=reliable",
    "qb_network_device": "-device virtio-net-pci,netdev=net0,mac=@MAC@",
    "qb_opt_append": "-usb -device usb-tablet -initrd @DEPLOY_DIR_IMAGE@/initrd.cpio.gz",
    "qb_rng": "-object rng-random,filename=/dev/urandom,id=rng0 -device virtio-rng-pci,rng=rng0",
    "serial_consoles": "115200;ttyS0 115200;ttyS1",
    "staging_bindir_native": "../../../work/x86_64-linux/helper/usr/bin",
    "staging_dir_native": "../../../work/image/recipe-sysroot-native",
}
RELEASES = {
    # kirkstone still has the machine in QB_CPU and a drive type.
    "kirkstone": {
        "qb_cpu": "-cpu IvyBridge -machine q35,i8042=off",
        "qb_cpu_kvm": "-cpu IvyBridge -machine q35,i8042=off",
        "qb_drive_type": "/dev/sd",
        "qb_smp": "",
        "qb_mem": "-m 256",
    },
    "scarthgap": {
        "qb_cpu": "-cpu IvyBridge",
        "qb_cpu_kvm": "-cpu IvyBridge",
        "qb_machine": "-machine q35,i8042=off",
        "qb_smp": "-smp 4",
        "qb_mem": "-m 1G",
    },
    "qemuarm64": {
        "machine": "qemuarm64",
        "qb_system_name": "qemu-system-aarch64",
        "qb_machine": "-machine virt",
        "qb_cpu": "-cpu cortex-a57",
        "qb_rootfs_opt": "-drive id=disk0,file=@ROOTFS@,if=none,format=raw "
        "-device virtio-blk-pci,drive=disk0",
        "serial_consoles": "115200;ttyAMA0 115200;hvc0",
    },
}


def image(folder: Path, release: str, **values: str) -> DeployDir:
    """Make the deploy directory of an image of *release* and open it."""
    path = folder / "tmp" / "deploy" / "images" / "qemux86-64"
    fstype = values.get("qb_default_fstype", "ext4")
    path.mkdir(parents=True, exist_ok=True)
    (path / "initrd.cpio.gz").write_bytes(b"initrd")
    (path / "bzImage").write_bytes(bzimage())
    (path / f"{IMAGE}.{fstype}").write_bytes(ext4())
    return open_deploy_dir(deploy_dir(path, **{**COMMON, **RELEASES[release], **values}))


def native(folder: Path, name: str = "qemu-system-x86_64", sysroot: bool = True) -> Path:
    """Make the build's own QEMU, where :data:`COMMON` says that it is."""
    binary = folder / "tmp" / "work" / "x86_64-linux" / "helper" / "usr" / "bin" / name
    binary.parent.mkdir(parents=True)
    binary.write_text("#!/bin/sh\n")
    if sysroot:
        (folder / "tmp" / "work" / "image" / "recipe-sysroot-native").mkdir(parents=True)
    return binary
