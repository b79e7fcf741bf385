# SPDX-License-Identifier: MIT
"""The host's Debian mirrors, from its apt sources.

Used by quick-debs.bbclass at build time and by `yoctovirt quick-lock`. The files are
read here rather than by apt, for apt names only those sources whose lists
have been downloaded and are readable by the caller.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

MAIN, SECURITY = "YV_DEBIAN_MIRROR", "YV_DEBIAN_SECURITY_MIRROR"


def _one_line_entries(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        match = re.match(r"\s*deb\s+(?:\[[^]]*\]\s+)?(\S+)\s+(\S+)", line)
        if match:
            yield match[1], match[2]


def _deb822_entries(text: str) -> Iterator[tuple[str, str]]:
    text = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for block in re.split(r"\n\s*\n", text):
        fields: dict[str, str] = {}
        key = ""
        for line in block.splitlines():
            if line[:1] in (" ", "\t"):
                fields[key] = fields.get(key, "") + line
            else:
                key, _, value = line.partition(":")
                key = key.strip().lower()
                fields[key] = value
        if (
            fields.get("enabled", "yes").strip() == "no"
            or "deb" not in fields.get("types", "").split()
        ):
            continue
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                yield uri, suite


def sources(etc: Path = Path("/etc/apt")) -> Iterator[tuple[str, str]]:
    """(URI, suite) of every binary source, in apt's own order of files."""
    files = [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))]
    for file in files:
        if file.is_file() and file.suffix in (".list", ".sources"):
            read = _deb822_entries if file.suffix == ".sources" else _one_line_entries
            yield from read(file.read_text())


def host_mirrors(
    etc: Path = Path("/etc/apt"), os_release: Path = Path("/etc/os-release")
) -> dict[str, str]:
    """Return the bitbake variables that the host's sources give: both, one or none."""
    found = re.search(r'^VERSION_CODENAME="?([\w-]+)', os_release.read_text(), re.M)
    codename = found[1] if found else ""
    wanted = {codename: MAIN, f"{codename}-security": SECURITY}
    mirrors: dict[str, str] = {}
    for uri, suite in sources(etc):
        if suite in wanted and re.match(r"https?://|file:|copy:|mirror", uri):
            mirrors.setdefault(wanted[suite], uri.rstrip("/"))
    return mirrors
