"""The smoke checks beside plain shell: the same operations, boot included, in one run.

The peer: raw QEMU, ssh in a loop until it answers, then ``smoke_peer.sh`` with one operation
after the other. Ours: ``yoctovirt smoke reference`` with the checks that do the same (and see more
closely whether it worked), from a cold and from a warm start. Goal: 0.6 x the peer's time.
``smoke.py [-v] [ROUNDS]``: -v shows what each step of the peer took.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from boot import BOOT, ROUNDS, command_of, ratio, raw_node, rounds, yoctovirt

PEER = Path(__file__).with_name("smoke_peer.sh")
#: The checks in which the operations of the peer are, in its order. Its container is of LXC's
#: busybox template; ours are of that one, and of one of ours, too.
CHECKS = {
    "docker": "daemon image_from_tarball run_without_network run_with_network exec removal",
    "lxc": "create start attach network busybox_template stop destroy",
    "openvswitch": "ping drop_flow learning_switch",
    "criu": "check memory_and_file",
    "irqbalance": "daemon policy",
    "libvirt": "daemon define_undefine domain_runs console lxc_domain",
    "kvm": "cpu_flags module device linux_guest",
}


def plain(command: list[str], deploy: Path) -> float:
    """Boot raw QEMU, run the peer's script on the node; return the seconds."""
    start = time.perf_counter()
    with raw_node(command, deploy) as ssh:
        with PEER.open() as script:
            done = subprocess.run([*ssh, "sh -s"], check=False, text=True, stdin=script,
                                  capture_output=True)  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        if "-v" in sys.argv:
            print(done.stdout)
        return time.perf_counter() - start


def ours(workspace: Path, *options: str) -> float:
    """Boot, check and stop; return the seconds."""
    wanted = [f"{suite}::{name}" for suite, names in CHECKS.items() for name in names.split()]
    asked = [word for check in wanted for word in ("--check", check)]
    start = time.perf_counter()
    yoctovirt(workspace, "smoke", "reference", "--no-kvm", "--no-settle", *options, *asked)
    taken = time.perf_counter() - start
    (record,) = json.loads(yoctovirt(workspace, "runs", "list", "--json", "--last", "1").stdout)
    run = json.loads((workspace / "runs" / record["id"] / "run.json").read_text())
    # One that is flaky was made twice, as the peer makes it: its time is in ours.
    good = ("passed", "flaky")
    passed = [check["id"] for check in run["checks"] if check["outcome"] in good]
    assert sorted(passed) == sorted(wanted), (passed, wanted)
    return taken


def main() -> None:
    count = next((int(word) for word in sys.argv[1:] if word.isdigit()), ROUNDS)
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder)
        yoctovirt(workspace, "build", "reference")
        deploy = (workspace / "build-reference" / "deploy").resolve()
        try:
            command = command_of(workspace, deploy)
            yoctovirt(workspace, "boot", "reference", "--warm", *BOOT)  # keeps the state
            yoctovirt(workspace, "stop", "--all", "--now")
            took = rounds({
                "plain shell": lambda: plain(command, deploy),
                "cold": lambda: ours(workspace),
                "warm": lambda: ours(workspace, "--warm"),
            }, count)  # fmt: skip
        finally:
            yoctovirt(workspace, "stop", "--all", "--now")
    print(
        f"smoke: cold {ratio(took, 'cold', 'plain shell'):.2f} x plain shell, "
        f"warm {ratio(took, 'warm', 'plain shell'):.2f} x (medians of {count})"
    )


if __name__ == "__main__":
    main()
