"""Which accelerator is taken, and what is said of it."""

from __future__ import annotations

import pytest

from yoctovirt.boot import accel
from yoctovirt.errors import BootError


def say(monkeypatch: pytest.MonkeyPatch, static: str | None, dead: str | None) -> None:
    monkeypatch.setattr(accel, "kvm_obstacle", lambda *_: static)
    monkeypatch.setattr(accel, "dead_kvm", lambda *_: dead)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")


def test_kvm_that_works(monkeypatch: pytest.MonkeyPatch) -> None:
    say(monkeypatch, None, None)
    assert accel.choose_accelerator(None).name == "kvm"
    assert accel.choose_accelerator(True).reason == "asked for with --kvm"
    forced = accel.choose_accelerator(False)
    assert (forced.name, forced.reason) == ("tcg", "asked for with --no-kvm")
    assert forced.timeout_scale == accel.TCG_SCALE


@pytest.mark.parametrize(("static", "dead"), [("/dev/kvm is missing", None), (None, "it is dead")])
def test_kvm_that_does_not(
    monkeypatch: pytest.MonkeyPatch, static: str | None, dead: str | None
) -> None:
    say(monkeypatch, static, dead)
    found = accel.choose_accelerator(None)
    assert (found.name, found.reason) == ("tcg", f"no KVM: {static or dead}")
    with pytest.raises(BootError, match=f"KVM cannot be used: {static or dead}"):
        accel.choose_accelerator(True)


def test_a_guest_of_another_architecture(monkeypatch: pytest.MonkeyPatch) -> None:
    say(monkeypatch, None, None)
    found = accel.choose_accelerator(None, "qemu-system-aarch64")
    assert found.reason == "no KVM: the machine is aarch64, this host is x86_64"
    assert accel.choose_accelerator(None, "/usr/bin/qemu-system-i386").name == "kvm"
    with pytest.raises(BootError, match="the machine is aarch64"):
        accel.choose_accelerator(True, "qemu-system-aarch64")
    assert accel.foreign_guest("qemu-system-aarch64", "aarch64") is None
