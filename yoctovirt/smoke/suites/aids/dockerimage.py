"""An image for Docker, of the node's own BusyBox: nodes have no network to pull one from."""

from __future__ import annotations

import secrets

from yoctovirt.smoke.checked import SmokeNode
from yoctovirt.smoke.cleanup import Undo
from yoctovirt.smoke.suites.aids.busybox import APPLETS, make_archive

#: What containers of the suites call.
CONTAINER_APPLETS = (*APPLETS, "chroot", "dd", "touch", "wc")


def import_image(node: SmokeNode, undo: Undo, tool: str = "docker") -> str:
    """Import an image with *tool* (docker, podman) and return its name."""
    name = f"yoctovirt-{secrets.token_hex(4)}:smoke"
    archive = make_archive(node, CONTAINER_APPLETS)
    undo(f"rm -f {archive}")
    undo(f"{tool} rmi -f {name} >/dev/null 2>&1; true", timeout=90)
    node.check(f"{tool} import {archive} {name}", timeout=120, why=f"{tool} import failed")
    return name


def container_name(undo: Undo, tool: str = "docker") -> str:
    """Return a new name for a container, which is removed at the end."""
    name = f"yoctovirt-{secrets.token_hex(4)}"
    undo(f"{tool} rm -f {name} >/dev/null 2>&1; true", timeout=90)
    return name
