"""OpenEmbedded's own QemuRunner as a peer: a Python and a source tree that it runs from.

Both are made for the run, outside of the project: poky as scarthgap pins it, from
``YOCTOVIRT_LAYER_MIRRORS`` or the public host, and qemu.qmp, which QemuRunner expects in bitbake's
sysroot. bitbake is not needed: runqemu is given the image's qemuboot.conf.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peers import ask, python_with

from yoctovirt.base.process import CommandLog
from yoctovirt.base.screen import Screen
from yoctovirt.config.layers import Checkout
from yoctovirt.config.selection import load_releases
from yoctovirt.errors import YoctovirtError

PEER = Path(__file__).with_name("oeqa_peer.py")


@dataclass(frozen=True)
class Oeqa:
    """Where QemuRunner is run from."""

    python: str
    poky: Path
    qmp: Path

    def measure(self, deploy: Path, commands: int) -> dict[str, Any]:
        """Boot the image in *deploy* and run so many *commands*; return what the peer printed."""
        asked = {
            "poky": str(self.poky),
            "qmp": str(self.qmp),
            "conf": str(next(deploy.glob("*.qemuboot.conf"))),
            "rootfs": str(next(deploy.glob("*.ext4"))),
            "key": str(deploy / "id_ed25519"),
            "commands": commands,
        }
        argv = [self.python, str(PEER), json.dumps(asked)]
        found: dict[str, Any] | None = ask("oeqa", argv)
        return found or {"cold": float("nan"), "serial": [], "ssh": []}


def oeqa_in(folder: Path) -> Oeqa | None:
    """Make it in *folder*; None, with the reason printed, where the layers are not at hand."""
    (release,) = load_releases(["scarthgap"])
    poky = release.pin(release.info.core)
    try:
        Checkout(folder / "layers", CommandLog(), Screen(quiet=True)).all([poky])
    except YoctovirtError as exc:
        print(f"without oeqa, whose layer is not at hand: {exc}")
        return None
    python = python_with("qemu.qmp", folder)
    find = "import os, qemu.qmp; print(os.path.dirname(qemu.qmp.__file__))"
    said = subprocess.run([python, "-c", find], check=True, text=True, capture_output=True)
    return Oeqa(python, folder / "layers" / poky.name, Path(said.stdout.strip()))
