"""Keep the state of nodes that are ready: all paused, each saved, all go on."""

from __future__ import annotations

import shlex
import shutil
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path

from yoctovirt.base.deadline import Deadline
from yoctovirt.base.files import disk_error, human_bytes, make_folder
from yoctovirt.base.screen import Screen
from yoctovirt.boot.launcher import Launch
from yoctovirt.boot.node import Node
from yoctovirt.boot.resume import DISKS, KEY_FILE, STATE_FILE, freshen
from yoctovirt.boot.settle import settle
from yoctovirt.boot.warm import Entry, Warm, discard, remove_unfinished, unfinished, write_entry
from yoctovirt.errors import BootError, YoctovirtError

#: Seconds, scaled, to write a state.
SAVE_SECONDS = 60.0


def keep(warm: Warm, launches: Mapping[str, Launch], screen: Screen) -> Entry | None:
    """Keep the state of *launches* for the next boot; they go on afterwards.

    That it cannot be kept is no failure of the boot: None is returned, and the screen says why.
    """
    lock = warm.lock()
    if not lock.acquire():
        screen.note("the state is not kept: another run is keeping it")
        return None
    try:
        start = time.monotonic()
        remove_unfinished(warm.workspace)
        nodes = {name: launch.node for name, launch in launches.items()}
        for node in nodes.values():
            # Daemons that are still on their way would start again and again, once a resume.
            if not node.state.settled:
                settle(node, screen)
        entry = _keep(warm, nodes)
        warm.drop_outdated()
        screen.note(
            f"state kept for the next --warm: {human_bytes(entry.bytes())} in {entry.folder} "
            f"({time.monotonic() - start:.1f} s)"
        )
        return entry
    except YoctovirtError as error:
        screen.note(f"warning: the state is not kept: {error.message}")
        return None
    finally:
        lock.release()


def _keep(warm: Warm, nodes: dict[str, Node]) -> Entry:
    for node in nodes.values():
        node.run("sync", timeout=SAVE_SECONDS)
    work = unfinished(warm.folder)
    machines: dict[str, str] = {}
    try:
        make_folder(work, 0o700)
        try:
            # No connection of ours in what is kept. All stand still before the first is saved.
            for node in nodes.values():
                node.close()
                node.qmp.execute("stop")
            for name, node in nodes.items():
                machines[name] = _save(node, work / name)
        finally:
            for node in nodes.values():
                node.qmp.execute("cont")
        entry = Entry(
            work, warm.names, datetime.now(timezone.utc).isoformat(timespec="seconds"),
            warm.parts, machines, {name: node.state.ssh_host_key for name, node in nodes.items()},
        )  # fmt: skip
        write_entry(entry)
        # Whoever is killed here leaves no state, or a whole one.
        discard(warm.folder)
        work.rename(warm.folder)
    except OSError as error:
        raise disk_error(error, work) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    for node in nodes.values():
        freshen(node)  # it stood still for some seconds
    return Entry(warm.folder, entry.names, entry.created, entry.parts, machines, entry.host_keys)


def _save(node: Node, folder: Path) -> str:
    """Write the state of a paused node; return its versioned machine type."""
    disks = make_folder(folder / DISKS)
    machine = str(node.qmp.execute("qom-get", path="/machine", property="type"))
    node.qmp.execute("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
    node.qmp.execute("migrate", uri=f"exec:cat>{shlex.quote(str(folder / STATE_FILE))}")
    deadline = Deadline(SAVE_SECONDS * node.state.timeout_scale)
    while (answer := node.qmp.execute("query-migrate"))["status"] != "completed":
        if answer["status"] in ("failed", "cancelled"):
            reason = answer.get("error-desc", "no reason given")
            raise BootError(f"QEMU could not save node {node.name}: {reason}")
        if deadline.expired:
            node.qmp.execute("migrate_cancel")
            raise BootError(f"node {node.name} was not saved within {deadline.seconds:.0f} s")
        time.sleep(0.05)
    # QEMU has given up its disks until the guest goes on.
    for disk in sorted(node.folder.glob("*.qcow2")):
        if not disk.is_symlink():
            shutil.copyfile(disk, disks / disk.name)
    shutil.copyfile(node.state.ssh_key, folder / KEY_FILE)
    (folder / KEY_FILE).chmod(0o600)
    return machine.removesuffix("-machine")
