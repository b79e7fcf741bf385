"""What would keep a node from starting, found before it is tried."""

from __future__ import annotations

from yoctovirt.base.screen import Screen
from yoctovirt.config.workspace import Workspace
from yoctovirt.doctor.preflight import before_boot


def check_host(
    workspace: Workspace, name: str, memory_mib: int, machine: str | None, screen: Screen
) -> None:
    """Raise InfrastructureError for what this host lacks for node *name*; show warnings.

    *machine* is None where QEMU comes with the layers. What QEMU itself tells at once, such
    as a port in use, is left to it.
    """
    before_boot(workspace.nodes, memory_mib, machine, name, screen)
