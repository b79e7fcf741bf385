"""What a node offers to guests of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from yoctovirt.boot.accel import Accelerator
from yoctovirt.boot.nested import nested_virtualization, with_cpu
from yoctovirt.boot.qemuargs import BootOptions
from yoctovirt.config.roles import load_role

TCG, KVM = Accelerator("tcg", "no KVM"), Accelerator("kvm", "KVM is usable")
X86 = "qemu-system-x86_64"


@pytest.mark.parametrize(
    ("role", "cpu"), [("kvm-host", "max"), ("compute", "max"), ("xen-host", "max,smap=off")]
)
def test_under_tcg_the_cpu_is_one_with_extensions(role: str, cpu: str) -> None:
    found = nested_virtualization(load_role(role), X86, TCG)
    assert found is not None
    assert found.cpu == cpu
    assert f"offered to the node (TCG, -cpu {cpu})" in found.note


def test_a_role_without_guests() -> None:
    assert nested_virtualization(load_role("docker-host"), X86, TCG) is None
    assert nested_virtualization(None, X86, TCG) is None


@pytest.mark.parametrize(
    ("value", "said"), [("1", "offered to the node"), ("N", "not offered to the node")]
)
def test_under_kvm_the_module_decides(tmp_path: Path, value: str, said: str) -> None:
    folder = tmp_path / "kvm_intel" / "parameters"
    folder.mkdir(parents=True)
    (folder / "nested").write_text(value)
    found = nested_virtualization(load_role("kvm-host"), X86, KVM, tmp_path)
    assert found is not None
    assert found.cpu is None
    assert found.note.startswith(f"nested virtualization: {said} (kvm_intel")
    assert ("nested=1" in found.note) == (value == "N")
    (folder / "nested").unlink()
    found = nested_virtualization(load_role("kvm-host"), X86, KVM, tmp_path)
    assert found is not None
    assert "not known" in found.note


def test_another_machine() -> None:
    role = replace(load_role("kvm-host"), machine="qemuarm64")
    found = nested_virtualization(role, "qemu-system-aarch64", TCG)
    assert found is not None
    assert found.cpu is None


def test_what_the_user_gives_comes_last() -> None:
    options = BootOptions(qemuparams=("-cpu qemu64",))
    image = "-cpu IvyBridge"
    assert with_cpu(options, "max", image).qemuparams == ("-cpu max", "-cpu qemu64")
    assert with_cpu(options, None, image) is options
    assert with_cpu(options, "max", "-cpu max") is options
    assert with_cpu(options, "max,smap=off", "-cpu max").qemuparams[0] == "-cpu max,smap=off"
