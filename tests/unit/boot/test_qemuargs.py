"""The QEMU command line that runqemu would make, and what the user changes about it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.samples import IMAGE
from tests.unit.boot.images import image
from yoctovirt.boot.accel import Accelerator
from yoctovirt.boot.qemuargs import (
    BootOptions,
    boots_from_disk,
    first_console,
    kernel_command_line,
    mac_address,
    memory_mib,
    qemu_command,
    root_disk,
    serial_ports,
)
from yoctovirt.build.deploydir import DeployDir
from yoctovirt.errors import BuildError, UsageError

TCG, KVM = Accelerator("tcg", "a reason"), Accelerator("kvm", "usable")
OVERLAY = Path("/n/overlay.qcow2")


def command(deploy: DeployDir, accelerator: Accelerator = TCG, **options: object) -> list[str]:
    made = BootOptions(**options)  # type: ignore[arg-type]
    return qemu_command(deploy, "node", made, accelerator, Path("/run/console.log"))


def after(argv: list[str], option: str) -> list[str]:
    return [argv[index + 1] for index, word in enumerate(argv) if word == option]


def test_scarthgap(tmp_path: Path) -> None:
    deploy = image(tmp_path, "scarthgap")
    argv = command(deploy)
    assert argv[0] == "qemu-system-x86_64"
    assert after(argv, "-machine") == ["q35,i8042=off"]
    assert after(argv, "-cpu") == ["IvyBridge"]
    assert after(argv, "-accel") == ["tcg,thread=multi"]
    assert after(argv, "-smp") == ["4"]
    assert after(argv, "-m") == ["1024"]
    assert after(argv, "-drive") == ["file=overlay.qcow2,if=virtio,format=qcow2"]
    assert after(argv, "-netdev") == ["user,id=net0"]
    assert f"virtio-net-pci,netdev=net0,mac={mac_address('node')}" in argv
    assert after(argv, "-serial") == ["chardev:console", "null"]
    assert after(argv, "-initrd") == [str(deploy.path / "initrd.cpio.gz")]
    assert after(argv, "-kernel") == [str(deploy.path / "bzImage")]
    assert after(argv, "-append") == [
        "root=/dev/vda rw ip=dhcp console=ttyS0 console=ttyS1 oprofile.timer=1 tsc=reliable "
        "console=ttyS0"
    ]
    assert argv[-1] == "-S"
    assert "virtio-vga" not in argv
    assert str(deploy.rootfs) not in " ".join(argv), "the image itself is never written"


def test_kirkstone(tmp_path: Path) -> None:
    argv = command(image(tmp_path, "kirkstone"), KVM)
    assert after(argv, "-machine") == ["q35,i8042=off"]
    assert after(argv, "-accel") == ["kvm"]
    assert after(argv, "-smp") == []
    assert after(argv, "-m") == ["256"]
    # The drive type is for images that boot from their disk.
    assert after(argv, "-drive") == ["file=overlay.qcow2,if=virtio,format=qcow2"]


def test_an_arm_machine(tmp_path: Path) -> None:
    argv = command(image(tmp_path, "qemuarm64"))
    assert argv[0] == "qemu-system-aarch64"
    assert after(argv, "-drive") == ["id=disk0,file=overlay.qcow2,if=none,format=qcow2"]
    assert "console=ttyAMA0 console=hvc0 oprofile" in after(argv, "-append")[0]
    assert after(argv, "-append")[0].endswith(" console=ttyAMA0")


def test_what_the_user_changes(tmp_path: Path) -> None:
    argv = command(
        image(tmp_path, "scarthgap"), memory=777, cpus=3, ssh_port=2222,
        qemuparams=("-device 'virtio-rng-pci,id=a b'", "-no-reboot"), bootparams=("quiet", "x=1"),
    )  # fmt: skip
    assert after(argv, "-m") == ["777"]
    assert after(argv, "-smp") == ["3"]
    assert after(argv, "-netdev") == ["user,id=net0,hostfwd=tcp:127.0.0.1:2222-:22"]
    assert "virtio-rng-pci,id=a b" in argv
    assert "-no-reboot" in argv
    assert after(argv, "-append")[0].endswith("tsc=reliable quiet x=1 console=ttyS0")
    with pytest.raises(UsageError, match="--qemuparams"):
        command(image(tmp_path, "scarthgap"), qemuparams=("-name 'x",))


@pytest.mark.parametrize(
    ("text", "mib"),
    [
        ("-m 256", 256),
        ("-m 512M", 512),
        ("-m 2G", 2048),
        ("1024", 1024),
        ("", 256),
        ("-m 1g", 1024),
    ],
)
def test_forms_of_memory(tmp_path: Path, text: str, mib: int) -> None:
    boot = image(tmp_path, "scarthgap", qb_mem=text).qemuboot
    assert memory_mib(boot, None) == mib
    assert memory_mib(boot, 99) == 99


def test_memory_that_is_not_understood(tmp_path: Path) -> None:
    boot = image(tmp_path, "scarthgap", qb_mem="-m size=1G,slots=2").qemuboot
    with pytest.raises(UsageError, match="qb_mem is not understood: -m size=1G,slots=2"):
        memory_mib(boot, None)


@pytest.mark.parametrize(
    ("root", "line"),
    [
        ("", "root=/dev/vda rw"),
        ("/dev/vda2", "root=/dev/vda2 rw"),
        ("/dev/vda ro", "root=/dev/vda ro"),
    ],
)
def test_the_root_of_the_kernel(tmp_path: Path, root: str, line: str) -> None:
    boot = image(tmp_path, "scarthgap", qb_kernel_root=root).qemuboot
    assert kernel_command_line(boot, ()).startswith(f"{line} ip=dhcp console=")


@pytest.mark.parametrize(
    ("consoles", "ports"),
    [
        ("115200;ttyS0 115200;ttyS1", ["ttyS0", "ttyS1"]),
        ("", ["ttyS0"]),
        ("115200;hvc0", ["hvc0"]),
        ("ttyAMA0", ["ttyAMA0"]),
    ],
)
def test_the_first_serial_port_is_the_console(
    tmp_path: Path, consoles: str, ports: list[str]
) -> None:
    boot = image(tmp_path, "scarthgap", serial_consoles=consoles).qemuboot
    assert serial_ports(boot) == ports
    assert first_console(boot) == f"console={ports[0]}"
    line = kernel_command_line(boot, ())
    assert [w for w in line.split() if w.startswith("console=")][-1] == f"console={ports[0]}"
    assert line.count("console=") == len(ports) + (len(ports) > 1)


@pytest.mark.parametrize(
    ("option", "disk"),
    [
        ("", "-drive file=/n/overlay.qcow2,if=virtio,format=qcow2"),
        ("-drive file=@ROOTFS@", "-drive file=/n/overlay.qcow2,format=qcow2"),
        (
            "-drive id=d,file=@ROOTFS@,format=raw,if=none -device x,drive=d",
            "-drive id=d,file=/n/overlay.qcow2,if=none,format=qcow2 -device x,drive=d",
        ),
    ],
)
def test_the_overlay_takes_the_place_of_the_image(tmp_path: Path, option: str, disk: str) -> None:
    assert root_disk(image(tmp_path, "scarthgap", qb_rootfs_opt=option).qemuboot, OVERLAY) == disk


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("/dev/sd", ["if=none,id=hd,file=/n/overlay.qcow2,format=qcow2", "scsi-hd,drive=hd"]),
        ("/dev/hd", ["-drive file=/n/overlay.qcow2,format=qcow2"]),
        ("/dev/vdb", ["id=disk0,if=none,file=/n/overlay.qcow2,format=qcow2"]),
        ("/dev/vd", ["-drive if=virtio,file=/n/overlay.qcow2,format=qcow2"]),
        ("", ["-drive if=virtio,file=/n/overlay.qcow2,format=qcow2"]),
    ],
)
def test_a_wic_image_brings_its_own_kernel(tmp_path: Path, kind: str, words: list[str]) -> None:
    deploy = image(
        tmp_path, "scarthgap", qb_default_fstype="wic", qb_drive_type=kind,
        qb_rootfs_opt="-drive file=@ROOTFS@,format=raw",
    )  # fmt: skip
    assert boots_from_disk(deploy.qemuboot)
    disk = root_disk(deploy.qemuboot, OVERLAY)
    assert all(word in disk for word in words)
    argv = command(deploy)
    assert "-kernel" not in argv
    assert "-append" not in argv
    with pytest.raises(UsageError, match=f"cannot reach the kernel of {IMAGE}"):
        command(deploy, bootparams=("quiet",))


def test_a_wic_image_without_a_kernel(tmp_path: Path) -> None:
    deploy = image(tmp_path, "scarthgap", qb_default_fstype="wic", qb_fsinfo="wic:no-kernel-in-fs")
    assert not boots_from_disk(deploy.qemuboot)
    assert "-kernel" in command(deploy)


def test_quotes_that_do_not_match_are_the_images_fault(tmp_path: Path) -> None:
    deploy = image(tmp_path, "scarthgap")
    deploy.qemuboot.values["qb_opt_append"] = "-device 'x"
    with pytest.raises(BuildError, match="qb_opt_append"):
        command(deploy)


def test_an_address_is_kept_and_differs_by_name_and_interface() -> None:
    assert mac_address("node") == mac_address("node")
    seen = {mac_address(name, number) for name in ("a", "b", "c") for number in range(4)}
    assert len(seen) == 12
    assert all(address.startswith("52:54:00:") for address in seen)


@pytest.mark.parametrize("release", ["kirkstone", "scarthgap"])
def test_the_real_qemu_takes_the_command(tmp_path: Path, release: str) -> None:
    qemu = shutil.which("qemu-system-x86_64")
    if qemu is None:
        pytest.skip("qemu-system-x86_64 is not installed on this host")
    deploy = image(tmp_path, release)
    assert deploy.kernel is not None
    with deploy.kernel.open("r+b") as kernel:
        # As new as a kernel with an initrd must be, which may lie anywhere.
        for place, value in ((0x206, b"\x0c\x02"), (0x22C, b"\xff\xff\xff\x7f")):
            kernel.seek(place)
            kernel.write(value)
    node = tmp_path / "node"
    node.mkdir()
    create = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b"]
    subprocess.run([*create, str(deploy.rootfs), str(node / "overlay.qcow2")], check=True)
    argv = qemu_command(deploy, "node", BootOptions(memory=64), TCG, tmp_path / "console.log")
    # It parses all of it, opens what it names, and ends at once.
    done = subprocess.run(
        [*argv, "-monitor", "stdio"], input="quit\n", cwd=node, text=True, capture_output=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
