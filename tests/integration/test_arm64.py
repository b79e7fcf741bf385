"""A real guest of the machine qemuarm64, whose image knows nothing of us."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.arm64 import make_deploy_dir
from tests.integration.conftest import Yoctovirt
from yoctovirt.base.deadline import Deadline
from yoctovirt.base.screen import Screen
from yoctovirt.boot.node import find_node
from yoctovirt.boot.settle import settle
from yoctovirt.config.workspace import find_workspace

pytestmark = pytest.mark.node


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    assert shutil.which("qemu-system-aarch64"), "apt-get install qemu-system-arm"
    return make_deploy_dir(tmp_path_factory.mktemp("arm64"))


@pytest.fixture(scope="module")
def arm(image: Path) -> Iterator[Yoctovirt]:
    deploy = image
    yv = Yoctovirt(image.parent / "workspace")
    done = yv.run(
        "boot", "--deploy-dir", str(deploy), "--name", "arm", "--detach", "--disk", "64M",
        "--forward", "0:22", "--forward", "0:80",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    yield yv
    assert yv.run("stop", "arm", "--now").returncode == 0
    yv.assert_nothing_left()


def test_it_is_what_it_says(arm: Yoctovirt) -> None:
    assert arm.run("ssh", "arm", "uname -m").stdout == "aarch64\n"
    (state,) = json.loads(arm.run("nodes", "--json").stdout)
    assert (state["accelerator"], state["cpus"], state["memory_mib"]) == ("tcg", 2, 512)
    assert "this host is" in state["accelerator_reason"]
    # The machine hard-codes format=raw; what lies there is an overlay.
    assert "file=overlay.qcow2,if=none,format=qcow2" in " ".join(state["command"])
    assert arm.run("ssh", "arm", "grep -c processor /proc/cpuinfo").stdout == "2\n"


def test_start_scripts_are_waited_for(arm: Yoctovirt) -> None:
    """Its init is BusyBox: it has settled when no script of it runs any more."""
    (state,) = json.loads(arm.run("nodes", "--json").stdout)
    assert state["settled"] == {"init": "init", "state": "running", "failed_units": []}
    assert state["timings"]["settled"] > state["timings"]["ssh"]
    node = find_node(find_workspace(arm.workspace), "arm")
    script = "setsid sh -c 'echo >/tmp/begun; sleep 8; echo over >/tmp/over' /etc/init.d/rc 5"
    begun = "until [ -e /tmp/begun ]; do sleep 1; done"
    assert node.run(f"{script} >/dev/null 2>&1 & {begun}").ok
    settle(node, Screen(quiet=True))
    assert node.run("cat /tmp/over").output == "over\n"
    node.close()


def test_the_empty_disk_stands_behind_the_root(arm: Yoctovirt) -> None:
    listed = arm.run("ssh", "arm", "cat /proc/partitions").stdout
    sizes = {line.split()[3]: int(line.split()[2]) for line in listed.splitlines() if "vd" in line}
    assert sizes == {"vda": 163840, "vdb": 65536}


def test_ports_lead_into_it(arm: Yoctovirt) -> None:
    import socket

    (state,) = json.loads(arm.run("nodes", "--json").stdout)
    ssh, web = state["forwards"]
    assert (ssh["guest"], web["guest"]) == (22, 80)
    with socket.create_connection((ssh["address"], ssh["host"]), 30) as connection:
        connection.settimeout(60)
        assert connection.recv(4) == b"SSH-"
    page = "printf 'HTTP/1.0 200 OK\\r\\n\\r\\nhello' | nc -l -p 80 >/dev/null"
    done = arm.run("ssh", "arm", f"({page}) >/dev/null 2>&1 </dev/null & sleep 1")
    assert done.returncode == 0, done.stderr
    with socket.create_connection((web["address"], web["host"]), 30) as connection:
        connection.settimeout(60)
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert b"hello" in connection.recv(4096)


def test_files_both_ways(arm: Yoctovirt, tmp_path: Path) -> None:
    there, back = tmp_path / "there", tmp_path / "back"
    for size, options in ((3_000_000, ()), (60_000, ("--serial",))):
        there.write_bytes(random.Random(size).randbytes(size))
        there.chmod(0o750)
        done = arm.run("copy", *options, str(there), "arm:/root/")
        assert done.returncode == 0, done.stderr
        assert arm.run("ssh", "arm", "stat -c %a:%s /root/there").stdout == f"750:{size}\n"
        done = arm.run("copy", *options, "arm:/root/there", str(back))
        assert done.returncode == 0, done.stderr
        assert back.read_bytes() == there.read_bytes()


def test_a_guest_that_is_slow_to_read(arm: Yoctovirt) -> None:
    """Its terminal is full; getty's XOFF and XON must not land in what the command says."""
    node = find_node(find_workspace(arm.workspace), "arm")
    script = "sleep 2; n=0; while [ $n -lt 16 ]; do read -r x; n=$((n+1)); done; echo ${#x}"
    for before, paused in (("stty ixoff; ", True), ("", False)):
        with node.serial.conversation(before + script, Deadline(60)) as talk:
            for _ in range(16):
                talk.say("x" * 900)
            said = talk.finish().output
        assert (said.strip("\x11\x13\n"), "\x13" in said) == ("900", paused), repr(said)
    node.close()


def test_files_that_cannot_be_copied(arm: Yoctovirt, tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.write_bytes(bytes(100_000))
    for arguments, status, said in (
        (("arm:/missing", str(here)), 5, "/missing of the node could not be copied"),
        ((str(here), "arm:/no/folder"), 5, "could not be copied to /no/folder on the node"),
        ((str(here), "arm:/root"), 5, "/root is a folder"),
        (("--serial", str(here), "arm:/no/folder"), 5, "was damaged on the console"),
        (("--serial", "arm:/missing", str(here)), 5, "/missing cannot be read"),
        ((str(tmp_path / "missing"), "arm:/root/"), 2, "cannot be read: No such file"),
        ((str(here), str(here)), 2, "one of the two must be NODE:PATH"),
    ):
        done = arm.run("copy", *arguments)
        assert (done.returncode, said in done.stderr) == (status, True), done.stderr
    assert here.read_bytes() == bytes(100_000), "nothing was written over"


def test_logs(arm: Yoctovirt) -> None:
    text = arm.run("logs", "arm").stdout
    assert "qemuarm64 login: root" in text
    assert "\x1b" not in text
    dated = arm.run("logs", "arm", "-t", "-n", "5").stdout.splitlines()
    assert len(dated) == 5
    assert all(line[:2] == "20" and line[4] == "-" for line in dated), dated
    assert "no node 'amr' has run" in arm.run("logs", "amr").stderr


def test_no_display(arm: Yoctovirt, tmp_path: Path) -> None:
    done = arm.run("screenshot", "arm", str(tmp_path / "screen.png"))
    assert (done.returncode, "no display" in done.stderr) == (5, True), done.stderr
    assert not list(tmp_path.iterdir())


def test_one_types_others_look_on(arm: Yoctovirt) -> None:
    import pexpect

    argv = arm.argv("console", "arm")
    first, second = (
        pexpect.spawn(argv[0], argv[1:], encoding="utf-8", timeout=120, dimensions=(24, 200))
        for _ in range(2)
    )
    leaders = [child.expect(["arm; leave it with", "read-only: it is in use"]) for child in
               (first, second)]  # fmt: skip
    assert sorted(leaders) == [0, 1]
    writer, reader = (first, second) if leaders == [0, 1] else (second, first)
    writer.sendline("echo serial-$((40 + 2))")
    for child in (writer, reader):
        child.expect("serial-42")
    reader.sendline("echo nothing-$((40 + 3))")
    assert writer.expect(["nothing-43", pexpect.TIMEOUT], timeout=3) == 1, "a reader cannot type"
    for child in (reader, writer):
        child.send("\x1d")
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == 0


def test_disks_that_are_kept(image: Path, tmp_path: Path) -> None:
    """What the node wrote is there at its next boot; under another image it is refused."""
    yv = Yoctovirt(tmp_path / "workspace")
    boot = ("boot", "--deploy-dir", str(image), "--name", "kept", "--detach", "--persist",
            "--disk", "64M")  # fmt: skip
    try:
        for command, said in (
            ("echo kept >/root/file; echo on-disk | dd of=/dev/vdb conv=sync; sync", ""),
            ("cat /root/file; head -c 8 /dev/vdb", "kept\non-disk\n"),
        ):
            done = yv.run(*boot)
            assert done.returncode == 0, done.stdout + done.stderr
            done = yv.run("ssh", "kept", command)
            assert (done.returncode, done.stdout) == (0, said), done.stderr
            assert yv.run("stop", "kept", "--now").returncode == 0
    finally:
        yv.run("stop", "--all", "--now")
    kept = yv.workspace / "persist" / "kept" / "overlay.qcow2"
    before = kept.read_bytes()
    rootfs = next(image.glob("*.ext4"))
    rootfs.touch()
    done = yv.run(*boot)
    assert (done.returncode, "another build of the image" in done.stderr) == (2, True), done.stderr
    assert kept.read_bytes() == before
    yv.assert_nothing_left()
