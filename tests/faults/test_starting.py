"""Nodes that do not get as far as a login."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.gdb import cause_oops
from tests.faults.test_running import LIGHT
from tests.integration.conftest import Yoctovirt, wait_for
from yoctovirt.boot.node import running_nodes
from yoctovirt.boot.qmp import Qmp
from yoctovirt.config.workspace import find_workspace

pytestmark = [pytest.mark.node, pytest.mark.faults]


def failed_boot(yv: Yoctovirt, *options: str, status: int = 5) -> str:
    """Boot the reference node, which must fail; return what the user reads."""
    done = yv.run("boot", "reference", *options, timeout=900)
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    run = yv.last_record()
    assert run["exit_code"] == status
    return done.stderr[done.stderr.index("error: ") :]


def evidence(yv: Yoctovirt) -> dict[str, str]:
    """Return the files that were kept of the node, by name."""
    run = yv.last_record()
    return {name: (run["path"] / name).read_text(errors="replace")
            for name in run["error"]["evidence"]}  # fmt: skip


def rom(folder: Path, code: str) -> str:
    """Return the option for a firmware that runs *code*, hexadecimal, at the reset vector."""
    path = folder / "own.rom"
    path.write_bytes((bytes(65520) + bytes.fromhex(code)).ljust(65536, b"\0"))
    return f"--qemuparams=-bios {path}"


def test_hang_without_a_word(fresh: Yoctovirt, tmp_path: Path) -> None:
    said = failed_boot(fresh, rom(tmp_path, "faf4ebfd"), "--login-timeout=5")  # cli; hlt; jmp
    assert "no login on the console within 5 s: nothing at all came on it" in said
    assert re.search(r"on it \(its processors: 0 at 0x[0-9a-f]{8,16}", said)
    assert "console=ttyS0" in said
    kept = evidence(fresh)
    assert json.loads(kept["failure-reference/qmp.json"])["query-status"]["status"] == "running"
    assert "CR3=" in kept["failure-reference/registers.txt"]


def test_reset_loop(fresh: Yoctovirt) -> None:
    said = failed_boot(fresh, "--bootparams=rdinit=/bin/busybox -- reboot -f")
    assert "the node restarts again and again (3 times)" in said


def test_guest_that_powers_itself_off(fresh: Yoctovirt) -> None:
    said = failed_boot(fresh, "--bootparams=rdinit=/bin/busybox -- poweroff -f")
    assert "QEMU ended while the node started: the guest powered itself off" in said


def test_console_flooded(fresh: Yoctovirt) -> None:
    said = failed_boot(fresh, "--bootparams=rdinit=/bin/busybox -- yes flood", "--login-timeout=60")
    assert "no login on the console within 60 s (" in said
    assert "something floods the console" in said
    assert "    | flood" in said
    assert len(said) < 5000


def starting_node(yv: Yoctovirt) -> tuple[subprocess.Popen[str], Qmp]:
    boot = yv.start("boot", "reference")
    socket = yv.workspace / "nodes" / "reference" / "qmp.sock"
    console = yv.workspace.glob
    wait_for(socket.exists, 30, "QEMU runs")
    wait_for(lambda: any(p.stat().st_size > 200 for p in console("runs/*/console-*.log")), 60,
             "the kernel speaks")  # fmt: skip
    return boot, Qmp(socket)


def test_oops(fresh: Yoctovirt) -> None:
    boot, qmp = starting_node(fresh)
    cause_oops(qmp)
    output, _ = boot.communicate(timeout=400)
    assert boot.returncode == 5, output
    assert "the kernel had an oops while the node started: " in output
    assert "BUG: kernel NULL pointer dereference, address: 0000000000000000" in output


def test_qemu_killed(fresh: Yoctovirt) -> None:
    boot, _ = starting_node(fresh)
    qemu = next(line for line in fresh.processes() if " qemu-system" in f" {line.split()[1]}")
    os.kill(int(qemu.split()[0]), signal.SIGKILL)
    output, _ = boot.communicate(timeout=60)
    assert boot.returncode == 5, output
    assert "somebody or something ended it by SIGKILL" in output


@pytest.fixture
def small_nodes(fresh: Yoctovirt) -> Iterator[Yoctovirt]:
    """A workspace whose folder for overlays holds 64 MiB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    folder = fresh.workspace / "nodes"
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)], check=True)
    yield fresh
    fresh.run("stop", "--all", "--now")
    wait_for(lambda: not fresh.processes(), 10, "the node is gone")
    subprocess.run(["umount", str(folder)], check=True)


def test_disk_full_under_the_overlay(small_nodes: Yoctovirt) -> None:
    done = small_nodes.run("boot", "reference", "--detach", "--skip-preflight", *LIGHT, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    node = running_nodes(find_workspace(small_nodes.workspace))["reference"]
    from yoctovirt.boot.results import NodeUnreachableError

    with pytest.raises(NodeUnreachableError, match="the disk of this host full"):
        node.run("dd if=/dev/urandom of=/big bs=1M count=100; sync", timeout=120)
    node.close()


def test_bad_fstab_on_a_disk_that_is_kept(fresh: Yoctovirt) -> None:
    """What the node writes is there at the next boot: a line in fstab that cannot be mounted."""
    boot = ("boot", "reference", "--persist")
    done = fresh.run(*boot, "--detach", *LIGHT, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    line = "/dev/vdx /data ext4 defaults,x-systemd.device-timeout=3 0 2"
    done = fresh.run("ssh", "reference", f"echo '{line}' >> /etc/fstab; sync")
    assert done.returncode == 0, done.stderr
    # At once: what was synced must be there.
    assert fresh.run("stop", "reference", "--now").returncode == 0
    said = failed_boot(fresh, "--persist")
    assert "the node is in emergency mode while the node started" in said
    kept = fresh.workspace / "persist" / "reference"
    assert (kept / "overlay.qcow2").stat().st_size > 1 << 20
    image = fresh.workspace / "build-reference" / "deploy" / "reference-image-qemux86-64.ext4"
    base = json.loads((kept / "base.json").read_text())
    assert base["path"] == str(image.resolve())
