"""Hosts of nodes.yml: here the shared node, reached as a board on the net would be."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import Yoctovirt
from yoctovirt.build.debian.overlay import make_keys
from yoctovirt.config.roles import role_files

pytestmark = pytest.mark.node

BRIDGE = """\
import os, socket, sys, threading
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])
def up():
    while (d := os.read(0, 65536)): s.sendall(d)
    s.shutdown(socket.SHUT_RDWR)
threading.Thread(target=up, daemon=True).start()
while (d := s.recv(65536)): os.write(1, d)
"""


class Lab(Yoctovirt):
    """A workspace with a nodes.yml, of a user who knows no host yet."""

    def __init__(self, folder: Path, node: Yoctovirt) -> None:
        super().__init__(folder / "lab", {"HOME": str(folder / "home")})
        (folder / "home" / ".ssh").mkdir(parents=True)
        self.workspace.mkdir()
        (self.workspace / "yoctovirt.yml").write_text("version: 1\n")
        (self.workspace / "bridge.py").write_text(BRIDGE)
        (self.state,) = json.loads(node.run("nodes", "--json").stdout)
        self.console = Path(self.state["ssh_key"]).with_name("serial.sock")
        self.power_log = self.workspace / "power.log"

    def describe(self, **entry: Any) -> None:
        """Write nodes.yml with one host, ``board``."""
        board = {
            "ssh": f"root@127.0.0.1:{self.state['ssh_port']}",
            "key": self.state["ssh_key"],
            "timeout_scale": 4 if self.state["accelerator"] == "tcg" else 1,
            **entry,
        }
        # JSON is YAML.
        (self.workspace / "nodes.yml").write_text(json.dumps({"nodes": {"board": board}}))

    def bridge(self) -> str:
        return f"{sys.executable} {self.workspace}/bridge.py {self.console}"


@pytest.fixture
def lab(node: Yoctovirt, tmp_path: Path) -> Lab:
    return Lab(tmp_path, node)


def test_host_with_console_and_power(lab: Lab) -> None:
    """It says over its console who it is; then the checks run as on any node."""
    lab.describe(
        serial={"command": lab.bridge()},
        power={"cmd_on": f"echo on >> {lab.power_log}", "cmd_off": f"echo off >> {lab.power_log}"},
    )
    done = lab.run("smoke", "board", "-k", "kernel or serial")
    assert done.returncode == 0, done.stdout + done.stderr
    run = lab.last_record()
    assert {check["id"] for check in run["checks"]} == {
        "base::kernel", "base::serial_and_ssh_agree",
    }  # fmt: skip
    assert run["nodes"][0]["accelerator"] == "none"
    assert lab.power_log.read_text().split() == ["on", "off"]
    assert not lab.processes()
    assert not (lab.workspace / "nodes" / "board").exists()


def test_host_without_console(lab: Lab) -> None:
    """Its key must be known; what needs a console is not run, and is not said to have passed."""
    lab.describe()
    done = lab.run("ci", "board")
    assert done.returncode == 5, done.stdout + done.stderr
    assert f"host_key: {self_key(lab)}" in done.stderr
    lab.describe(host_key=make_keys().host_public.strip())
    done = lab.run("smoke", "board")
    assert done.returncode == 5
    assert "is not the one of this node" in done.stderr
    lab.describe(host_key=self_key(lab))
    done = lab.run("smoke", "board", "-k", "kernel or serial")
    assert done.returncode == 0, done.stdout + done.stderr
    run = lab.last_record()
    assert [check["id"] for check in run["checks"]] == ["base::kernel"]
    reason = "the host has no serial console"
    assert {"suite": "base::serial_and_ssh_agree", "reason": reason} in run["not_run"]
    assert lab.run("ssh", "board", "exit 9").returncode == 9
    assert "board has no serial console" in lab.run("console", "board").stderr


def test_wrong_promise(lab: Lab) -> None:
    """A promise of its role that the node does not keep fails; it is never skipped."""
    own = lab.workspace / "kas" / "inc"
    own.mkdir(parents=True)
    text = role_files()["reference"].read_text()
    (own / "reference.role.yml").write_text(text.replace("promises: [", "promises: [ceph, "))
    lab.describe(host_key=self_key(lab), role="reference")
    done = lab.run("smoke", "board", "--suite", "base", "-k", "promised_software")
    assert done.returncode == 1, done.stdout + done.stderr
    checks = {check["id"]: check for check in lab.last_record()["checks"]}
    assert checks["base::promised_software[ceph]"]["outcome"] == "failed"
    assert "ceph is promised" in checks["base::promised_software[ceph]"]["message"]
    assert checks["base::promised_software[docker]"]["outcome"] == "passed"


def self_key(lab: Lab) -> str:
    return " ".join(lab.state["ssh_host_key"].split()[:2])


@pytest.mark.faults
@pytest.mark.skipif(shutil.which("socat") is None, reason="socat makes the lines")
@pytest.mark.parametrize("kind", ["tcp", "device"])
def test_other_serial_lines(lab: Lab, kind: str, tmp_path: Path) -> None:
    import subprocess

    from tests.integration.conftest import wait_for
    from tests.unit.boot.bridge import closed_port

    link, port = tmp_path / "tty", closed_port()
    near = {
        "tcp": f"TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork",
        "device": f"PTY,link={link},raw,echo=0",
    }[kind]
    line = subprocess.Popen(["socat", near, f"UNIX-CONNECT:{lab.console}"], env=os.environ)
    try:
        if kind == "device":
            wait_for(link.exists, 5, "the device")
            lab.describe(serial={"device": str(link)})
        else:
            lab.describe(serial={"tcp": f"127.0.0.1:{port}"})
        done = lab.run("smoke", "board", "-k", "serial")
        assert done.returncode == 0, done.stdout + done.stderr
    finally:
        line.terminate()
        line.wait()


@pytest.mark.faults
@pytest.mark.timeout(3000)
def test_host_of_the_command_line(lab: Lab) -> None:
    """--host with keys as OpenSSH has them: the promises are those of the role that is named."""
    ssh = Path(lab.env["HOME"]) / ".ssh"
    shutil.copy(lab.state["ssh_key"], ssh / "id_ed25519")
    address = f"127.0.0.1:{lab.state['ssh_port']}"
    (ssh / "known_hosts").write_text(
        f"[127.0.0.1]:{lab.state['ssh_port']} {lab.state['ssh_host_key']}\n"
    )
    scale = "4" if lab.state["accelerator"] == "tcg" else "1"
    call = ("ci", "reference", "--host", f"root@{address}", "--timeout-scale", scale)
    done = lab.run(*call, timeout=3000)
    assert done.returncode == 0, done.stdout + done.stderr
    run = lab.last_record()
    assert run["role"] == "reference"
    assert "docker::exec" in {check["id"] for check in run["checks"]}
