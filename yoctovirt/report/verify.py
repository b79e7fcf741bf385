"""Whether a run record is what its statement says, and whether its parts agree."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from yoctovirt.base.files import sha256_file
from yoctovirt.errors import UsageError
from yoctovirt.report.junit import JUNIT_FILE, junit_tree
from yoctovirt.report.load import load_run
from yoctovirt.report.statement import (
    PREDICATE_TYPE,
    STATEMENT_FILE,
    STATEMENT_TYPE,
    configured_pins,
    git_uri,
    record_files,
)


@dataclass
class Verified:
    """What came of the look at one record."""

    faults: list[tuple[str, str]] = field(default_factory=list)  #: of what, what is wrong
    notes: list[str] = field(default_factory=list)  #: what could not be looked at
    files: int = 0  #: files of the record that are as stated
    images: int = 0  #: files of the image that are as stated

    def add(self, what: str, wrong: str) -> None:
        """Note a fault."""
        self.faults.append((what, wrong))


def verify_record(folder: Path, deploy_dir: Path | None = None, *, images: bool = True) -> Verified:
    """Compare the run record *folder* with its statement, and its parts with each other.

    The image's files are looked for in *deploy_dir*, where each must be; without it where the
    run found them, and what is not there any more is a note; with *images* false nowhere. Every
    digest is computed anew.
    Raises UsageError where *folder* has no run.json that can be read.
    """
    found = Verified()
    run = load_run(folder)
    stated = _load(folder, found)
    if stated is None:
        return found
    _files(folder, stated, found)
    _same(run, folder, stated, found)
    _junit(run, folder, found)
    if images:
        _images(run, stated, deploy_dir, found)
    return found


def _load(folder: Path, found: Verified) -> dict[str, Any] | None:
    """Return the statement; None where there is none that can be read."""
    path = folder / STATEMENT_FILE
    try:
        data: Any = json.loads(path.read_text(encoding="utf-8"))
        if (data["_type"], data["predicateType"]) != (STATEMENT_TYPE, PREDICATE_TYPE):
            raise ValueError(f"it is of the type {data['_type']}, {data['predicateType']}")
        for each in (*data["subject"], *data["predicate"]["runDetails"]["byproducts"]):
            if not isinstance(each["name"], str) or len(each["digest"]["sha256"]) != 64:
                raise ValueError(f"{each['name']} has no digest")
            if each["annotations"]["kind"] not in ("image", "record"):
                raise ValueError(f"{each['name']} is of an unknown kind")
            int(each["annotations"]["bytes"])
        data["predicate"]["buildDefinition"]["resolvedDependencies"][:0] = []
    except FileNotFoundError:
        found.add(STATEMENT_FILE, "missing: the run was killed, or nobody made a statement of it")
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        found.add(STATEMENT_FILE, f"damaged: {type(error).__name__}: {error}")
        return None
    return dict(data)


def _stated(data: dict[str, Any], kind: str) -> Iterator[dict[str, Any]]:
    for each in (*data["subject"], *data["predicate"]["runDetails"]["byproducts"]):
        if each["annotations"]["kind"] == kind:
            yield each


def _files(folder: Path, data: dict[str, Any], found: Verified) -> None:
    there = set(record_files(folder))
    for each in _stated(data, "record"):
        name = each["name"]
        if name not in there:
            found.add(name, "missing")
            continue
        there.discard(name)
        wrong = _altered(folder / name, each)
        if wrong:
            found.add(name, wrong)
        else:
            found.files += 1
    for name in sorted(there):
        found.add(name, "added: the statement does not know it")


def _altered(path: Path, each: dict[str, Any]) -> str:
    """Return what is wrong with the file *path*; empty where it is as stated."""
    about = each["annotations"]
    try:
        size = path.stat().st_size
        grown = about.get("open") and size > about["bytes"]
        digest = sha256_file(path, about["bytes"] if grown else None)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if digest == each["digest"]["sha256"]:
        return ""
    if size != about["bytes"]:
        return f"altered: {size} bytes, stated are {about['bytes']}"
    return f"altered: SHA-256 {digest}, stated is {each['digest']['sha256']}"


def _same(run: dict[str, Any], folder: Path, data: dict[str, Any], found: Verified) -> None:
    """Compare what the statement says with what run.json says."""
    defined = data["predicate"]["buildDefinition"]
    image = run["image"] or {}
    given = defined.get("externalParameters", {})
    wanted = {"command": run["command"], "role": run["role"], "release": image.get("release"),
              "machine": image.get("machine")}  # fmt: skip
    for key, value in wanted.items():
        if given.get(key) != (value or None):
            found.add(STATEMENT_FILE, f"{key} is {given.get(key)!r}, in run.json {value!r}")
    layers = (run["pins"] or {}).get("layers") or configured_pins(folder)
    pins = {name: (git_uri(pin["url"]), pin["commit"] or None) for name, pin in layers.items()}
    told = {
        each.get("name"): (each.get("uri"), each.get("digest", {}).get("gitCommit"))
        for each in defined["resolvedDependencies"]
        if str(each.get("uri", "")).startswith("git")
    }
    for name in sorted({*pins, *told}):
        if pins.get(name) != told.get(name):
            found.add(
                STATEMENT_FILE,
                f"repository {name} is {told.get(name)}, in run.json {pins.get(name)}",
            )
    digests = {file["name"]: file["sha256"] for file in image.get("files", ())
               if file.get("sha256")}  # fmt: skip
    if digests != {each["name"]: each["digest"]["sha256"] for each in _stated(data, "image")}:
        found.add(STATEMENT_FILE, "the digests of the image are not those in run.json")


def _junit(run: dict[str, Any], folder: Path, found: Verified) -> None:
    """Compare junit.xml with run.json: each verdict, and the properties."""
    path = folder / JUNIT_FILE
    if not path.is_file():
        return
    try:
        root = ET.parse(path).getroot()  # noqa: S314
    except (ET.ParseError, OSError) as error:
        found.add(JUNIT_FILE, f"no XML: {error}")
        return
    wanted, told = _verdicts(junit_tree(run, folder)), _verdicts(root)
    for name in sorted({*wanted, *told}):
        if wanted.get(name) != told.get(name):
            found.add(
                JUNIT_FILE,
                f"{'::'.join(name)} is {told.get(name, 'not there')}, in run.json "
                f"{wanted.get(name, 'not there')}",
            )


def _verdicts(root: ET.Element) -> dict[tuple[str, str], str]:
    found = {}
    for case in root.iter("testcase"):
        tags = [child.tag for child in case if child.tag != "system-out"]
        name = (case.get("classname", ""), case.get("name", ""))
        found[name] = tags[0] if tags else "passed"
    for each in root.iter("property"):
        found["property", each.get("name", "")] = each.get("value", "")
    return found


def _images(
    run: dict[str, Any], data: dict[str, Any], deploy_dir: Path | None, found: Verified
) -> None:
    place = deploy_dir or Path((run["image"] or {}).get("deploy_dir", "."))
    absent = []
    for each in _stated(data, "image"):
        path = place / each["name"]
        if not path.is_file():
            if deploy_dir is not None:
                found.add(str(path), "missing")
            absent.append(each["name"])
            continue
        wrong = _altered(path, each)
        if wrong:
            found.add(str(path), wrong)
        else:
            found.images += 1
    if absent and deploy_dir is None:
        found.notes.append(f"not at hand in {place}, so not looked at: {', '.join(absent)}")


def check_deploy_dir(folder: Path | None) -> None:
    """Raise UsageError where *folder* is given and is none."""
    if folder is not None and not folder.is_dir():
        raise UsageError(f"--deploy-dir {folder}: there is no such folder")
