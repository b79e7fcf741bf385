"""Why QEMU did not start: what the real one says, and what we make of it."""

from __future__ import annotations

import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from yoctovirt.boot.failures import explain_qemu
from yoctovirt.errors import BootError

LOG = Path("/ws/runs/1/qemu-node.log")
QEMU = "qemu-system-x86_64"


def said_by_qemu(*arguments: str) -> str:
    """Return what the real QEMU says to *arguments* that it cannot start with."""
    if shutil.which(QEMU) is None:
        pytest.skip(f"{QEMU} is not installed on this host")
    done = subprocess.run(
        [QEMU, "-nodefaults", "-display", "none", "-S", *arguments], capture_output=True,
        text=True, timeout=60, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    return f"exit status {done.returncode}: {done.stderr.strip()}"


def test_a_port_that_is_in_use() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = said_by_qemu("-netdev", f"user,id=n,hostfwd=tcp:127.0.0.1:{port}-:22")
    error = explain_qemu(said, LOG)
    assert isinstance(error, BootError)
    assert error.message.startswith(f"port {port} of this host is in use (QEMU: exit status 1: ")
    assert "--ssh-port" in error.hint


def test_more_memory_than_there_is() -> None:
    error = explain_qemu(said_by_qemu("-m", "600T"), LOG)
    assert error.message.startswith("this host has not the memory that the node asks for")
    assert "--memory" in error.hint


@pytest.mark.parametrize(
    "arguments",
    [["-nosuch"], ["-cpu", "NoSuchCpu"], ["-machine", "nosuch"],
     ["-device", "virtio-rng-pci,nosuch=1"], ["-device", "no-such-device"]],
)  # fmt: skip
def test_arguments_that_qemu_does_not_understand(arguments: list[str]) -> None:
    error = explain_qemu(said_by_qemu(*arguments), LOG)
    assert error.message.startswith("QEMU does not understand its arguments")
    assert "--qemuparams" in error.hint


def test_an_image_that_is_in_use(tmp_path: Path) -> None:
    if shutil.which(QEMU) is None:
        pytest.skip(f"{QEMU} is not installed on this host")
    disk = tmp_path / "disk.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", disk, "1M"], check=True)
    options = ["-drive", f"file={disk},if=none,id=d,format=qcow2"]
    first = subprocess.Popen(
        [QEMU, "-nodefaults", "-display", "none", "-S", *options, "-monitor", "stdio"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert first.stdin is not None
    assert first.stdout is not None
    first.stdout.readline()  # it runs
    try:
        error = explain_qemu(said_by_qemu(*options), LOG)
    finally:
        first.communicate("quit\n", timeout=30)
    assert error.message.startswith("the disk image is in use by another QEMU")


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("Could not access KVM kernel module: Permission denied", "KVM cannot be used"),
        ("qemu: failed to initialize kvm: No such device", "KVM cannot be used"),
        ("qemu-img: x.qcow2: No space left on device", "the disk is full"),
    ],
)
def test_causes_that_cannot_be_made_here(said: str, message: str) -> None:
    assert explain_qemu(said, LOG).message.startswith(message)


def test_an_unknown_cause_is_told_as_it_is() -> None:
    error = explain_qemu("exit status 1: something else", LOG)
    assert error.message == "QEMU did not start: exit status 1: something else"
    assert str(LOG) in error.hint
