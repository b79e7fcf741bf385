"""Suite kvm: this node runs guests with hardware virtualization, and they prove it."""

from __future__ import annotations

import re
import secrets

import pytest

from yoctovirt.smoke.checked import SmokeNode
from yoctovirt.smoke.cleanup import Undo
from yoctovirt.smoke.suites.aids import guestrom, linux
from yoctovirt.smoke.suites.aids.waiting import OPEN, bounded

PROMISES = ("qemu",)
#: For the evidence of a check that failed.
DIAGNOSTICS = (
    "grep -E -m 2 '^(model name|flags)' /proc/cpuinfo",
    "ls -l /dev/kvm",
    "lsmod",
    "cat /sys/module/kvm_*/parameters/nested",
)

QEMU = "qemu-system-x86_64"
_KVM = f"{QEMU} -accel kvm -cpu host -nodefaults -no-user-config -display none -no-reboot"
_MODULES = {"svm": "kvm_amd", "vmx": "kvm_intel"}
#: Major and minor number of /dev/kvm (Linux: Documentation/admin-guide/devices.txt).
_NUMBERS = "10:232"


@pytest.fixture(scope="module")
def folder(node: SmokeNode, module_undo: Undo) -> str:
    """Make a folder for firmware, kernel and initramfs."""
    made = f"/var/tmp/yoctovirt-{secrets.token_hex(4)}"
    module_undo(f"rm -rf {made}")
    node.check(f"mkdir {made}")
    return made


def _flag(node: SmokeNode) -> str:
    """Return the CPU's flag for virtualization, '' where it has none."""
    found = node.run("grep -o -w -m 1 -E 'svm|vmx' /proc/cpuinfo").output.split()
    return found[0] if found else ""


def _usable(node: SmokeNode) -> None:
    """Fail the check with the reason where KVM cannot be used at all."""
    opened = node.run(OPEN.format("/dev/kvm"))
    if opened.ok:
        return
    if not _flag(node):
        pytest.fail("KVM cannot be used: the CPU of this node has neither svm nor vmx, so nested "
                    "virtualization is not offered to it", pytrace=False)  # fmt: skip
    log = node.run("dmesg | grep -i -E 'kvm|svm|vmx' | tail -n 5").output
    pytest.fail(f"KVM cannot be used: {opened.output.strip()}\n{log}", pytrace=False)


def test_cpu_flags(node: SmokeNode) -> None:
    """Each CPU of the node offers hardware virtualization (svm of AMD, vmx of Intel)."""
    cpus = int(node.check("grep -c ^processor /proc/cpuinfo"))
    model = node.run("grep -m 1 '^model name' /proc/cpuinfo").output.partition(":")[2].strip()
    with_flag = int(node.run("grep -c -w -E '^flags.*(svm|vmx)' /proc/cpuinfo").output)
    assert with_flag == cpus, (
        f"{with_flag} of {cpus} CPUs ({model}) have svm or vmx: this node is not offered nested "
        "virtualization. Under TCG it needs -cpu max, under KVM -cpu host and a host with "
        "kvm_amd.nested=1 or kvm_intel.nested=1"
    )


def test_module(node: SmokeNode) -> None:
    """The kernel's module for this CPU is loaded, or built in."""
    module = _MODULES.get(_flag(node), "kvm_amd or kvm_intel")
    assert " or " not in module, f"this CPU has no virtualization, so {module} cannot be loaded"
    if node.run(f"[ -d /sys/module/{module} ]").ok:
        return
    tried = node.run(f"modprobe {module} 2>&1 && {{ modprobe -r {module}; true; }}")
    assert not tried.ok, (
        f"{module} is not loaded, though it can be: load it at boot "
        f'(KERNEL_MODULE_AUTOLOAD += "{module}", or udev)'
    )
    log = node.run("dmesg | grep -i -E 'kvm|svm|vmx' | tail -n 5").output
    pytest.fail(f"{module} cannot be loaded: {tried.output.strip()}\n{log}", pytrace=False)


def test_device(node: SmokeNode) -> None:
    """/dev/kvm is the kernel's device, opens, and is open to others than root."""
    _usable(node)
    seen = node.check("cat /sys/class/misc/kvm/dev; ls -lL /dev/kvm; id -u").split()
    assert seen[0] == _NUMBERS, f"the device kvm is {seen[0]}, expected {_NUMBERS}"
    mode, group = seen[1], seen[4]
    assert mode.startswith("c"), f"/dev/kvm is no character device: {' '.join(seen[1:-1])}"
    numbers = f"{seen[5].rstrip(',')}:{seen[6]}"
    assert numbers == _NUMBERS, (
        f"/dev/kvm is another device, {numbers}, expected {_NUMBERS}: {' '.join(seen[1:-1])}"
    )
    for_group = mode[4:6] == "rw" and group != "root"
    assert for_group or mode[7:9] == "rw", (
        f"only root may use /dev/kvm ({mode}, group {group}): QEMU runs as a user of its own; "
        "it should be of the group kvm with mode 660 (udev's rule)"
    )


def test_qemu(node: SmokeNode) -> None:
    """QEMU starts, tells its version, and was built with KVM."""
    told = node.check(f"{QEMU} --version")
    assert re.search(r"QEMU emulator version \d+\.\d+", told), f"QEMU says {told!r}"
    listed = node.check(f"{QEMU} -accel help").split()
    assert "kvm" in listed, f"this QEMU was built without KVM, it has {listed[3:]}"


def test_guest(node: SmokeNode, folder: str) -> None:
    """A guest runs under KVM: it says our word, sees KVM as its host, ends with its own status."""
    _usable(node)
    word = secrets.token_hex(8)
    node.put(guestrom.rom(word), f"{folder}/guest.rom")
    done = bounded(
        node,
        f"{_KVM} -machine pc -m 16 -serial stdio -device isa-debug-exit -bios {folder}/guest.rom",
        seconds=60,
        stdin="q",
    )
    host = guestrom.host_of(done.output, word)
    assert host is not None, (
        f"the guest has not said its word; QEMU ended with {done.exit_status}:\n{done.output}"
    )
    assert host == "KVMKVMKVM", f"the guest was started with -accel kvm, its host is {host!r}"
    assert done.exit_status == guestrom.QUIT, (
        f"the guest ends with {guestrom.QUIT}, QEMU did with {done.exit_status}:\n{done.output}"
    )


@pytest.mark.retry(
    1, reason="where the node itself is emulated, QEMU resets a guest under its KVM now and then"
)
def test_linux_guest(node: SmokeNode, folder: str) -> None:
    """A whole Linux, the node's own kernel, starts under KVM, finds it, and turns itself off."""
    _usable(node)
    word = secrets.token_hex(8)
    listed = node.check(f"{QEMU} -machine help", why="QEMU does not start")
    kernel = linux.find_kernel(node)
    script = (
        f"echo guest {word} $(uname -r)\n"
        "dmesg | grep 'Hypervisor detected'\n"
        "reboot -f\n"  # with -no-reboot the end of QEMU
    )
    linux.make_initramfs(node, f"{folder}/initramfs", script)
    machine = "microvm,x-option-roms=off" if "\nmicrovm" in listed else "pc"
    done = bounded(
        node,
        f"{_KVM} -machine {machine} -m 192 -serial stdio -kernel {kernel} "
        f"-initrd {folder}/initramfs -append 'console=ttyS0 panic=-1 reboot=t'",
        seconds=240,
    )
    release = node.check("uname -r").strip()
    tail = done.output[-1500:]
    assert f"guest {word} {release}" in done.output, (
        f"the guest's init was not reached; QEMU ended with {done.exit_status}:\n{tail}"
    )
    assert "Hypervisor detected: KVM" in done.output, f"the guest's kernel sees no KVM:\n{tail}"
    assert done.exit_status == 0, f"QEMU ended with {done.exit_status}:\n{tail}"
