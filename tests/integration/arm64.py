"""A small guest for the machine qemuarm64, of Debian's arm64 packages: none of it runs here.

Kernel, BusyBox and dropbear; everything that yoctovirt brings to an image it did not make (our
key, the host key over the console) is used on it. The qemuboot.conf says what OE-core's says
for qemuarm64.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import stat
import subprocess
import tarfile
from pathlib import Path

from yoctovirt.build.debian.hostapt import find_host_apt

PACKAGES = "linux-image-cloud-arm64,busybox-static,dropbear-bin"
MODULES = ("virtio_pci", "virtio_blk", "virtio_net")
#: Of the packages, what the root file system needs.
WANTED = ("./bin/busybox", "./usr/sbin/dropbear", "./usr/bin/dropbearkey", "./usr/lib/dropbear/",
          "./lib/ld-linux", "./lib/aarch64-linux-gnu/", "./usr/lib/aarch64-linux-gnu/")  # fmt: skip
WITH_SBIN = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
INITTAB = """\
::sysinit:/bin/busybox sh /etc/rcS
ttyAMA0::respawn:/bin/busybox getty -L 115200 ttyAMA0 vt100
"""
RCS = """\
/bin/busybox --install -s /bin
export PATH=/bin:/usr/sbin:/usr/bin
mkdir -p /dev/pts /run /tmp /etc/dropbear
mount -t devpts none /dev/pts
mount -t tmpfs none /run
mount -t tmpfs none /tmp
hostname qemuarm64
ifconfig lo 127.0.0.1 up
ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up
route add default gw 10.0.2.2
[ -f /etc/dropbear/dropbear_ed25519_host_key ] ||
    dropbearkey -t ed25519 -f /etc/dropbear/dropbear_ed25519_host_key >/dev/null 2>&1
dropbear -E 2>/run/dropbear.log
"""
CONF = {
    "deploy_dir_image": ".",
    "image_link_name": "tiny-image-qemuarm64",
    "image_name": "tiny-image-qemuarm64",
    "kernel_imagetype": "Image",
    "machine": "qemuarm64",
    "qb_cmdline_ip_slirp": "ip=dhcp",
    "qb_cpu": "-cpu cortex-a57",
    "qb_cpu_kvm": "-cpu host -machine gic-version=3",
    "qb_default_fstype": "ext4",
    "qb_default_kernel": "Image",
    "qb_kernel_root": "/dev/vda",
    "qb_machine": "-machine virt",
    "qb_mem": "-m 512",
    "qb_network_device": "-device virtio-net-pci,netdev=net0,mac=@MAC@",
    "qb_opt_append": "-initrd @DEPLOY_DIR_IMAGE@/initrd",
    "qb_rng": "-object rng-random,filename=/dev/urandom,id=rng0 -device virtio-rng-pci,rng=rng0",
    # As the machine has it: a disk by hand, and its format hard-coded.
    "qb_rootfs_opt": "-drive id=disk0,file=@ROOTFS@,if=none,format=raw "
    "-device virtio-blk-pci,drive=disk0",
    "qb_smp": "-smp 2",
    "qb_system_name": "qemu-system-aarch64",
    "serial_consoles": "115200;ttyAMA0 115200;hvc0",
    "staging_bindir_native": "/usr/bin",
    "staging_dir_native": "/usr",
}


def cpio(entries: list[tuple[str, int, bytes]]) -> bytes:
    """Return an archive (newc) of *entries*: path, mode with type, content."""
    out = b""
    for number, (name, mode, data) in enumerate([*entries, ("TRAILER!!!", 0, b"")], 1):
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        out += b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
        out += b"\0" * (-len(out) % 4) + data
        out += b"\0" * (-len(out) % 4)
    return out


def modules_of(tree: Path, release: str) -> list[Path]:
    """Return the modules that MODULES need, in the order of insertion."""
    subprocess.run(
        ["depmod", "-b", str(tree), release], check=True, capture_output=True, env=WITH_SBIN
    )
    found: list[Path] = []
    for name in MODULES:
        listed = subprocess.run(
            ["modprobe", "-d", str(tree), "-S", release, "--show-depends", name],
            check=True, capture_output=True, text=True, env=WITH_SBIN,
        ).stdout  # fmt: skip
        for line in listed.splitlines():
            verb, path = line.split()[:2]
            if verb == "insmod" and Path(path) not in found:
                found.append(Path(path))
    return found


def initrd(tree: Path, release: str) -> bytes:
    import yoctovirt.build.debian.overlay as overlay

    init = Path(overlay.__file__).with_name("initrd-init.sh").read_bytes()
    modules = modules_of(tree, release)
    folder, file = stat.S_IFDIR | 0o755, stat.S_IFREG | 0o755
    entries = [(name, folder, b"") for name in ("bin", "dev", "proc", "sys", "modules", "newroot")]
    entries += [("init", file, init), ("bin/busybox", file, (tree / "bin/busybox").read_bytes())]
    entries += [(f"modules/{path.name}", file, path.read_bytes()) for path in modules]
    order = "".join(f"{path.name}\n" for path in modules)
    entries.append(("modules/order", file, order.encode()))
    return gzip.compress(cpio(entries), 1)


def make_deploy_dir(work: Path) -> Path:
    """Return a deploy directory with the guest; raise where a step of it fails."""
    archive, tree, deploy = work / "packages.tar", work / "tree", work / "deploy"
    host = find_host_apt()
    subprocess.run(
        ["mmdebstrap", "--variant=extract", "--architectures=arm64", f"--include={PACKAGES}",
         "--aptopt=APT::Install-Recommends \"false\"", host.suite, str(archive),
         *map(str, host.sources)],
        check=True, capture_output=True,
    )  # fmt: skip
    kernels = work / "kernels"
    with tarfile.open(archive) as tar:
        members = tar.getmembers()
        tar.extractall(tree, [one for one in members if one.name.startswith(WANTED)])
        tar.extractall(
            kernels,
            [one for one in members if one.name.startswith(("./boot/vmlinuz", "./lib/modules/"))],
        )
    archive.unlink()
    (kernel,) = (kernels / "boot").glob("vmlinuz-*")
    shutil.copytree(tree / "bin", kernels / "bin")
    deploy.mkdir()
    release = kernel.name.partition("-")[2]
    (deploy / "initrd").write_bytes(initrd(kernels, release))
    image = kernel.read_bytes()
    # Debian's arm64 kernels are packed; the machine's Image is not.
    (deploy / "Image").write_bytes(gzip.decompress(image) if image[:2] == b"\x1f\x8b" else image)
    shutil.rmtree(kernels)
    for name in ("dev", "proc", "sys", "root", "etc", "sbin", "run", "tmp", "mnt"):
        (tree / name).mkdir(exist_ok=True)
    (tree / "sbin" / "init").symlink_to("/bin/busybox")
    (tree / "bin" / "sh").symlink_to("/bin/busybox")
    (tree / "etc" / "inittab").write_text(INITTAB)
    (tree / "etc" / "rcS").write_text(RCS)
    (tree / "etc" / "passwd").write_text("root::0:0:root:/root:/bin/sh\n")
    (tree / "etc" / "group").write_text("root:x:0:\n")
    (tree / "etc" / "shells").write_text("/bin/sh\n")
    rootfs = deploy / "tiny-image-qemuarm64.ext4"
    with rootfs.open("wb") as out:
        out.truncate(160 << 20)
    as_root = [] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user"]
    subprocess.run([*as_root, "mke2fs", "-q", "-F", "-t", "ext4", "-d", str(tree), str(rootfs)],
                   check=True, capture_output=True, env=WITH_SBIN)  # fmt: skip
    shutil.rmtree(tree)
    lines = "".join(f"{key} = {value}\n" for key, value in CONF.items())
    (deploy / "tiny-image-qemuarm64.qemuboot.conf").write_text(f"[config_bsp]\n{lines}")
    testdata = {"MACHINE": "qemuarm64", "TARGET_ARCH": "aarch64", "IMAGE_BASENAME": "tiny-image",
                "IMAGE_LINK_NAME": "tiny-image-qemuarm64", "KERNEL_VERSION": release}  # fmt: skip
    (deploy / "tiny-image-qemuarm64.testdata.json").write_text(json.dumps(testdata))
    (deploy / "tiny-image-qemuarm64.manifest").write_text("busybox-static arm64 1\n")
    return deploy
