"""Where the processors of a guest are that says nothing."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.integration.conftest import wait_for
from yoctovirt.boot.evidence import places_of
from yoctovirt.boot.qmp import Qmp

X86 = """
CPU#0
RAX=0000000000000000 RBX=0000000000000001 RCX=0000000000000000 RDX=0000000000000000
RIP=ffffffff81c3f2eb RFL=00000246 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=1
CR0=80050033 CR2=0000000000000000 CR3=0000000002a10000 CR4=00000ef0

CPU#1\r
EAX=00000000 EBX=00000000 ECX=00000000 EDX=00060fb1\r
EIP=0000fff0 EFL=00000002 [-------] CPL=0 II=0 A20=1 SMM=0 HLT=0\r
"""
ARM64 = "\nCPU#0\n PC=ffffffc0080a3b1c X00=0000000000000000 X01=0000000000000000\n"
RISCV = "\nCPU#0\n V      =   0\n pc       ffffffff80003a2c\n mhartid  0000000000000000\n"


def test_each_processor_has_its_place() -> None:
    assert places_of(X86) == "0 at 0xffffffff81c3f2eb, halted; 1 at 0x0000fff0"
    assert places_of(ARM64) == "0 at 0xffffffc0080a3b1c"
    assert places_of(RISCV) == "0 at 0xffffffff80003a2c"


def test_registers_that_are_not_known_say_nothing() -> None:
    assert places_of("") == ""
    assert places_of("\nCPU#0\nGPR00 0000000000000000\n") == ""


@pytest.mark.skipif(not shutil.which("qemu-system-x86_64"), reason="no qemu-system-x86_64")
def test_what_a_real_qemu_prints(tmp_path: Path) -> None:
    """At its reset an x86 is at FFF0h; all processors but the first wait."""
    socket = tmp_path / "qmp"
    command = ["qemu-system-x86_64", "-S", "-nodefaults", "-display", "none", "-smp", "2",
               "-qmp", f"unix:{socket},server=on,wait=off"]  # fmt: skip
    with subprocess.Popen(command) as qemu:
        try:
            wait_for(socket.exists, 30, "QEMU's socket")
            places = places_of(Qmp(socket).hmp("info registers -a"))
        finally:
            qemu.kill()
    assert places == "0 at 0x0000fff0; 1 at 0x0000fff0, halted"
