"""Lay out a deploy directory: Yocto's file names, qemuboot.conf, testdata.json, checksums."""

from __future__ import annotations

import io
import json
import tarfile
import time
from pathlib import Path

from yoctovirt.base.files import sha256_file, write_atomically
from yoctovirt.build.debian import overlay
from yoctovirt.build.debian.hostapt import HostApt
from yoctovirt.build.deploydir import CLIENT_KEY, HOST_KEY, SUMS
from yoctovirt.config.roles import Role
from yoctovirt.errors import InfrastructureError

CMDLINE = "loglevel=4 net.ifnames=0 mitigations=off no_timer_check tsc=reliable apparmor=0"


#: For Xen, which has the serial port, and for the kernel of its first domain.
XEN_CMDLINE = (
    "dom0_mem=1024M,max:1024M dom0_max_vcpus=1 loglvl=warning guest_loglvl=warning noreboot "
    "com1=115200,8n1 console=com1"
)
_DOM0_CMDLINE = f"root=/dev/vda rw console=hvc0 {CMDLINE}"


def unpack(archive: Path, work: Path, hypervisor: bool = False) -> None:
    """Take what the hook has left in *archive* to *work*."""
    wanted = {"kernel": "bzImage", "initrd": "initrd", "manifest": "manifest",
              "kernel-release": "kernel-release"}  # fmt: skip
    if hypervisor:
        wanted["xen"] = "xen"
    with tarfile.open(fileobj=io.BytesIO(archive.read_bytes())) as tar:
        for name, target in wanted.items():
            source = tar.extractfile(name)
            if source is None:
                raise InfrastructureError(f"the build of the image left no {name}")
            (work / target).write_bytes(source.read())
    archive.unlink()


def finish(role: Role, host: HostApt, work: Path, keys: overlay.Keys) -> None:
    """Give the files Yocto's names, and write what stands beside them."""
    link = f"{role.name}-image-{role.machine}"
    (work / "rootfs").chmod(0o644)
    (work / "rootfs").rename(work / f"{link}.ext4")
    (work / "manifest").rename(work / f"{link}.manifest")
    write_atomically(work / CLIENT_KEY, keys.client_private, 0o600)
    write_atomically(work / f"{CLIENT_KEY}.pub", keys.client_public)
    write_atomically(work / HOST_KEY, keys.host_public)
    release = (work / "kernel-release").read_text().strip()
    (work / "kernel-release").unlink()
    testdata = {
        "MACHINE": role.machine,
        "TARGET_ARCH": "x86_64",
        "DISTRO": host.distribution,
        "DISTRO_VERSION": host.version,
        "DISTRO_CODENAME": host.suite,
        "IMAGE_BASENAME": f"{role.name}-image",
        "IMAGE_LINK_NAME": link,
        "IMAGE_FSTYPES": "ext4",
        "VIRTUAL-RUNTIME_init_manager": "systemd",
        "KERNEL_VERSION": release,
        "DATETIME": time.strftime("%Y%m%d%H%M%S", time.gmtime()),
        "YOCTOVIRT_ROLE": role.name,
        "YOCTOVIRT_BUILDER": "debian",
    }
    write_atomically(work / f"{link}.testdata.json", json.dumps(testdata, indent=2) + "\n")
    write_atomically(work / f"{link}.qemuboot.conf", _qemuboot(role, link))
    names = sorted(path.name for path in work.iterdir() if path.name != CLIENT_KEY)
    sums = "".join(f"{sha256_file(work / name)}  {name}\n" for name in names)
    write_atomically(work / SUMS, sums)


def _qemuboot(role: Role, link: str) -> str:
    """Return the same keys as OE-core's qemuboot.bbclass writes for qemux86-64."""
    values = {
        "deploy_dir_image": ".",
        "image_link_name": link,
        "image_name": link,
        "kernel_imagetype": "bzImage",
        "machine": role.machine,
        "qb_cmdline_ip_slirp": "ip=dhcp",
        "qb_cpu": "-cpu max",
        "qb_cpu_kvm": "-cpu host",
        "qb_default_fstype": "ext4",
        "qb_default_kernel": "bzImage",
        "qb_kernel_cmdline_append": CMDLINE,
        "qb_kernel_root": "/dev/vda",
        "qb_machine": "-machine q35,i8042=off",
        "qb_mem": f"-m {role.node.memory}",
        "qb_network_device": "-device virtio-net-pci,netdev=net0,mac=@MAC@",
        "qb_opt_append": "-initrd @DEPLOY_DIR_IMAGE@/initrd",
        "qb_rng": "-object rng-random,filename=/dev/urandom,id=rng0 "
        "-device virtio-rng-pci,rng=rng0",
        "qb_rootfs_opt": "-drive file=@ROOTFS@,if=virtio,format=raw",
        "qb_smp": f"-smp {role.node.cpus}",
        "qb_system_name": "qemu-system-x86_64",
        "serial_consoles": "115200;ttyS0",
        "staging_bindir_native": "/usr/bin",
        "staging_dir_native": "/usr",
    }
    if role.debian and role.debian.hypervisor:
        # QEMU's multiboot loader: the first module is the kernel, with its arguments.
        modules = f"@DEPLOY_DIR_IMAGE@/bzImage {_DOM0_CMDLINE},@DEPLOY_DIR_IMAGE@/initrd"
        values |= {
            "kernel_imagetype": "xen",
            "qb_default_kernel": "xen",
            "qb_cpu": "-cpu max,smap=off",
            "qb_kernel_cmdline_append": XEN_CMDLINE,
            "qb_opt_append": f'-initrd "{modules}"',
        }
    return "[config_bsp]\n" + "".join(f"{key} = {value}\n" for key, value in values.items())
