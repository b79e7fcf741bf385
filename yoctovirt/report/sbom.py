"""Licences, SPDX and known vulnerabilities of a run's image, in short, from its record."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from yoctovirt.build.oefindings import FOLDER, LICENSES

#: Severities by CVSS: https://nvd.nist.gov/vuln-metrics/cvss
SEVERITIES = ("critical", "high", "medium", "low", "not scored")
#: So many unpatched CVEs are named; the file in the record has all.
NAMED = 60
#: SPDX of more bytes is not read for its number of packages.
_READ = 64 << 20


def sbom_view(folder: Path) -> dict[str, Any] | None:
    """Return what the page shows of the folder ``sbom`` of a record; None where there is none."""
    place = folder / FOLDER
    files = sorted(path for path in place.glob("*") if path.is_file())
    if not files:
        return None
    return {
        "files": [
            {"name": f"{FOLDER}/{path.name}", "bytes": path.stat().st_size} for path in files
        ],
        "licenses": licenses(place / LICENSES[0]),
        "cves": next((c for path in files if (c := cves(path)) is not None), None),
        "spdx": [text for path in files if (text := spdx(path))],
    }


def licenses(path: Path) -> dict[str, Any] | None:
    """Return the packages of a license.manifest by licence; None where there is none.

    ``packages`` is their number; ``names`` has the packages of each licence that is named in
    an expression, most first.
    """
    if not path.is_file():
        return None
    names: dict[str, list[str]] = {}
    packages = list(_manifest(path.read_text(encoding="utf-8", errors="replace")))
    for package, expression in packages:
        for name in dict.fromkeys(re.split(r"[\s&|()]+", expression)):
            if name:
                names.setdefault(name, []).append(package)
    return {
        "packages": len(packages),
        "names": dict(sorted(names.items(), key=lambda item: (-len(item[1]), item[0]))),
    }


def _manifest(text: str) -> Iterator[tuple[str, str]]:
    """Yield package and licence expression of each entry; an entry ends with an empty line."""
    entry: dict[str, str] = {}
    for line in [*text.splitlines(), ""]:
        key, colon, value = line.partition(":")
        if colon:
            entry[key.strip()] = value.strip()
        elif not line.strip():
            if "PACKAGE NAME" in entry:
                yield entry["PACKAGE NAME"], entry.get("LICENSE", "")
            entry = {}


def cves(path: Path) -> dict[str, Any] | None:
    """Return what cve-check found, None where the file is none of its.

    ``unpatched`` counts by severity, ``patched`` and ``ignored`` in all; ``rows`` are the
    unpatched ones, worst first: ``id``, ``package``, ``version``, ``score``, ``severity``,
    ``summary``.
    """
    data = _json(path) if ".cve" in path.name or "sbom-cve-check" in path.name else None
    if not isinstance(data, dict) or not isinstance(data.get("package"), list):
        return None
    rows: list[dict[str, Any]] = []
    seen: dict[str, set[tuple[str, str]]] = {"Patched": set(), "Ignored": set()}
    for package in data["package"]:
        for issue in package.get("issue", ()):
            if issue.get("status") in seen:
                seen[issue["status"]].add((str(package.get("name")), str(issue.get("id"))))
            elif issue.get("status") == "Unpatched":
                score, severity = severity_of(issue)
                rows.append(
                    {"id": str(issue.get("id")), "package": str(package.get("name")),
                     "version": str(package.get("version")), "score": score,
                     "severity": severity, "summary": str(issue.get("summary", ""))}
                )  # fmt: skip
    rows.sort(key=lambda row: (SEVERITIES.index(row["severity"]), -row["score"], row["id"]))
    return {
        "unpatched": {kind: sum(row["severity"] == kind for row in rows) for kind in SEVERITIES},
        "patched": len(seen["Patched"]),
        "ignored": len(seen["Ignored"]),
        "rows": rows[:NAMED],
        "more": max(0, len(rows) - NAMED),
        "packages": len(data["package"]),
    }


def severity_of(issue: dict[str, Any]) -> tuple[float, str]:
    """Return score and severity of a CVE: by CVSS 4, else 3, else 2, whichever has a score."""
    for key in ("scorev4", "scorev3", "scorev2"):
        try:
            score = float(issue.get(key) or 0)
        except ValueError:
            continue
        if score > 0:
            if key == "scorev2":  # it knows nothing above high
                return score, "high" if score >= 7 else "medium" if score >= 4 else "low"
            limits = ((9.0, "critical"), (7.0, "high"), (4.0, "medium"), (0.0, "low"))
            return score, next(word for limit, word in limits if score >= limit)
    return 0.0, "not scored"


def spdx(path: Path) -> str:
    """Return in words what an SPDX file of the record is; empty for other files."""
    if ".spdx." not in path.name or "sbom-cve-check" in path.name:
        return ""
    if path.name.endswith(".tar.zst"):
        return f"SPDX 2.2, all documents: {path.name}"
    data = _json(path)
    if not isinstance(data, dict):
        return f"SPDX that is not read here: {path.name}"
    if "spdxVersion" in data:  # the image's own document
        number = len(data.get("packages", ()))
        return f"{str(data['spdxVersion']).replace('-', ' ')}, {number} packages: {path.name}"
    if "documents" in data:
        return f"SPDX 2.2, {len(data['documents'])} documents: {path.name}"
    graph = data.get("@graph", [])
    number = sum(isinstance(each, dict) and each.get("type") == "software_Package"
                 for each in graph)  # fmt: skip
    return f"SPDX 3.0, {number} packages: {path.name}"


def _json(path: Path) -> Any:
    """Return what *path* holds; None where it is no JSON or too large."""
    if path.stat().st_size > _READ or not path.name.endswith((".json", ".json.gz")):
        return None
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
        return json.loads(data)
    except (OSError, ValueError, EOFError):
        return None
