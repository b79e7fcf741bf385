"""Suite containerd: the daemon below Docker, asked by itself."""

from __future__ import annotations

import re
import secrets

from yoctovirt.smoke.checked import SmokeNode
from yoctovirt.smoke.cleanup import Undo
from yoctovirt.smoke.suites.aids.busybox import make_tree

COMMANDS = ("containerd",)
UNITS = ("containerd.service",)
DIAGNOSTICS = ("ctr plugins ls", "ctr containers ls")


def test_daemon(node: SmokeNode) -> None:
    """The daemon answers with its version, and its overlayfs snapshotter works."""
    told = node.check("ctr version", timeout=90, why="containerd does not answer")
    server = told.partition("Server:")[2]
    assert re.search(r"Version:\s+\S*\d+\.\d+", server), f"no version of the server:\n{told}"
    plugins = node.check("ctr plugins ls")
    found = re.search(r"^io\.containerd\.snapshotter\S*\s+overlayfs\s+.*$", plugins, re.MULTILINE)
    assert found, f"containerd has no overlayfs snapshotter:\n{plugins}"
    assert found[0].split()[-1] == "ok", f"the overlayfs snapshotter does not work: {found[0]}"


def test_run(node: SmokeNode, undo: Undo) -> None:
    """A container of a file tree runs, its exit status comes through, and it is gone after."""
    name = f"yoctovirt-{secrets.token_hex(4)}"
    tree = make_tree(node)
    undo(f"rm -rf {tree}")
    undo(f"ctr tasks kill -s KILL {name} 2>/dev/null; ctr containers rm {name} 2>/dev/null; true")
    done = node.run(
        f"ctr run --rm --rootfs {tree} {name} /bin/sh -c 'echo {name} pid $$; exit 42'", timeout=90
    )
    assert done.exit_status == 42, (
        f"the container exits with 42, ctr run did with {done.exit_status}:\n{done.output}"
    )
    assert f"{name} pid 1" in done.output, f"the container printed {done.output!r}"
    left = node.check("ctr containers ls -q").split()
    assert name not in left, "a container that was run with --rm is still there"
