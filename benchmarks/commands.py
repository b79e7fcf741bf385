"""One command over the serial console and over SSH, beside labgrid's ShellDriver and SSHDriver.

On one running node, in turns: ``commands.py WORKSPACE NODE [PYTHON]`` takes one that runs, and a
Python that has labgrid; without arguments the reference node is booted, and labgrid installed
into a virtual environment of its own. Goal: half of labgrid's time. Where the layers are at hand
oeqa's QemuRunner is a peer, too; it comes to no node that runs, and boots its own of that image.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from oeqa_place import Oeqa, oeqa_in
from peers import ask, python_with

from yoctovirt.boot.node import Node, find_node
from yoctovirt.boot.results import CommandResult
from yoctovirt.config.workspace import find_workspace

ROUNDS, TURNS = 20, 3
CALL = [sys.executable, "-m", "yoctovirt", "--workspace"]
PEER = Path(__file__).with_name("labgrid_peer.py")


def measure(run: Callable[[str], CommandResult]) -> list[float]:
    took = []
    for number in range(ROUNDS + 1):
        start = time.perf_counter()
        result = run(f"echo word-{number}")
        if number:  # the first one makes the connection
            took.append(time.perf_counter() - start)
        assert (result.output, result.exit_status) == (f"word-{number}\n", 0), result
    return took


def ours(node: Node) -> dict[str, list[float]]:
    with node.serial.session():
        serial = measure(node.serial.run)
    over_ssh = measure(node.ssh.run)
    node.close()
    return {"serial": serial, "ssh": over_ssh}


def labgrids(node: Node, python: str) -> dict[str, list[float]]:
    # labgrid does not leave its own prompt behind: a new shell is what it expects.
    with node.serial.session() as console:
        node.serial.log_in(console, asked=False)
        console.sendline("exit")
        # QEMU drops what the guest has not read when its client goes.
        console.expect("login: ", timeout=node.serial.scaled(60))
    address = node.address()
    prompt = r"(?:\x1b\[\?2004h)?(?:root@\S+:~# |[/~]\S* # )"
    argv = [python, str(PEER), str(node.serial.socket_path), str(address.port),
            str(address.key), str(ROUNDS), prompt]  # fmt: skip
    found: dict[str, list[float]] | None = ask("labgrid", argv)
    return found or {"serial": [], "ssh": []}


def compare(node: Node, python: str, oeqa: Oeqa | None) -> None:
    all_ours: dict[str, list[float]] = {"serial": [], "ssh": []}
    peers: dict[str, dict[str, list[float]]] = {"labgrid": {"serial": [], "ssh": []}}
    for _ in range(TURNS):
        for kind, took in ours(node).items():
            all_ours[kind] += took
        for kind, took in labgrids(node, python).items():
            peers["labgrid"][kind] += took
    if oeqa:
        found = oeqa.measure(Path(node.state.deploy_dir), ROUNDS)
        peers["oeqa"] = {kind: found[kind] for kind in all_ours}
    for kind, times in all_ours.items():
        mine = statistics.median(times)
        print(f"{kind:6}  yoctovirt {mine * 1000:7.1f} ms", end="")
        for name, theirs in peers.items():
            peer = statistics.median(theirs[kind] or [float("nan")])
            print(f"   {name} {peer * 1000:7.1f} ms {mine / peer:5.2f}", end="")
        print(f" (medians of {len(times)} each)")


def boot(folder: Path) -> None:
    for words in (["build", "reference"], ["boot", "reference", "--detach", "--no-kvm"]):
        subprocess.run([*CALL, str(folder), *words], check=True, capture_output=True)


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder, name = Path(temporary) / "workspace", "reference"
        if len(sys.argv) > 2:
            folder, name = Path(sys.argv[1]), sys.argv[2]
        python = python_with("labgrid", Path(temporary), sys.argv[3:])
        oeqa = oeqa_in(Path(temporary))
        own = len(sys.argv) < 3
        try:
            if own:
                boot(folder)
            compare(find_node(find_workspace(folder), name), python, oeqa)
        finally:
            if own:
                stop = [*CALL, str(folder), "stop", "--all", "--now"]
                subprocess.run(stop, check=False, capture_output=True)


if __name__ == "__main__":
    main()
