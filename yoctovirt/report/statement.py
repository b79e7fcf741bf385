"""What a run record states of itself: an in-toto Statement with a SLSA provenance predicate.

Formats: https://in-toto.io/Statement/v1, https://slsa.dev/provenance/v1. Subjects are the image's
files and the reports; whatever else lies in the record is a byproduct. Drawn from the record.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
from collections.abc import Collection, Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yoctovirt
from yoctovirt.base.files import sha256_file, write_atomically
from yoctovirt.base.record import RUN_FILE
from yoctovirt.config.yamlfile import load_mapping
from yoctovirt.errors import UsageError
from yoctovirt.report.html import HTML_FILE, TOGETHER_FILE
from yoctovirt.report.junit import JUNIT_FILE
from yoctovirt.report.load import load_run

STATEMENT_FILE = "provenance.json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
#: What ``externalParameters`` mean: docs/provenance.md.
BUILD_TYPE = "urn:yoctovirt:run:v1"
BUILDER_ID = "urn:yoctovirt:builder"
#: The flattened kas configuration in a record.
CONFIGURATION = "kas.yml"
#: Files of a record that are its results; all others came beside them.
REPORTS = (RUN_FILE, JUNIT_FILE, HTML_FILE, TOGETHER_FILE)


def write_statement(folder: Path, open_files: Collection[str] = ()) -> Path:
    """Write provenance.json into the run record *folder* and return its path.

    *open_files* are names of files that somebody still appends to: logs of a node that was left
    running. Raises UsageError where *folder* is no record, InfrastructureError for the disk.
    """
    path = folder / STATEMENT_FILE
    write_atomically(path, json.dumps(statement(folder, open_files), indent=1) + "\n")
    return path


def statement(folder: Path, open_files: Collection[str] = ()) -> dict[str, Any]:
    """Return the statement of the run record *folder* as it is now."""
    run = load_run(folder)
    files = record_files(folder)
    return {
        "_type": STATEMENT_TYPE,
        "subject": [
            *_images(run),
            *(_file(folder, name, run, open_files) for name in files if name in REPORTS),
        ],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": _parameters(run, folder),
                "internalParameters": _circumstances(run),
                "resolvedDependencies": [*_repositories(run, folder), *_packages(run)],
            },
            "runDetails": {
                "builder": {"id": BUILDER_ID, "version": dict(_versions(run, folder))},
                "metadata": {
                    "invocationId": _invocation(run),
                    "startedOn": _moment(run["started"]),
                    **({"finishedOn": _moment(run["finished"])} if run["finished"] else {}),
                },
                "byproducts": [
                    _file(folder, name, run, open_files) for name in files if name not in REPORTS
                ],
            },
        },
    }


def record_files(folder: Path) -> list[str]:
    """Return the names of the files in a record, but for the statement and unfinished ones."""
    found = []
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != STATEMENT_FILE and not path.name.startswith("."):
            found.append(name)
    return sorted(found)


def _images(run: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for file in (run["image"] or {}).get("files", ()):
        if file.get("sha256"):
            about = {"kind": "image", "bytes": file["bytes"]}
            digest = {"sha256": file["sha256"]}
            yield {"name": file["name"], "digest": digest, "annotations": about}


def _file(
    folder: Path, name: str, run: dict[str, Any], open_files: Collection[str]
) -> dict[str, Any]:
    path = folder / name
    about: dict[str, Any] = {"kind": "record", "bytes": path.stat().st_size}
    if name in open_files:
        about["open"] = True  # who verifies looks at these bytes only
    digest = sha256_file(path, about["bytes"] if name in open_files else None)
    if name == RUN_FILE:
        about |= {"result": run["result"], "exitCode": run["exit_code"]}
    return {"name": name, "digest": {"sha256": digest}, "annotations": about}


def _parameters(run: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return what whoever called for this run has chosen."""
    image = run["image"] or {}
    found = {
        "command": run["command"],
        "role": run["role"],
        "release": image.get("release"),
        "machine": image.get("machine"),
        "distro": image.get("distro"),
        "features": image.get("features"),
    }
    if (folder / CONFIGURATION).is_file():
        digest = {"sha256": sha256_file(folder / CONFIGURATION)}
        found["configuration"] = {"name": CONFIGURATION, "digest": digest}
    return {name: value for name, value in found.items() if value}


def _circumstances(run: dict[str, Any]) -> dict[str, Any]:
    return {
        "host": run["host"],
        "nodes": [
            {"name": node["name"], "accelerator": node["accelerator"],
             "memoryMiB": node["memory_mib"], "cpus": node["cpus"]}
            for node in run["nodes"]
        ],
    }  # fmt: skip


def _repositories(run: dict[str, Any], folder: Path) -> Iterator[dict[str, Any]]:
    for name, pin in ((run["pins"] or {}).get("layers") or configured_pins(folder)).items():
        found: dict[str, Any] = {"name": name, "uri": git_uri(pin["url"])}
        if pin["commit"]:
            found["digest"] = {"gitCommit": pin["commit"]}
        yield found
    yield from _own_layers(folder)


def configured_pins(folder: Path) -> dict[str, Any]:
    """Return the pins of a build that made no image, from the configuration in the record."""
    from yoctovirt.pins.layers import layer_pins

    return layer_pins(_configuration(folder))


def _configuration(folder: Path) -> dict[str, Any]:
    path = folder / CONFIGURATION
    try:
        return load_mapping(path) if path.is_file() else {}
    except UsageError:
        return {}


def git_uri(url: str) -> str:
    """Return *url* as SPDX and SLSA write the place of a git repository: ``git+https://…``."""
    short = re.fullmatch(r"(?:[^@/:]+@)?([^/:]+):(?!//)(.+)", url)
    if short:  # host:path, which is SSH
        return f"git+ssh://{short[1]}/{short[2]}"
    if "://" not in url:
        return f"git+file://{quote(url)}"
    return url if url.startswith("git://") else f"git+{url}"


def _own_layers(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the layers that were taken from a folder, and from no repository."""
    for name, repo in (_configuration(folder).get("repos") or {}).items():
        if not isinstance(repo, dict) or repo.get("url") or not repo.get("path"):
            continue
        for layer, chosen in (repo.get("layers") or {".": None}).items():
            place = Path(repo["path"]) / layer
            if chosen != "disabled" and place.is_dir():
                digest = {"dirHash1": dir_hash(place)}
                yield {"name": f"{name}/{layer}", "uri": place.absolute().as_uri(),
                       "digest": digest}  # fmt: skip


def dir_hash(folder: Path) -> str:
    """Return in-toto's ``dirHash1`` of *folder*: SHA-256 over the sums of its files."""
    names = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    )
    names.sort(key=lambda name: name.encode())
    lines = "".join(f"{sha256_file(folder / name)}  {name}\n" for name in names)
    return hashlib.sha256(lines.encode()).hexdigest()


def _packages(run: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the packages that an image of the debian builder is made of."""
    image, pins = run["image"] or {}, run["pins"] or {}
    builders = [phase["details"].get("builder") for phase in run["phases"]]
    if pins.get("layers") or "debian" not in builders:
        return
    for name, number in pins.get("packages", {}).items():
        where = f"?distro={image.get('distro')}-{image.get('distro_version')}"
        uri = f"pkg:deb/{image.get('distro')}/{quote(name)}@{quote(number)}{where}"
        yield {"name": name, "uri": uri}


def _versions(run: dict[str, Any], folder: Path) -> Iterator[tuple[str, str]]:
    yield "yoctovirt", run["tool"]["version"]
    commit = own_commit()
    if commit:
        yield "yoctovirt.commit", commit
    yield "python", run["tool"]["python"]
    if (folder / CONFIGURATION).is_file():
        with suppress(PackageNotFoundError):
            yield "kas", version("kas")
    try:
        bitbake = json.loads((folder / "build.json").read_text(encoding="utf-8"))["bitbake"]
    except (OSError, ValueError, KeyError):
        bitbake = None
    if bitbake:
        yield "bitbake", bitbake
    for node in run["nodes"]:
        if node.get("qemu"):
            yield "qemu", node["qemu"]
            return


def own_commit() -> str:
    """Return the commit of the clone that yoctovirt runs from, with ``-dirty``; else nothing."""
    root = Path(yoctovirt.__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return ""
    argv = ["git", "-C", str(root), "-c", f"safe.directory={root}", "describe", "--always"]
    argv += ["--abbrev=40", "--exclude=*", "--dirty"]
    try:
        done = subprocess.run(
            argv, text=True, capture_output=True, check=True, timeout=20, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def _invocation(run: dict[str, Any]) -> str:
    """Return the address of the CI job that called for this run, else the id of the record."""
    env = os.environ
    for name in ("CI_JOB_URL", "BUILD_URL"):  # GitLab, Jenkins
        if env.get(name):
            return f"{env[name]}#{run['id']}"
    if env.get("GITHUB_RUN_ID"):
        server, place = env.get("GITHUB_SERVER_URL", ""), env.get("GITHUB_REPOSITORY", "")
        return f"{server}/{place}/actions/runs/{env['GITHUB_RUN_ID']}#{run['id']}"
    return str(run["id"])


def _moment(text: str) -> str:
    """Return a time of run.json in the form of RFC 3339 that all readers take."""
    return text.replace("+00:00", "Z")
