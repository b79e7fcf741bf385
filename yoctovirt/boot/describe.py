"""What is known of a node before its QEMU runs, for ``node.json``."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from yoctovirt.boot.accel import Accelerator
from yoctovirt.boot.node import NodeState
from yoctovirt.boot.qemuargs import memory_mib

if TYPE_CHECKING:
    from yoctovirt.boot.launcher import BootRequest


def describe(request: BootRequest, accelerator: Accelerator, argv: list[str]) -> NodeState:
    """Return the state of the node of *request*, which *argv* will start."""
    deploy, role, options = request.deploy, request.role, request.options_with_role()
    smp = (deploy.qemuboot.words("qb_smp") or ["-smp", "1"])[-1].split(",")[0]
    return NodeState(
        name=request.name,
        role=role.name if role else None,
        promises=list(role.promises) if role else [],
        allowed_failed_units=list(role.allowed_failed_units) if role else [],
        allowed_console=list(role.allowed_console) if role else [],
        image=deploy.image,
        deploy_dir=str(deploy.path),
        accelerator=accelerator.name,
        accelerator_reason=accelerator.reason,
        timeout_scale=accelerator.timeout_scale * options.timeout_scale,
        memory_mib=memory_mib(deploy.qemuboot, options.memory),
        cpus=options.cpus or int(smp.removeprefix("cpus=")),
        run=str(request.run_dir),
        command=argv,
        started=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )
