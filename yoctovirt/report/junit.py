"""JUnit XML from a run record: phases and checks, errors apart from failures."""

from __future__ import annotations

import os
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

from yoctovirt.base.files import write_atomically
from yoctovirt.report.load import load_run

JUNIT_FILE = "junit.xml"


def _clean(text: str) -> str:
    """Drop what XML 1.0 cannot hold."""
    return re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "?", text)


def _case(suite: ET.Element, classname: str, name: str, seconds: float | None) -> ET.Element:
    return ET.SubElement(
        suite, "testcase", classname=classname, name=_clean(name), time=f"{seconds or 0:.3f}"
    )


def _add(case: ET.Element, tag: str, message: str, kind: str, detail: str = "") -> None:
    child = ET.SubElement(case, tag, message=_clean(message), type=kind)
    child.text = _clean(detail or message)


def _place(folder: Path, name: str) -> str:
    """Return where a reader of the XML finds a file of the record *folder*.

    GitLab looks below the checkout, Jenkins takes whole paths only.
    """
    path = folder.absolute() / name
    checkout = os.environ.get("CI_PROJECT_DIR")
    if checkout and path.is_relative_to(checkout):
        return str(path.relative_to(checkout))
    return str(path)


def junit_tree(run: dict[str, Any], folder: Path) -> ET.Element:
    """Return the ``testsuites`` element for a run, whose record is *folder*."""
    root = ET.Element("testsuites", name="yoctovirt")
    suite = ET.SubElement(
        root,
        "testsuite",
        name=f"yoctovirt.{run['role'] or 'node'}",
        timestamp=run["started"][:19],
        time=f"{run['seconds'] or 0:.3f}",
    )
    properties = ET.SubElement(suite, "properties")
    for name, value in _properties(run):
        ET.SubElement(properties, "property", name=_clean(name), value=_clean(str(value)))
    error = run["error"] or {}
    for phase in run["phases"]:
        case = _case(suite, "phase", phase["name"], phase["seconds"])
        if phase["status"] in ("error", "interrupted", "running"):
            message = error.get("message") or f"the phase was cut short ({phase['status']})"
            _add(case, "error", message, error.get("class", "Interrupted"), error.get("hint", ""))
        elif phase["status"] == "not run":
            _add(case, "error", f"not run: {phase['details']['reason']}", "NotRun")
    for failure in error.get("failures", ()):
        what = failure["title"] or "unknown cause"
        name = f"{failure['recipe']}:{failure['task']}" if failure["task"] else "bitbake"
        case = _case(suite, "task", name, 0)
        detail = "\n".join([failure["remedy"] or "", failure["log"] or "", *failure["lines"]])
        _add(case, "error", what, failure["cause"] or "unknown", detail.strip())
    for check in run["checks"]:
        case = _case(suite, check["suite"], check["id"].partition("::")[2], check["seconds"])
        if check["outcome"] == "failed":
            _add(case, "failure", check["message"], "CheckFailed", check["detail"])
        elif check["outcome"] == "error":
            _add(case, "error", check["message"], "CheckError", check["detail"])
        elif check["outcome"] == "flaky":
            _add(case, "flakyFailure", check["message"], "CheckFlaky")
        elif check["outcome"] == "skipped":
            ET.SubElement(case, "skipped", message=_clean(check["message"]))
        told = [f"logs of the node: {check['evidence']}"] if check.get("evidence") else []
        told += [f"[[ATTACHMENT|{_place(folder, name)}]]" for name in check.get("attached", ())]
        if told:
            # Each on a line of its own, and one element: readers take the first.
            ET.SubElement(case, "system-out").text = _clean("\n".join(told))
    for left in run["not_run"]:
        case = _case(suite, left["suite"], "(suite)", 0)
        if left.get("promised"):
            _add(case, "error", f"not run: {left['reason']}", "NotRun")
        else:
            ET.SubElement(case, "skipped", message=_clean(f"not run: {left['reason']}"))
    cases = suite.findall("testcase")
    for element in (root, suite):
        element.set("tests", str(len(cases)))
        for key, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            element.set(key, str(sum(case.find(tag) is not None for case in cases)))
    return root


def _properties(run: dict[str, Any]) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = [
        ("yoctovirt.run", run["id"]),
        ("yoctovirt.version", run["tool"]["version"]),
        ("yoctovirt.exit_code", run["exit_code"]),
    ]
    if run["image"]:
        image = run["image"]
        found.append(("image", image["name"]))
        for key in ("release", "machine", "distro"):
            if image.get(key):
                found.append((f"image.{key}", image[key]))
        found += [
            (f"image.{file['name']}.sha256", file["sha256"])
            for file in image["files"]
            if file.get("sha256")
        ]
    if run["pins"]:
        found.append(("pins.sha256", run["pins"].get("sha256", "")))
        packages = run["pins"].get("packages", {})
        found.append(("pins.packages", len(packages)))
        layers = run["pins"].get("layers", {})
        for name, pin in layers.items():
            found += [(f"pins.{name}.url", pin["url"]), (f"pins.{name}.commit", pin["commit"])]
    found += [(f"node.{node['name']}.accelerator", node["accelerator"]) for node in run["nodes"]]
    return found


def write_junit(folder: Path) -> Path:
    """Write junit.xml into the run record *folder* and return its path."""
    tree = junit_tree(load_run(folder), folder)
    ET.indent(tree)
    text = ET.tostring(tree, encoding="unicode")
    path = folder / JUNIT_FILE
    write_atomically(path, f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n')
    return path
