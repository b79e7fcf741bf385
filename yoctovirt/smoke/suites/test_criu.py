"""Suite criu: processes are frozen to files and go on where they were."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import pytest

from yoctovirt.smoke.checked import SmokeNode
from yoctovirt.smoke.cleanup import Undo
from yoctovirt.smoke.suites.nets import unique

DIAGNOSTICS = (
    "criu --version",
    "criu check --all",
    'for log in /tmp/yv*/*.log; do echo "# $log"; grep -v \'(0.0\' "$log" | tail -n 30; done',
)
pytestmark = pytest.mark.usefixtures("started")

#: Counts in memory, and tells it in a file, with a word that it keeps in memory.
_COUNTER = """#!/bin/sh
word=$1
cd "$2" || exit 1
n=0
while [ $n -lt 3000 ]; do
    n=$((n + 1))
    echo "$n $word" >count.new
    mv count.new count
    sleep 0.2
done
"""
#: A client that gets back from a server what it sends, numbered; both in one process tree.
_TALK = """
import os, socket, sys, time
folder = sys.argv[1]
server = socket.socket()
server.bind(("127.0.0.1", 0))
server.listen(1)
if os.fork() == 0:
    link = socket.create_connection(server.getsockname())
    server.close()
    for number in range(3000):
        link.sendall(b"%08d" % number)
        answer = b""
        while len(answer) < 8:
            part = link.recv(8 - len(answer))
            if not part:
                sys.exit("the connection was closed")
            answer += part
        if int(answer) != number:
            sys.exit("sent %d, got %r" % (number, answer))
        with open(folder + "/count.new", "w") as out:
            out.write("%d -\\n" % number)
        os.rename(folder + "/count.new", folder + "/count")
        time.sleep(0.2)
    sys.exit(0)
link, _ = server.accept()
server.close()
while True:
    data = link.recv(8)
    if not data:
        break
    link.sendall(data)
"""
#: What criu's documentation asks of a kernel ("Linux kernel" in its wiki).
_CONFIG = (
    "CHECKPOINT_RESTORE", "NAMESPACES", "UTS_NS", "IPC_NS", "PID_NS", "NET_NS", "FHANDLE",
    "EVENTFD", "EPOLL", "UNIX_DIAG", "INET_DIAG", "PACKET_DIAG", "NETLINK_DIAG",
)  # fmt: skip


@dataclass(frozen=True)
class Dumped:
    """A process that can be dumped and restored."""

    folder: str
    pid: int


def _start(node: SmokeNode, undo: Undo, command: str) -> Dumped:
    """Start *command* (with ``{folder}``) away from the SSH session, and see it count."""
    folder = f"/tmp/{unique()}"
    undo(f"rm -rf {folder}")
    undo(f"[ ! -s {folder}/pid ] || kill -9 -$(cat {folder}/pid) 2>/dev/null; true")
    filled = command.format(folder=folder)
    out = node.check(
        f"""mkdir -p {folder}/images && cd {folder} || exit 1
        setsid sh -c 'echo $$ >{folder}/pid; exec {filled}' \\
            </dev/null >{folder}/out 2>&1 &
        turns=0
        until [ -s {folder}/count ]; do
            turns=$((turns + 1))
            [ $turns -lt 40 ] || {{ cat {folder}/out; exit 1; }}
            sleep 0.5
        done
        cat {folder}/pid""",
        why="the process that is to be dumped does not run",
    )
    return Dumped(folder, int(out))


def _count(node: SmokeNode, process: Dumped) -> tuple[int, str]:
    number, word = node.check(f"cat {process.folder}/count").split()
    return int(number), word


def _log(process: Dumped, name: str) -> str:
    """Command that shows why criu did not do it, and keeps its status."""
    path = f"{process.folder}/images/{name}.log"
    return f"|| {{ status=$?; grep -e Error -e Warn {path} | tail -n 8; exit $status; }}"


def _dump_and_restore(node: SmokeNode, process: Dumped, more: str = "") -> tuple[int, int]:
    """Dump *process*, see it gone and still, restore it; return its counts before and after."""
    options = f"-D {process.folder}/images -v2 {more}"
    node.check(
        f"criu dump -t {process.pid} {options} -o dump.log {_log(process, 'dump')}",
        why="criu cannot dump the process",
    )
    assert not node.run(f"test -d /proc/{process.pid}").ok, "it was dumped, and still runs"
    before, word = _count(node, process)
    node.run("sleep 1")
    still, _ = _count(node, process)
    assert still == before, f"it was dumped, and counts on from {before} to {still}"
    node.check(
        f"criu restore -d {options} -o restore.log {_log(process, 'restore')}",
        why="criu cannot restore the process",
    )
    assert node.run(f"test -d /proc/{process.pid}").ok, (
        f"criu says that it restored process {process.pid}, and there is none"
    )
    node.run(
        f"turns=0; until [ $(cut -d' ' -f1 {process.folder}/count) -gt {before + 2} ] || "
        "[ $turns -gt 20 ]; do turns=$((turns + 1)); sleep 0.5; done"
    )
    after, word_after = _count(node, process)
    assert after > before, f"it was restored, and stands still at {before}"
    assert word_after == word, f"it had {word} in memory, now it has {word_after}"
    return before, after


def test_check(node: SmokeNode) -> None:
    """The kernel has what criu needs."""
    node.check("command -v criu", why="criu is not on the node")
    out = node.check("criu check 2>&1", why="criu says that the kernel lacks what it needs")
    assert "Looks good" in out, (
        f"criu check exits with 0, and does not say that all is good:\n{out}"
    )


def test_kernel_config(node: SmokeNode) -> None:
    """The kernel's configuration has the options that criu asks for."""
    node.check("criu --version", why="criu is not on the node")
    config = node.run(
        "zcat /proc/config.gz 2>/dev/null || cat /boot/config-$(uname -r) 2>/dev/null"
    ).output
    if "CONFIG_" not in config:
        # Not at hand: what the most important option makes is.
        node.check(
            "test -e /proc/self/timers && test -e /proc/sys/kernel/ns_last_pid",
            why="the kernel was made without CONFIG_CHECKPOINT_RESTORE",
        )
        return
    lacking = [
        name for name in _CONFIG
        if f"\nCONFIG_{name}=y" not in config and f"\nCONFIG_{name}=m" not in config
    ]  # fmt: skip
    assert not lacking, f"the kernel was made without {', '.join(lacking)}"


def test_memory_and_file(node: SmokeNode, undo: Undo) -> None:
    """A dumped process is gone; restored, it has its memory and goes on where it was."""
    script = f"/tmp/{unique()}.sh"
    undo(f"rm -f {script}")
    word = secrets.token_hex(8)
    node.put(_COUNTER.encode(), script, 0o755)
    process = _start(node, undo, f"/bin/sh {script} {word} {{folder}}")
    _, seen = _count(node, process)
    assert seen == word, f"the process was given {word}, and tells {seen}"
    _dump_and_restore(node, process)


def test_tcp_connection(node: SmokeNode, undo: Undo) -> None:
    """A TCP connection on the loopback lives through a dump: no byte is lost."""
    script = f"/tmp/{unique()}.py"
    undo(f"rm -f {script}")
    node.check("command -v python3", why="the suite needs python3 on the node for a TCP server")
    node.put(_TALK.encode(), script)
    process = _start(node, undo, f"python3 {script} {{folder}}")
    _dump_and_restore(node, process, "--tcp-established")
    errors = node.check(f"cat {process.folder}/out").strip()
    assert not errors, f"the connection did not live through the dump:\n{errors}"
