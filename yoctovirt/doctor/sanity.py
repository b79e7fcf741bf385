"""What a release demands of the host: read from its own metadata, or as stored for it.

``HOSTTOOLS`` of bitbake.conf names the programs, ``sanity.bbclass`` the least versions and the
longest TMPDIR. What is read is compared with what is stored by a test on real layers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

#: Where the files are in the repository of a release's core, newest layout first.
CONF = "meta/conf/bitbake.conf"
SANITY = ("meta/classes-global/sanity.bbclass", "meta/classes/sanity.bbclass")
_STORED = Path(__file__).with_name("demands.json")
#: Tools whose least version sanity.bbclass checks, and the function that does.
_VERSIONED = ("gcc", "git", "make", "patch", "tar")


@dataclass(frozen=True)
class Demands:
    """What a release wants of its host."""

    tools: tuple[str, ...]
    versions: dict[str, str]  #: least version of a tool
    tmpdir_length: int
    ascii_path: bool  #: whether TMPDIR may have ASCII letters only
    locale: str
    source: str = "as stored with yoctovirt"

    def as_json(self) -> dict[str, Any]:
        """Return what is stored: all but where it came from."""
        return {key: value for key, value in asdict(self).items() if key != "source"}


def _plain_tools(conf: str) -> set[str]:
    """Return the tools of the assignments to HOSTTOOLS, those with conditions left out."""
    found: set[str] = set()
    for value in re.findall(r'^HOSTTOOLS \+= "((?:[^"\\]|\\.|\\\n)*)"', conf, re.MULTILINE):
        if "${" not in value:
            found.update(value.replace("\\\n", " ").split())
    return found


def _body(text: str, function: str) -> str:
    found = re.search(rf"^def {function}\(.*?(?=^\S)", text, re.MULTILINE | re.DOTALL)
    return found.group() if found else ""


def parse(conf: str, sanity: str, source: str) -> Demands | None:
    """Return what *conf* (bitbake.conf) and *sanity* (sanity.bbclass) demand.

    None where they are not written in a way that is understood.
    """
    tools = _plain_tools(conf)
    utilities = re.search(r'^SANITY_REQUIRED_UTILITIES \?= "((?:[^"\\]|\\.|\\\n)*)"', sanity, re.M)
    if utilities:
        tools.update(utilities.group(1).replace("\\\n", " ").split())
    versions = {}
    for tool in _VERSIONED:
        body = _body(sanity, f"check_{tool}_version")
        least = re.search(rf'{tool}_minimum_version = "([\d.]+)"', body) or re.search(
            r'vercmp_string_op\(version, "([\d.]+)", "<"\)', body
        )
        if least:
            versions[tool] = least.group(1)
    python = re.search(r"hexversion < 0x([0-9a-f]{2})([0-9a-f]{2})00F0", sanity, re.IGNORECASE)
    length = re.search(r'check_path_length\(tmpdir, "TMPDIR", (\d+)\)', sanity)
    locale = re.search(r'setlocale\(locale\.LC_ALL, "([^"]+)"\)', sanity)
    if not (len(tools) > 20 and len(versions) == len(_VERSIONED) and python and length and locale):
        return None
    versions["python3"] = f"{int(python.group(1), 16)}.{int(python.group(2), 16)}"
    return Demands(
        tuple(sorted(tools)), dict(sorted(versions.items())), int(length.group(1)),
        bool(re.search(r"addresult\(check_non_ascii\(", sanity)), locale.group(1), source,
    )  # fmt: skip


def stored(release: str) -> Demands | None:
    """Return what was read of *release* when yoctovirt was made, None where it was not known."""
    entry = json.loads(_STORED.read_text(encoding="utf-8")).get(release)
    if entry is None:
        return None
    return Demands(**{**entry, "tools": tuple(entry["tools"])})


def from_files(read: Callable[[str], str | None], source: str) -> Demands | None:
    """Return what the files demand that *read* gives by their path in the repository."""
    conf = read(CONF)
    sanity = next((text for path in SANITY if (text := read(path))), None)
    return parse(conf, sanity, source) if conf and sanity else None


def from_checkout(core: Path) -> Demands | None:
    """Return what the checkout *core* (poky or openembedded-core) demands."""

    def read(path: str) -> str | None:
        try:
            return (core / path).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None

    return from_files(read, f"as {core} demands")
