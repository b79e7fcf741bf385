"""Start QEMU from a state that was kept: memory and devices from a file, disks behind overlays."""

from __future__ import annotations

import base64
import os
import shlex
import time
from dataclasses import dataclass
from pathlib import Path

from yoctovirt.base.deadline import Deadline
from yoctovirt.base.process import CommandLog, run_quick
from yoctovirt.boot.access import write_keys
from yoctovirt.boot.node import Node
from yoctovirt.boot.results import NodeUnreachableError
from yoctovirt.errors import BootError

#: Memory and devices in the folder of a node's kept state; its private key; its disks.
STATE_FILE, KEY_FILE, DISKS = "state", "id", "disks"
#: Seconds, scaled: for QEMU to load the state, and for sshd to answer after it.
LOAD_SECONDS, ANSWER_SECONDS = 30.0, 20.0
#: Bytes from the host that go into the guest's pool.
_SEED_BYTES = 256
#: The kernel mixes in what is written at once, and draws new keys from it now and then; two
#: nodes from one state must not wait for that. Newer kernels (5.18, with QEMU's vmgenid) have
#: drawn them by themselves at the resume; others are told (RNDRESEEDCRNG, linux/random.h).
_FRESH = """\
date -u -s "@{now}" >/dev/null 2>&1 || date -u -s "{text}" >/dev/null 2>&1 || echo clock
echo {seed} > /dev/urandom || echo pool
set -- /sys/bus/*/drivers/vmgenid/*:*
if [ -e "$1" ]; then echo forked
elif perl -e 'open(F, ">", "/dev/urandom") and ioctl(F, 0x5207, 0) or exit 1' 2>/dev/null ||
    python3 -c 'import fcntl; fcntl.ioctl(open("/dev/urandom", "w"), 0x5207)' 2>/dev/null
then echo reseeded
else echo later; fi
"""


class ResumeError(BootError):
    """A kept state could not be resumed; a cold boot may succeed."""


@dataclass(frozen=True)
class Resume:
    """The kept state of one node."""

    folder: Path
    machine: str  #: versioned machine type, such as ``pc-q35-7.2``
    host_key: str  #: of the node's sshd

    def make_disks(self, folder: Path, log: CommandLog) -> None:
        """Lay overlays for the node with *folder* over the kept disks, which nobody writes."""
        for disk in sorted((self.folder / DISKS).iterdir()):
            run_quick(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(disk),
                       str(folder / disk.name)], log)  # fmt: skip

    def qemuparams(self) -> tuple[str, ...]:
        """Return the QEMU arguments that make it wait for the state, and load it."""
        source = f"exec:cat<{shlex.quote(str(self.folder / STATE_FILE))}"
        return (f"-machine type={self.machine}", f"-incoming {shlex.quote(source)}")

    def wait_loaded(self, node: Node) -> None:
        """Wait until QEMU has loaded the state; the guest does not run yet.

        Raises NodeUnreachableError where QEMU ends over it, ResumeError where it takes too long.
        """
        import paramiko  # noqa: F401  # a tenth of a second, which is QEMU's here

        deadline = Deadline(LOAD_SECONDS * node.state.timeout_scale)
        while node.qmp.execute("query-status")["status"] == "inmigrate":
            if deadline.expired:
                raise ResumeError(f"the state was not loaded within {deadline.seconds:.0f} s")
            time.sleep(0.02)

    def write_keys(self, node: Node) -> None:
        """Give *node* the keys that it had when its state was kept."""
        write_keys(node, (self.folder / KEY_FILE).read_text(encoding="utf-8"), self.host_key)

    def reach(self, node: Node) -> str:
        """Connect by SSH, set clock and random numbers right; return what became of the latter.

        That is ``forked`` (the kernel did it at the resume), ``reseeded`` (we told it to), or
        ``later`` (the kernel will, within minutes). Raises ResumeError.
        """
        try:
            node.ssh.connect(ANSWER_SECONDS * node.state.timeout_scale)
            return freshen(node)
        except NodeUnreachableError as error:
            raise ResumeError(f"the resumed node does not answer: {error.message}") from error


def freshen(node: Node) -> str:
    """Set the clock of *node* to ours, and put random bytes of the host into its pool.

    Returns what became of its random numbers, see :meth:`Resume.reach`; raises ResumeError
    where the clock cannot be set.
    """
    now = time.time()
    script = _FRESH.format(
        now=f"{now:.3f}",
        text=time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(now + 0.5)),
        seed=base64.b64encode(os.urandom(_SEED_BYTES)).decode(),
    )
    words = node.run(script).output.split()
    for word, what in (("clock", "the clock cannot be set"), ("pool", "no seed can be written")):
        if word in words:
            raise ResumeError(f"node {node.name}: {what}")
    return words[-1] if words else "later"
