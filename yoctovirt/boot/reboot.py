"""A restart that was announced: done in a block, and the node waited for behind it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from yoctovirt.base.deadline import Deadline
from yoctovirt.base.screen import Screen
from yoctovirt.boot.events import Events
from yoctovirt.boot.qemuargs import EVENTS_SOCKET
from yoctovirt.boot.restarts import BOOT_ID
from yoctovirt.boot.results import NodeUnreachableError
from yoctovirt.boot.settle import settle

if TYPE_CHECKING:
    from yoctovirt.boot.node import Node

#: Seconds that QEMU has to let us listen; where somebody else listens it does not.
_LISTEN = 1.0


@contextmanager
def expected_reboot(node: Node, seconds: float, settled: bool) -> Iterator[None]:
    """Let *node* restart in the block; see Node.expect_reboot."""
    deadline = Deadline(seconds * node.state.timeout_scale)
    before = node.ssh.run(BOOT_ID).output
    with node.restarts.announced(), listening(node):
        since = node.restarts.now()
        node.restarting = lambda: node.restarts.restarting(since)
        try:
            with suppress(NodeUnreachableError):
                yield
        finally:
            node.restarting = lambda: False
        node.leave_boot()
        node.restarts.announce(_next_boot(node, before, deadline))
    if settled:
        settle(node, Screen(quiet=True))


def _next_boot(node: Node, before: str, deadline: Deadline) -> str:
    """Wait until *node* answers in another boot, and return the id of that."""
    while True:
        try:
            node.ssh.connect(deadline.remaining)
            boot_id = node.ssh.run(BOOT_ID).output
            if boot_id != before:
                return boot_id.strip()
        except NodeUnreachableError:
            if deadline.expired:
                raise
        node.close()
        if deadline.expired:
            raise NodeUnreachableError(
                f"node {node.name} was to restart and did not within {deadline.seconds:.0f} s"
            )
        time.sleep(0.5)


@contextmanager
def listening(node: Node) -> Iterator[None]:
    """Have QEMU's events noted while the block runs, where nobody who booted the node does it."""
    if node.state.kind != "qemu" or not node.state.detached:
        yield
        return
    events = Events(node.folder / EVENTS_SOCKET, node.events_log, node.restarts.expected)
    events.start(_LISTEN)
    try:
        yield
    finally:
        events.close()
