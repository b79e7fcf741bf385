"""Start to the first SSH command, beside raw QEMU with an ssh loop, on the same image.

The peer is the shortest script that a person would write: the same QEMU command line with
snapshot=on, a fixed port, and ssh in a loop without any checking of keys.
"""

from __future__ import annotations

import json
import shlex
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 3


def yoctovirt(workspace: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "yoctovirt", "--workspace", str(workspace), *arguments]
    return subprocess.run(argv, check=True, text=True, capture_output=True)


def ours(workspace: Path) -> tuple[float, list[str]]:
    start = time.perf_counter()
    yoctovirt(workspace, "boot", "reference", "--detach", "--no-kvm")
    yoctovirt(workspace, "ssh", "reference", "true")
    taken = time.perf_counter() - start
    (state,) = json.loads(yoctovirt(workspace, "nodes", "--json").stdout)
    yoctovirt(workspace, "stop", "reference", "--now")
    return taken, state["command"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def raw(command: list[str], deploy: Path) -> float:
    port = free_port()
    image = next(deploy.glob("*.ext4"))
    line = shlex.join(word for word in command if word != "-S")
    line = line.replace("file=overlay.qcow2,if=virtio,format=qcow2",
                        f"file={image},if=virtio,format=raw,snapshot=on")  # fmt: skip
    line = line.replace("user,id=net0", f"user,id=net0,hostfwd=tcp:127.0.0.1:{port}-:22")
    ssh = ["ssh", "-q", "-i", str(deploy / "id_ed25519"), "-p", str(port), "-o",
           "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o",
           "ConnectTimeout=5", "root@127.0.0.1", "true"]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        argv = shlex.split(line)
        log = next(index for index, word in enumerate(argv) if "logfile=" in word)
        argv[log] = argv[log].partition(",logfile=")[0]
        start = time.perf_counter()
        qemu = subprocess.Popen(argv, cwd=folder, stdout=subprocess.DEVNULL)
        try:
            while subprocess.run(ssh, check=False, stderr=subprocess.DEVNULL).returncode:
                time.sleep(0.2)
            return time.perf_counter() - start
        finally:
            qemu.kill()
            qemu.wait()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder)
        yoctovirt(workspace, "build", "reference")
        deploy = (workspace / "build-reference" / "deploy").resolve()
        pairs = []
        for _ in range(ROUNDS):
            mine, command = ours(workspace)
            peer = raw(command, deploy)
            pairs.append((mine, peer))
            print(f"yoctovirt {mine:6.1f} s   raw QEMU and ssh {peer:6.1f} s   {mine / peer:5.2f}")
        ratio = statistics.median(mine / peer for mine, peer in pairs)
        print(f"start to the first SSH command: {ratio:.2f} x raw (median of {ROUNDS})")


if __name__ == "__main__":
    main()
