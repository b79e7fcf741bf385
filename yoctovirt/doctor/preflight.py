"""The checks before each build and boot: short, and an error of them ends the run.

What starts programs (versions of tools, user namespaces) takes a quarter of a second: where it
found no error its answer is kept for a day, or until something of the host has changed.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from yoctovirt import __version__
from yoctovirt.base.files import write_atomically
from yoctovirt.base.screen import Screen
from yoctovirt.doctor.checks import (
    boot_checks,
    core_folder,
    demands_of,
    overlay_checks,
    quick_checks,
    slow_checks,
)
from yoctovirt.doctor.result import Result
from yoctovirt.doctor.sanity import SANITY, Demands
from yoctovirt.doctor.subject import Subject
from yoctovirt.errors import InfrastructureError, UsageError, YoctovirtError

#: Seconds for which an answer is kept.
KEPT_SECONDS = 86400.0
#: Seconds that proxies and source mirrors have for an answer before a build from nothing.
BUILD_SECONDS = 3.0
_FILE = ".preflight.json"
#: Checks whose errors come of the call, not of the host.
_OF_THE_CALL = ("disk.characters", "disk.path", "user.folders")
#: Files whose content or time tells that a kept answer is old.
_TELLTALES = (
    "/proc/sys/kernel/random/boot_id", "/proc/sys/user/max_user_namespaces",
    "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
    "/proc/sys/kernel/unprivileged_userns_clone", "/etc/subuid", "/etc/subgid", "/etc/os-release",
)  # fmt: skip


def fingerprint(subject: Subject) -> str:
    """Return a hash over all that the slow checks look at, as far as it is cheap to tell."""
    core = core_folder(subject)
    places = [Path(part) for part in subject.tools_path.split(":")]
    places += [subject.workspace, Path("/bin/sh")]
    if core is not None:
        places += [core / path for path in SANITY] + [core / "meta" / "conf" / "bitbake.conf"]
    seen: list[Any] = [__version__, str(subject.account), os.geteuid(), subject.tools_path,
                       subject.builder, subject.release, subject.quick]  # fmt: skip
    for place in places:
        with suppress(OSError):
            found = place.stat()
            # Of the workspace only who may enter: its time changes with each file in it.
            stamp = 0 if place == subject.workspace else found.st_mtime_ns
            seen.append([str(place), found.st_mode, found.st_uid, stamp])
    for name in _TELLTALES:
        with suppress(OSError):
            seen.append([name, Path(name).read_text()])
    return hashlib.sha256(json.dumps(seen).encode()).hexdigest()


def _kept(path: Path, key: str) -> list[Result] | None:
    """Return the answer that is kept for *key*, None where there is none that holds."""
    try:
        entry = json.loads(path.read_text(encoding="utf-8"))["kept"][key]
        if not 0 <= time.time() - entry["at"] < KEPT_SECONDS:
            return None
        return [Result(**one) for one in entry["results"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None  # a file that cannot be read is one that is not there


def _keep(path: Path, key: str, results: Sequence[Result]) -> None:
    kept: dict[str, Any] = {}
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        kept = {
            name: entry
            for name, entry in json.loads(path.read_text(encoding="utf-8"))["kept"].items()
            if time.time() - entry["at"] < KEPT_SECONDS
        }
    kept[key] = {"at": time.time(), "results": [asdict(one) for one in results]}
    # Where it cannot be kept it is asked again.
    with suppress(InfrastructureError):
        write_atomically(path, json.dumps({"kept": kept}) + "\n")


def build_results(subject: Subject) -> list[Result]:
    """Return the checks before a build, the slow ones as kept where nothing has changed."""
    demands = demands_of(subject)
    results = [*quick_checks(subject, demands), *_slow(subject, demands)]
    if subject.fresh and subject.builder == "kas":
        # Imported here: a build that has begun before is asked for none of it.
        from yoctovirt.doctor.reach import reach_sources

        results += reach_sources(subject, BUILD_SECONDS)
    return results


def _slow(subject: Subject, demands: Demands | None) -> list[Result]:
    folder = subject.cache_dir if subject.builder == "debian" else subject.workspace
    path, key = folder / _FILE, fingerprint(subject)
    results = _kept(path, key)
    if results is None:
        results = slow_checks(subject, demands)
        if not any(one.status == "error" for one in results):
            _keep(path, key, results)
    return results


def refuse(results: Iterable[Result], work: str, screen: Screen | None = None) -> None:
    """Raise for the errors among *results*, all of them in one; show the warnings.

    InfrastructureError, or UsageError where all come of the call.
    """
    errors = []
    for one in results:
        if one.status == "error":
            errors.append(one)
        elif one.status == "warning" and screen is not None:
            screen.note(f"warning: {one.message} ({one.remedy})")
    if not errors:
        return
    usage = all(one.check in _OF_THE_CALL for one in errors)
    kind: type[YoctovirtError] = UsageError if usage else InfrastructureError
    if len(errors) == 1:
        raise kind(errors[0].message, f"{errors[0].remedy} (or --skip-preflight)")
    raise kind(
        f"{len(errors)} things keep this host from {work}:\n"
        + "\n".join(f"  {one.check}: {one.message}" for one in errors),
        "all of them, or --skip-preflight:\n"
        + "\n".join(f"  {one.check}: {one.remedy}" for one in errors),
    )


def before_build(subject: Subject, screen: Screen | None = None) -> None:
    """Raise for what would fail in a build of *subject*; show what may."""
    refuse(build_results(subject), f"a build of {subject.role}", screen)


def before_boot(
    nodes: Path, memory_mib: int, machine: str | None, name: str, screen: Screen | None = None
) -> None:
    """Raise for what would fail in a boot of node *name* below *nodes*; show what may.

    *machine* is None where QEMU comes with the layers.
    """
    results = boot_checks(memory_mib, machine) + overlay_checks(nodes)
    refuse(results, f"a boot of {name}", screen)
