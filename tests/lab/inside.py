"""Hold the nodes of the lab in namespaces that end with this process.

A program of its own: ``python -I inside.py SPEC``, with a JSON text. It stands behind the guard
of :class:`yoctovirt.base.process.Guarded`. Its child is the first process of a new PID and
mount namespace, and starts the nodes. When that child is gone the kernel ends every process of
every node, and with the last one the mounts, bridges and network cards. This process, outside,
waits for that, and removes the control groups, which the kernel leaves.

On SIGTERM the nodes are ended at once. When the file ``stopping`` of the specification appears
they are shut down in order, so that their file systems can be kept. The file ``ready`` appears
when all nodes have been started.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWNET = (
    0x00020000, 0x20000000, 0x04000000, 0x08000000, 0x40000000,
)  # fmt: skip
PR_SET_PDEATHSIG = 1
SIGRTMIN = 34
#: systemd's word for "power off".
POWER_OFF = SIGRTMIN + 4
SHUTDOWN_SECONDS = 240.0

_libc = ctypes.CDLL(None, use_errno=True)


def run(*argv: str) -> None:
    """Run a command; its words on failure end this program."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(argv)}: {done.stderr.strip() or done.returncode}")


def unshare(flags: int) -> None:
    """Leave the namespaces named by *flags* (unshare(2))."""
    if _libc.unshare(flags):
        sys.exit(f"unshare: {os.strerror(ctypes.get_errno())}")


def start_switch(address: str, host_card: str) -> subprocess.Popen[bytes]:
    """Make the network that joins the nodes: a namespace with a bridge, and the host's card."""
    switch = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
    mine = Path("/proc/self/ns/net").stat().st_ino
    while Path(f"/proc/{switch.pid}/ns/net").stat().st_ino == mine:
        time.sleep(0.02)
    on_switch = ["nsenter", f"--net=/proc/{switch.pid}/ns/net", "ip"]
    run("ip", "link", "add", host_card, "type", "veth", "peer", "name", "host",
        "netns", str(switch.pid))  # fmt: skip
    run("ip", "addr", "add", address, "dev", host_card)
    run("ip", "link", "set", host_card, "up")
    run(*on_switch, "link", "add", "bridge", "type", "bridge")
    for card in ("bridge", "host"):
        run(*on_switch, "link", "set", card, "up")
    run(*on_switch, "link", "set", "host", "master", "bridge")
    return switch


def start_node(node: dict[str, Any], switch: int) -> subprocess.Popen[bytes]:
    """Start one node; return the process whose child is its systemd."""
    run("mount", "-t", "overlay", "overlay", "-o", node["options"], node["root"])
    Path(node["cgroup"]).mkdir()
    # A cgroup namespace has its root where the process was when it was made.
    script = (
        f"echo $$ >{node['cgroup']}/cgroup.procs; "
        'exec unshare --mount --pid --uts --ipc --net --cgroup --fork --kill-child "$@"'
    )
    with Path(node["console"]).open("ab") as console:
        process = subprocess.Popen(
            ["sh", "-c", script, "sh", "sh", node["script"],
             node["name"], node["root"], node["address"], node["hosts"]],
            stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True,
        )  # fmt: skip
    pid = first_child(process)
    card = f"v{pid}"
    on_switch = ["nsenter", f"--net=/proc/{switch}/ns/net", "ip"]
    run(*on_switch, "link", "add", card, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
    run(*on_switch, "link", "set", card, "master", "bridge", "up")
    return process


def first_child(process: "subprocess.Popen[bytes]") -> int:
    """Return the only child of *process*, as soon as it has one."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while process.poll() is None:
        found = children.read_text(encoding="ascii").split()
        if found:
            return int(found[0])
        time.sleep(0.02)
    sys.exit(f"a node could not be started (status {process.returncode})")


def hold(spec: dict[str, Any]) -> int:
    """Be the first process of the lab's namespaces, until all nodes have ended."""
    run("mount", "--make-rprivate", "/")
    run("mount", "-t", "proc", "proc", "/proc")
    switch = start_switch(spec["address"], spec["host_card"])
    nodes = [start_node(node, switch.pid) for node in spec["nodes"]]

    Path(spec["ready"]).touch()
    asked = 0.0
    while any(node.poll() is None for node in nodes):
        if not asked and Path(spec["stopping"]).exists():
            asked = time.monotonic()
            for node in nodes:
                if node.poll() is None:
                    os.kill(first_child(node), POWER_OFF)
        if asked and time.monotonic() - asked > SHUTDOWN_SECONDS:
            return 1
        time.sleep(0.2)
    return 0


def remove_cgroups(top: Path) -> None:
    """Remove the control groups below *top*; their processes have been told to end."""
    end = time.monotonic() + 10
    while top.is_dir() and time.monotonic() < end:
        for folder, _, _ in os.walk(top, topdown=False):
            try:
                Path(folder).rmdir()
            except OSError:
                continue
        time.sleep(0.05)


def main() -> int:
    """Start the child that holds the nodes, and clean up after it."""
    spec = json.loads(sys.argv[1])
    Path(spec["cgroup"]).mkdir()
    unshare(CLONE_NEWNS | CLONE_NEWPID)
    child = os.fork()
    if not child:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        status = 1
        try:
            status = hold(spec)
        except SystemExit as error:
            print(error.code, file=sys.stderr, flush=True)
        finally:
            os._exit(status)

    def end(_number: int, _frame: "FrameType | None") -> None:
        os.kill(child, signal.SIGKILL)

    signal.signal(signal.SIGTERM, end)
    _, status = os.waitpid(child, 0)
    remove_cgroups(Path(spec["cgroup"]))
    return os.waitstatus_to_exitcode(status) and 1


if __name__ == "__main__":
    sys.exit(main())
