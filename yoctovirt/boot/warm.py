"""States of ready nodes that are kept for the next boot: where, for what, and what drops them.

An entry is for a set of nodes (one, or several that were booted together), paused before the
first of them was saved. It fits a boot with the same images, QEMU, arguments, accelerator and
host CPU; everything else is a cold boot, and the reason is told.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from yoctovirt.base.files import Lock, make_folder, tree_bytes, write_atomically
from yoctovirt.base.screen import Screen
from yoctovirt.boot.accel import choose_accelerator
from yoctovirt.boot.launcher import BootRequest
from yoctovirt.boot.nested import nested_virtualization
from yoctovirt.boot.resume import STATE_FILE, Resume
from yoctovirt.boot.runqemu import native_folders
from yoctovirt.build.deploydir import DeployDir
from yoctovirt.config.workspace import Workspace
from yoctovirt.errors import UsageError

_ENTRY_FILE = "warm.json"
_SCHEMA = 1
#: In the name of a folder that is being written, or removed; the process id of who does it follows.
_UNFINISHED = ".tmp-"
#: Part of a key -> what is said where it differs.
_REASONS = {
    "image": "the image is another build",
    "qemu": "QEMU is another one",
    "cpu": "the CPU of this host has changed",
    "accelerator": "the accelerator is another one",
    "command": "the node is given something else (memory, CPUs, disks, arguments)",
    "network": "it was joined with other nodes",
}
Parts = dict[str, dict[str, str]]


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _files(paths: Sequence[Path]) -> str:
    """Return a digest that changes with each new build of the files; they are not read."""
    found = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    return _digest(found)


def host_cpu(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return a digest of the model and the flags of the host's CPU."""
    first = cpuinfo.read_text(encoding="utf-8").partition("\n\n")[0]
    wanted = ("vendor_id", "cpu family", "model", "model name", "stepping", "flags", "Features",
              "CPU part", "CPU implementer")  # fmt: skip
    lines = (line.partition(":") for line in first.splitlines())
    return _digest([(key.strip(), value) for key, _, value in lines if key.strip() in wanted])


def _qemu(deploy: DeployDir, runqemu: Path | None) -> Path:
    """Return the QEMU that would be started."""
    name = deploy.qemuboot.get("qb_system_name")
    if runqemu is not None:
        return Path(native_folders(deploy.qemuboot)["staging_bindir_native"]) / name
    return Path(shutil.which(name) or name)


def parts_of(request: BootRequest, network: str) -> dict[str, str]:
    """Return all that decides whether a kept state fits *request*, a digest each.

    *network* says how the node is joined with others, '' where it is alone.
    """
    deploy, options = request.deploy, request.options_with_role()
    qemu_name = deploy.qemuboot.get("qb_system_name", "qemu-system-x86_64")
    accelerator = choose_accelerator(
        options.kvm, qemu_name, request.workspace.cache_dir, options.timeout_scale
    )
    nested = nested_virtualization(request.role, qemu_name, accelerator)
    qemu = _qemu(deploy, request.runqemu)
    command = {
        "name": request.name, "memory": options.memory, "cpus": options.cpus,
        "qemuparams": options.qemuparams, "bootparams": options.bootparams,
        "disks": options.disks, "runqemu": str(request.runqemu or ""),
        "cpu": nested.cpu if nested else None,
    }  # fmt: skip
    return {
        "image": _files(deploy.files()),
        "qemu": _files([qemu.resolve()]) if qemu.exists() else "",
        "cpu": host_cpu(),
        "accelerator": accelerator.name,
        "command": _digest(command),
        "network": _digest(network),
    }


@dataclass(frozen=True)
class Entry:
    """A kept set of nodes."""

    folder: Path
    names: tuple[str, ...]
    created: str
    parts: Parts
    machines: dict[str, str]
    host_keys: dict[str, str]

    def bytes(self) -> int:
        """Return what it occupies on disk."""
        return tree_bytes(self.folder)

    def resumes(self) -> dict[str, Resume]:
        """Return what each node is resumed from."""
        return {
            name: Resume(self.folder / name, self.machines[name], self.host_keys[name])
            for name in self.names
        }

    def drop(self) -> None:
        """Remove it; nodes that run on it keep what they have open."""
        discard(self.folder)


def unfinished(folder: Path, what: str = "") -> Path:
    """Return a name beside *folder* for what is not whole; no boot takes a state from it."""
    return folder.with_name(f"{folder.name}{what}{_UNFINISHED}{os.getpid()}")


def discard(folder: Path) -> None:
    """Remove an entry: it is none any more before the first of its files goes."""
    aside = unfinished(folder, ".old")
    with suppress(FileNotFoundError):
        folder.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)


def warm_dir(workspace: Workspace) -> Path:
    """Return the folder of the kept states."""
    return workspace.path / "warm"


def entries(workspace: Workspace) -> list[Entry]:
    """Return the kept states, oldest first; what cannot be read is left out."""
    found = []
    for path in warm_dir(workspace).glob(f"*/{_ENTRY_FILE}"):
        if _UNFINISHED in path.parent.name:
            continue
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            if values.pop("schema") != _SCHEMA:
                continue
            entry = Entry(path.parent, **{**values, "names": tuple(values["names"])})
        except (OSError, ValueError, KeyError, TypeError):
            continue
        found.append(entry)
    return sorted(found, key=lambda entry: entry.created)


def write_entry(entry: Entry) -> None:
    """Write what is known of *entry* beside its states; from then on it is one."""
    values = {key: value for key, value in asdict(entry).items() if key != "folder"}
    write_atomically(
        entry.folder / _ENTRY_FILE, json.dumps({"schema": _SCHEMA, **values}, indent=2) + "\n"
    )


def differences(wanted: Parts, kept: Parts) -> list[str]:
    """Return in words in what two keys of the same nodes differ."""
    differ = {
        part
        for name, parts in wanted.items()
        for part, value in parts.items()
        if kept.get(name, {}).get(part) != value
    }
    return [_REASONS.get(part, part) for part in _REASONS if part in differ]


class Warm:
    """The kept state for one boot: looked for before it, made after it."""

    def __init__(self, requests: Sequence[BootRequest], networks: Mapping[str, str]) -> None:
        for request in requests:
            if request.options.persist:
                raise UsageError(
                    "--warm and --persist exclude each other: a kept state has its disks with it",
                    "leave one of them away",
                )
        self.workspace = requests[0].workspace
        self.names = tuple(request.name for request in requests)
        self.parts: Parts = {
            request.name: parts_of(request, networks.get(request.name, "")) for request in requests
        }
        self.folder = warm_dir(self.workspace) / f"{'+'.join(self.names)}-{_digest(self.parts)[:8]}"

    def find(self, screen: Screen) -> Entry | None:
        """Return the kept state that fits; None with the reason on the screen."""
        same = [entry for entry in entries(self.workspace) if entry.names == self.names]
        for entry in same:
            whole = all((entry.folder / name / STATE_FILE).is_file() for name in entry.names)
            if entry.parts == self.parts and whole:
                return entry
        if same:
            why = "; ".join(differences(self.parts, same[-1].parts)) or "files of it are missing"
        else:
            why = "none is kept yet"
        screen.note(f"cold boot, no warm state fits: {why}")
        return None

    def lock(self) -> Lock:
        """Return the lock that whoever writes the entry holds."""
        make_folder(warm_dir(self.workspace), 0o700)
        return Lock(self.folder.with_suffix(".lock"))

    def drop_outdated(self) -> None:
        """Remove states of the same nodes that no boot can fit any more."""
        own = next(iter(self.parts.values()))
        for entry in entries(self.workspace):
            old = entry.parts.get(self.names[0], {})
            stale = any(old.get(part) != own[part] for part in ("image", "qemu", "cpu"))
            if entry.names == self.names and stale:
                entry.drop()


def with_generation(request: BootRequest) -> BootRequest:
    """Return *request* with the device that tells the guest's kernel of a resume (vmgenid).

    It stands in ACPI tables, which only x86 machines surely have.
    """
    if not request.deploy.qemuboot.get("qb_system_name").endswith(("x86_64", "i386")):
        return request
    options = replace(
        request.options, qemuparams=("-device vmgenid,guid=auto", *request.options.qemuparams)
    )
    return replace(request, options=options)


def remove_unfinished(workspace: Workspace) -> None:
    """Remove what a save that was killed has left."""
    for path in warm_dir(workspace).glob(f"*{_UNFINISHED}*"):
        pid = path.name.rpartition("-")[2]
        if not (pid.isdigit() and Path("/proc", pid).exists() and int(pid) != os.getpid()):
            shutil.rmtree(path, ignore_errors=True)
