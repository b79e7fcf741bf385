"""Start to the first SSH command: cold, warm, and two nodes together, on one image in one run.

The peers of the cold start: raw QEMU with ssh in a loop, the shortest script that a person would
write (the same QEMU command line with snapshot=on, a fixed port, no checking of keys), labgrid's
QEMUDriver, ShellDriver and SSHDriver, and, where the layers are at hand, oeqa's QemuRunner with
runqemu. All take turns. Ours end when ``boot`` returns: it is logged in over SSH then, and after a
warm start has run a command; theirs end with ``true``. Goals: cold 1.05 x raw, warm 1.5 s or 0.1 x
cold. ``boot.py [PYTHON]`` takes a Python that has labgrid; without it labgrid is installed.
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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from oeqa_place import oeqa_in
from peers import as_installed, ask, python_with

ROUNDS = 3
PEER = Path(__file__).with_name("labgrid_boot.py")
#: Ready is what the peers call so: a command over SSH.
BOOT = ("--detach", "--no-kvm", "--no-settle")


def yoctovirt(workspace: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "yoctovirt", "--workspace", str(workspace), *arguments]
    done = subprocess.run(argv, env=as_installed(), check=False, text=True, capture_output=True)
    assert done.returncode == 0, f"{shlex.join(argv)}\n{done.stdout}{done.stderr}"
    return done


def ours(workspace: Path, role: str, *options: str) -> float:
    """Return the seconds until *role* is booted; that its nodes run commands is looked at then."""
    start = time.perf_counter()
    said = yoctovirt(workspace, "boot", role, *options).stderr
    taken = time.perf_counter() - start
    for state in json.loads(yoctovirt(workspace, "nodes", "--json").stdout):
        yoctovirt(workspace, "ssh", state["name"], "true")
    assert ("--warm" in options) == ("resumed from its warm state" in said), said
    yoctovirt(workspace, "stop", "--all", "--now")
    return taken


def command_of(workspace: Path, deploy: Path) -> list[str]:
    """Return the QEMU command of the node, without our console, monitors and overlay."""
    yoctovirt(workspace, "boot", "reference", *BOOT)
    (state,) = json.loads(yoctovirt(workspace, "nodes", "--json").stdout)
    yoctovirt(workspace, "stop", "reference", "--now")
    image = next(deploy.glob("*.ext4"))
    argv, words = [], iter(state["command"])
    for word in words:
        if word in ("-qmp", "-chardev", "-serial", "-name", "-display"):
            next(words)
        elif word != "-S":
            argv.append(word.replace("file=overlay.qcow2,if=virtio,format=qcow2",
                                     f"file={image},if=virtio,format=raw,snapshot=on"))  # fmt: skip
    assert any("snapshot=on" in word for word in argv), argv
    return argv


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def raw_node(command: list[str], deploy: Path) -> Iterator[list[str]]:
    """Start QEMU and yield the words of an ssh command once it answers."""
    port = free_port()
    argv = [word.replace("user,id=net0", f"user,id=net0,hostfwd=tcp:127.0.0.1:{port}-:22")
            for word in command]  # fmt: skip
    ssh = ["ssh", "-q", "-i", str(deploy / "id_ed25519"), "-p", str(port), "-o",
           "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o",
           "ConnectTimeout=5", "root@127.0.0.1"]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        qemu = subprocess.Popen([*argv, "-display", "none", "-serial", "null"], cwd=folder,
                                stdout=subprocess.DEVNULL)  # fmt: skip
        try:
            while subprocess.run([*ssh, "true"], check=False, stderr=subprocess.DEVNULL).returncode:
                assert qemu.poll() is None, "QEMU has ended"
                time.sleep(0.2)
            yield ssh
        finally:
            qemu.kill()
            qemu.wait()


def raw(command: list[str], deploy: Path) -> float:
    start = time.perf_counter()
    with raw_node(command, deploy):
        return time.perf_counter() - start


def labgrids(command: list[str], deploy: Path, python: str) -> float:
    asked = {"argv": command, "key": str(deploy / "id_ed25519"), "port": free_port()}
    argv = [python, str(PEER), json.dumps(asked)]
    taken: float | None = ask("labgrid", argv)
    return float("nan") if taken is None else taken


def rounds(runs: dict[str, Callable[[], float]], count: int = ROUNDS) -> dict[str, list[float]]:
    """Let *runs* take turns *count* times, and show the times."""
    took: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(count):
        for name, run in runs.items():
            took[name].append(run())
        print("   ".join(f"{name} {times[-1]:6.1f} s" for name, times in took.items()), flush=True)
    return took


def ratio(took: dict[str, list[float]], one: str, other: str) -> float:
    """Return the median of the ratios within the rounds."""
    return statistics.median(a / b for a, b in zip(took[one], took[other], strict=True))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        python = python_with("labgrid", Path(folder), sys.argv[1:])
        oeqa = oeqa_in(Path(folder))
        workspace = Path(folder) / "workspace"
        workspace.mkdir()
        yoctovirt(workspace, "build", "reference")
        deploy = (workspace / "build-reference" / "deploy").resolve()
        try:
            command = command_of(workspace, deploy)
            yoctovirt(workspace, "boot", "reference", "--warm", *BOOT)  # keeps the state
            yoctovirt(workspace, "stop", "--all", "--now")
            runs: dict[str, Callable[[], float]] = {
                "cold": lambda: ours(workspace, "reference", *BOOT),
                "raw QEMU and ssh": lambda: raw(command, deploy),
                "labgrid": lambda: labgrids(command, deploy, python),
                "warm": lambda: ours(workspace, "reference", "--warm", *BOOT),
                "two together": lambda: ours(workspace, "reference:2", *BOOT),
            }
            if oeqa:
                runs["oeqa"] = lambda: float(oeqa.measure(deploy, 0)["cold"])
            took = rounds(runs)
        finally:
            yoctovirt(workspace, "stop", "--all", "--now")
    peers = {"raw QEMU and ssh": "raw QEMU", "labgrid": "labgrid", "oeqa": "oeqa"}
    cold = [
        f"{ratio(took, 'cold', run):.2f} x {peer}" for run, peer in peers.items() if run in took
    ]
    print(
        f"cold: {', '.join(cold)}; "
        f"warm: {statistics.median(took['warm']):.1f} s, "
        f"{ratio(took, 'warm', 'cold'):.2f} x cold; "
        f"two nodes: {ratio(took, 'two together', 'cold'):.2f} x one (medians of {ROUNDS})"
    )


if __name__ == "__main__":
    main()
