"""What a boot needs: KVM, tap devices, ports."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from yoctovirt.doctor import boot
from yoctovirt.doctor.kvm import find_obstacle

CPU = "processor : 0\nflags\t\t: fpu vme {} sse\n"


@pytest.fixture
def cpuinfo(tmp_path: Path) -> Path:
    path = tmp_path / "cpuinfo"
    path.write_text(CPU.format("svm"))
    return path


def test_kvm_missing(tmp_path: Path, cpuinfo: Path) -> None:
    found = find_obstacle(tmp_path / "kvm", cpuinfo)
    assert found is not None
    assert found.kind == "missing"
    assert "modprobe kvm_amd" in found.remedy
    cpuinfo.write_text(CPU.format("vmx"))
    found = find_obstacle(tmp_path / "kvm", cpuinfo)
    assert found is not None
    assert "modprobe kvm_intel" in found.remedy


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden for root")
def test_kvm_forbidden(tmp_path: Path, cpuinfo: Path) -> None:
    (tmp_path / "kvm").touch(mode=0)
    found = find_obstacle(tmp_path / "kvm", cpuinfo)
    assert found is not None
    assert found.kind == "forbidden"
    assert "usermod -aG kvm" in found.remedy


@pytest.mark.parametrize(
    ("problem", "kind"),
    [(PermissionError(13, "denied"), "forbidden"), (OSError(16, "busy"), "busy"),
     (OSError(19, "No such device"), "broken")],
)  # fmt: skip
def test_kvm_that_does_not_open(
    cpuinfo: Path, monkeypatch: pytest.MonkeyPatch, problem: OSError, kind: str
) -> None:
    def refuse(*_: object) -> int:
        raise problem

    monkeypatch.setattr(os, "open", refuse)
    found = find_obstacle(Path("/dev/null"), cpuinfo)
    assert found is not None
    assert found.kind == kind
    assert found.remedy


def test_a_device_that_is_not_kvm(cpuinfo: Path) -> None:
    found = find_obstacle(Path("/dev/null"), cpuinfo)
    assert found is not None
    assert found.kind == "broken"
    assert "does not answer as KVM" in found.reason


def test_no_extensions(tmp_path: Path) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text(CPU.format("x"))
    found = find_obstacle(Path("/dev/null"), path)
    assert found is not None
    assert found.kind == "no extensions"


def test_no_kvm_is_a_warning(tmp_path: Path, cpuinfo: Path) -> None:
    result = boot.kvm(tmp_path / "kvm", cpuinfo)
    assert result.status == "warning"
    assert "TCG" in result.message


def test_tun(tmp_path: Path) -> None:
    assert boot.tun(tmp_path / "tun").status == "warning"
    (tmp_path / "tun").touch()
    assert boot.tun(tmp_path / "tun").status == "ok"


def test_port() -> None:
    assert boot.port(None).status == "ok"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        result = boot.port(number)
        assert result.status == "error"
        assert f"port {number} of 127.0.0.1" in result.message
        assert f"(pid {os.getpid()}) has it" in result.message
    assert boot.port(number).status == "ok"
    assert boot.holder(number) is None


def test_a_port_of_all_addresses_is_taken_as_well() -> None:
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        assert boot.port(taken.getsockname()[1]).status == "error"


@pytest.mark.parametrize(("value", "status"), [("1", "ok"), ("Y", "ok"), ("N", "warning")])
def test_nested(tmp_path: Path, value: str, status: str) -> None:
    folder = tmp_path / "kvm_amd" / "parameters"
    folder.mkdir(parents=True)
    (folder / "nested").write_text(f"{value}\n")
    assert boot.nested(tmp_path).status == status
    assert boot.nested(tmp_path / "absent").status == "not checked"
