"""What a layer says of itself in ``conf/layer.conf``, read without bitbake.

Only the assignments that decide whether layers fit together are followed, with the
operators of bitbake's manual ("Basic Syntax"); code and includes are not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

#: The variables that are followed; those that end in ``_`` carry a collection's name.
_FOLLOWED = ("BBFILE_COLLECTIONS", "BBPATH", "LAYERSERIES_CORENAMES", "LAYERSERIES_COMPAT_",
             "LAYERDEPENDS_", "LAYERVERSION_", "BBFILE_PRIORITY_")  # fmt: skip
_ASSIGNMENT = re.compile(
    r"""^\s*(?:export\s+)?(?P<name>[A-Za-z0-9_.+-]+?)(?P<how>(?::(?:append|prepend|remove))?)
    \s*(?P<operator>\?\?=|\?=|:=|\+=|=\+|\.=|=\.|=)\s*(?P<quote>["'])(?P<value>.*)(?P=quote)\s*$""",
    re.VERBOSE | re.DOTALL,
)
_OLD_OVERRIDE = re.compile(r"^(.*?)_(append|prepend|remove)$")
_DEPENDENCY = re.compile(r"([^\s()]+)\s*(?:\(\s*([<>=]+)\s*([^\s)]+)\s*\))?")


@dataclass
class Assignments:
    """The followed variables after one or more files, in the order in which bitbake reads them."""

    values: dict[str, str] = field(default_factory=dict)
    _weak: dict[str, str] = field(default_factory=dict)
    _late: list[tuple[str, str, str]] = field(default_factory=list)

    def read(self, text: str, variables: Mapping[str, str] | None = None) -> None:
        """Read the assignments of *text*; ``${NAME}`` of *variables* is replaced."""
        for line in _logical_lines(text):
            found = _ASSIGNMENT.match(line)
            if found is None or not found["name"].startswith(_FOLLOWED):
                continue
            name, how = found["name"], found["how"].lstrip(":")
            old = _OLD_OVERRIDE.match(name)
            if not how and old:
                name, how = old[1], old[2]
            value = found["value"]
            for key, replacement in (variables or {}).items():
                value = value.replace(f"${{{key}}}", replacement)
            if how:
                self._late.append((name, how, value))
            else:
                self._assign(name, found["operator"], value)

    def _assign(self, name: str, operator: str, value: str) -> None:
        now = self.values.get(name)
        if operator == "??=":
            self._weak[name] = value
        elif operator == "?=":
            self.values.setdefault(name, value)
        elif operator in ("=", ":="):
            self.values[name] = value
        elif operator == "+=":
            self.values[name] = f"{now or ''} {value}"
        elif operator == "=+":
            self.values[name] = f"{value} {now or ''}"
        elif operator == ".=":
            self.values[name] = (now or "") + value
        else:
            self.values[name] = value + (now or "")

    def get(self, name: str) -> str | None:
        """Return the value of *name* as bitbake expands it, None where nobody sets it."""
        value = self.values.get(name, self._weak.get(name))
        for other, how, text in self._late:
            if other != name:
                continue
            if how == "append":
                value = (value or "") + text
            elif how == "prepend":
                value = text + (value or "")
        removed = {
            word for other, how, text in self._late
            if other == name and how == "remove" for word in text.split()
        }  # fmt: skip
        if value is not None and removed:
            value = " ".join(word for word in value.split() if word not in removed)
        return value


def _logical_lines(text: str) -> Iterable[str]:
    """Return the lines of *text* without comments; a backslash at the end continues a line."""
    whole = ""
    for line in text.splitlines():
        if not whole and line.lstrip().startswith("#"):
            continue
        whole += line[:-1] if line.endswith("\\") else line
        if line.endswith("\\"):
            continue
        yield whole
        whole = ""
    if whole:
        yield whole


@dataclass(frozen=True)
class Dependency:
    """An entry of LAYERDEPENDS: a collection, and what its LAYERVERSION has to be."""

    collection: str
    operator: str = ""
    version: str = ""

    def met_by(self, version: str | None) -> bool:
        """Whether a LAYERVERSION of *version* will do."""
        if not self.operator:
            return True
        if version is None:
            return False
        have, want = _number(version), _number(self.version)
        return {"=": have == want, "==": have == want, ">=": have >= want, "<=": have <= want,
                ">": have > want, "<": have < want}.get(self.operator, False)  # fmt: skip

    def __str__(self) -> str:
        return (
            f"{self.collection} ({self.operator} {self.version})"
            if self.operator
            else (self.collection)
        )


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)) or (0,)


def dependencies(text: str | None) -> list[Dependency]:
    """Return the entries of a value of LAYERDEPENDS: ``core (>= 12) networking-layer``."""
    return [
        Dependency(name, operator or "", version or "")
        for name, operator, version in _DEPENDENCY.findall(text or "")
    ]


@dataclass(frozen=True)
class Layer:
    """A layer of a pinned repository and what its ``conf/layer.conf`` says."""

    repo: str
    path: str  #: in the repository; ``.`` is its top
    text: str  #: of conf/layer.conf
    prio: int = 0  #: kas's: what is higher stands earlier in BBLAYERS
    classes: frozenset[str] = frozenset()  #: its bbclass files

    @property
    def name(self) -> str:
        """The name for messages: ``meta-openembedded/meta-oe``."""
        return self.repo if self.path == "." else f"{self.repo}/{self.path}"

    @property
    def prepends(self) -> bool:
        """Whether it puts itself before all that stands in BBPATH, not behind."""
        mine = Assignments({"BBPATH": "|"})
        mine.read(self.text, {"LAYERDIR": "LAYER"})
        return (mine.get("BBPATH") or "").startswith("LAYER")

    @property
    def collections(self) -> list[str]:
        """The collections that it brings (BBFILE_COLLECTIONS); nearly always one."""
        mine = Assignments()
        mine.read(self.text)
        return (mine.get("BBFILE_COLLECTIONS") or "").split()
