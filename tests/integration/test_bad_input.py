"""Bad input: one clear error, what and where and what to do; nothing is started."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

import pytest

from tests.integration.conftest import Yoctovirt

pytestmark = pytest.mark.node


@pytest.fixture
def copied(fresh: Yoctovirt) -> Path:
    """Return a deploy directory whose files may be damaged one by one."""
    deploy = (fresh.workspace / "build-reference" / "deploy").resolve()
    copy = fresh.workspace / "copied"
    copy.mkdir()
    for path in deploy.iterdir():
        if path.suffix == ".ext4":
            (copy / path.name).symlink_to(path)
        else:
            shutil.copy2(path, copy / path.name)
    return copy


def refused(yv: Yoctovirt, status: int, *arguments: str) -> str:
    done = yv.run(*arguments, timeout=240)
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_unknown_role(fresh: Yoctovirt) -> None:
    assert "did you mean reference" in refused(fresh, 2, "build", "refrence")
    assert "did you mean reference" in refused(fresh, 2, "boot", "refrence")
    assert "did you mean reference" in refused(fresh, 2, "ci", "refrence")


def test_unknown_node(fresh: Yoctovirt) -> None:
    for verb in ("ssh", "stop", "console"):
        assert "no node 'reference'" in refused(fresh, 2, verb, "reference")


def test_role_not_built(tmp_path: Path) -> None:
    yv = Yoctovirt(tmp_path)
    (tmp_path / "yoctovirt.yml").write_text("version: 1\n")
    assert "yoctovirt build reference" in refused(yv, 2, "boot", "reference")
    assert "no role is built" in refused(yv, 2, "boot")


def test_no_workspace(tmp_path: Path) -> None:
    assert "there is no workspace" in refused(Yoctovirt(tmp_path), 2, "nodes")


def test_missing_qemu(fresh: Yoctovirt, tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("qemu-img", "ssh"):
        found = shutil.which(name)
        assert found
        (tools / name).symlink_to(found)
    fresh.env["PATH"] = str(tools)
    error = refused(fresh, 3, "boot", "reference")
    assert "missing: qemu-system-x86_64" in error
    assert "apt-get install --no-install-recommends qemu-system-x86" in error
    error = refused(fresh, 3, "boot", "reference", "--skip-preflight")
    assert "qemu-system-x86_64 is not installed" in error


def test_missing_mmdebstrap(tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    yv = Yoctovirt(tmp_path / "w", {"YOCTOVIRT_CACHE_DIR": str(tmp_path / "cache")})
    yv.env["PATH"] = str(tools)
    if any(Path(folder, "mmdebstrap").exists() for folder in ("/usr/sbin", "/sbin")):
        pytest.skip("mmdebstrap stands in a folder that is always searched")
    error = refused(yv, 3, "build", "reference")
    assert "missing: apt-get, mmdebstrap, mount, unshare" in error
    assert "apt-get install --no-install-recommends apt mmdebstrap mount util-linux" in error
    error = refused(yv, 3, "build", "reference", "--skip-preflight")
    assert "mmdebstrap" in error
    assert "Traceback" not in error


def test_missing_files(fresh: Yoctovirt, copied: Path) -> None:
    boot = ("boot", "--deploy-dir", str(copied))
    for name in ("bzImage", "initrd"):
        (copied / name).rename(copied / "away")
        assert f"{name} is missing" in refused(fresh, 4, *boot)
        (copied / "away").rename(copied / name)
    (copied / "reference-image-qemux86-64.ext4").unlink()
    assert "ext4 is missing" in refused(fresh, 4, *boot)
    next(copied.glob("*.qemuboot.conf")).unlink()
    assert "has no *.qemuboot.conf" in refused(fresh, 4, *boot)
    assert "no such folder" in refused(fresh, 2, "boot", "--deploy-dir", str(copied / "none"))


def test_truncated_files(fresh: Yoctovirt, copied: Path) -> None:
    boot = ("boot", "--deploy-dir", str(copied))
    for name, size, word in (
        ("bzImage", 5_000_000, "is truncated"),
        ("initrd", 0, "is empty"),
        ("reference-image-qemux86-64.testdata.json", 40, "truncated or no JSON"),
        ("reference-image-qemux86-64.qemuboot.conf", 60, "qb_system_name"),
    ):
        whole = (copied / name).read_bytes()
        os.truncate(copied / name, size)
        assert word in refused(fresh, 4, *boot), name
        (copied / name).write_bytes(whole)
    image = copied / "reference-image-qemux86-64.ext4"
    source = image.resolve()
    image.unlink()
    with source.open("rb") as data:
        image.write_bytes(data.read(20_000_000))
    assert "is truncated: 20000000 bytes of" in refused(fresh, 4, *boot)


def test_port_in_use(fresh: Yoctovirt) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        error = refused(fresh, 5, "boot", "reference", "--ssh-port", str(port))
    assert f"port {port} of this host is in use" in error
    assert fresh.last_record()["error"]["class"] == "BootError"


def test_memory_beyond_the_host(fresh: Yoctovirt) -> None:
    error = refused(fresh, 5, "boot", "reference", "--memory", "90000000")
    assert "memory" in error


def test_qemu_arguments_wrong(fresh: Yoctovirt) -> None:
    error = refused(fresh, 5, "boot", "reference", "--qemuparams=-no-such-option")
    assert "QEMU does not understand its arguments" in error
    assert "qemuparams" in refused(fresh, 2, "boot", "reference", "--qemuparams='unclosed")


def test_kvm_insisted_on(fresh: Yoctovirt) -> None:
    from yoctovirt.boot.accel import kvm_obstacle

    obstacle = kvm_obstacle()
    if obstacle is None:
        pytest.skip("nothing speaks against KVM on this host")
    assert f"KVM cannot be used: {obstacle}" in refused(fresh, 5, "boot", "reference", "--kvm")


def test_promise_that_nobody_knows(fresh: Yoctovirt) -> None:
    own = fresh.workspace / "kas" / "inc"
    own.mkdir(parents=True)
    (own / "mine.role.yml").write_text(
        "description: x\nbuilder: debian\npromises: [dokcer]\ndebian: {packages: [dbus]}\n"
    )
    error = refused(fresh, 2, "build", "mine")
    assert "promises 'dokcer'" in error
    assert "did you mean docker?" in error
