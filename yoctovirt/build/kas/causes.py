"""The catalogue of causes (``causes.yml``), and which of them a log shows.

The first entry whose pattern is found counts. What no entry fits has no cause here: it is
shown as unknown, with the error lines of its log.
"""

from __future__ import annotations

import json
import re
import string
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from yoctovirt.base.yamlfile import load_mapping
from yoctovirt.errors import UsageError

CATALOGUE = Path(__file__).with_name("causes.yml")
#: What every template may name beside the groups of its patterns.
_ALWAYS = frozenset(("recipe", "task"))
#: Facts of one kind that are shown; how many there are is said besides.
_MOST = 8


@dataclass(frozen=True)
class Cause:
    """Why something failed, and what to do about it."""

    name: str  #: as in the catalogue
    title: str
    remedy: str
    blame: str  #: ``host`` or ``build``: whose fault it is
    facts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    look_up: str | None = None  #: what more can be found out: ``recipes``, ``host-tools``
    values: dict[str, str] = field(default_factory=dict)  #: what the pattern has found
    lines: tuple[str, ...] = ()  #: the lines of the log that say it


@dataclass(frozen=True)
class Entry:
    """An entry of the catalogue."""

    name: str
    title: str
    remedy: str
    blame: str
    match: tuple[re.Pattern[str], ...]
    when: str | None = None  #: ``task``: in the log of a task; ``start``: in bitbake's output
    tasks: tuple[str, ...] = ()
    not_tasks: tuple[str, ...] = ()
    collect: tuple[tuple[str, re.Pattern[str]], ...] = ()
    lines: tuple[re.Pattern[str], ...] = ()
    look_up: str | None = None

    def fits(self, task: str | None) -> bool:
        """Whether the entry is about a failure of *task* (None: bitbake ran none)."""
        if self.when is not None and self.when != ("task" if task else "start"):
            return False
        if task is None:
            return not self.tasks
        return (not self.tasks or task in self.tasks) and task not in self.not_tasks


def find_cause(
    text: str, task: str | None = None, recipe: str = "", entries: Sequence[Entry] | None = None
) -> Cause | None:
    """Return the cause that *text* shows, the log of *task* or the output of bitbake.

    None where the catalogue knows no such text.
    """
    for entry in _catalogue() if entries is None else entries:
        if not entry.fits(task):
            continue
        found = next((hit for pattern in entry.match if (hit := pattern.search(text))), None)
        if found is not None:
            return _cause(entry, found, text, {"task": task or "bitbake", "recipe": recipe})
    return None


def _cause(entry: Entry, found: re.Match[str], text: str, values: dict[str, str]) -> Cause:
    values |= {name: (value or "").strip() for name, value in found.groupdict().items()}
    facts: dict[str, tuple[str, ...]] = {}
    for name, pattern in entry.collect:
        seen = list(dict.fromkeys(hit.strip() for hit in pattern.findall(text)))
        if len(seen) > _MOST:
            seen[_MOST:] = [f"… and {len(seen) - _MOST} more"]
        facts[name] = tuple(seen)
    texts = values | {name: "; ".join(seen) or "(not in the log)" for name, seen in facts.items()}
    return Cause(
        entry.name,
        entry.title.format(**texts),
        entry.remedy.format(**texts),
        entry.blame,
        {name: seen for name, seen in facts.items() if seen},
        entry.look_up,
        values,
        tuple(line for pattern in entry.lines for line in _lines_with(pattern, text)),
    )


def _lines_with(pattern: re.Pattern[str], text: str) -> list[str]:
    found = (text[hit.start() : hit.end()].strip("\n") for hit in pattern.finditer(text))
    return list(dict.fromkeys(line for piece in found for line in piece.splitlines()))[:_MOST]


@lru_cache(maxsize=1)
def _catalogue() -> tuple[Entry, ...]:
    return load_catalogue(CATALOGUE)


def load_catalogue(path: Path) -> tuple[Entry, ...]:
    """Return the entries of a catalogue.

    Raises UsageError where it does not fit ``causes.schema.json``, a name stands twice, a
    pattern is none, or a template names what not all of its patterns find.
    """
    import jsonschema

    values = load_mapping(path)
    schema = json.loads(Path(__file__).with_name("causes.schema.json").read_text("utf-8"))
    problem = jsonschema.exceptions.best_match(
        jsonschema.Draft202012Validator(schema).iter_errors(values)
    )
    if problem is not None:
        place = ".".join(str(part) for part in problem.absolute_path) or "top level"
        raise UsageError(f"{path}: {place}: {problem.message}")
    entries = tuple(_entry(path, raw) for raw in values["causes"])
    names = [entry.name for entry in entries]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"{path}: {', '.join(twice)}: there are two entries of that name")
    return entries


def _entry(path: Path, raw: dict[str, Any]) -> Entry:
    def compiled(pattern: str) -> re.Pattern[str]:
        try:
            return re.compile(pattern, re.MULTILINE)
        except re.error as error:
            raise UsageError(f"{path}: {raw['name']}: {pattern!r}: {error}") from error

    match = tuple(map(compiled, raw["match"]))
    collect = tuple((name, compiled(text)) for name, text in raw.get("collect", {}).items())
    lines = tuple(map(compiled, raw.get("lines", ())))
    for name, pattern in collect:
        if pattern.groups != 1:
            raise UsageError(f"{path}: {raw['name']}: collect.{name} has not one group")
    known = {name for name, _ in collect} | _ALWAYS
    for key in ("title", "remedy"):
        named = {part for _, part, _, _ in string.Formatter().parse(raw[key]) if part is not None}
        for pattern in match:
            lacking = sorted(named - known - set(pattern.groupindex))
            if lacking:
                raise UsageError(
                    f"{path}: {raw['name']}: {key} names {', '.join(lacking)}, and "
                    f"{pattern.pattern!r} finds no such thing"
                )
    return Entry(
        raw["name"], raw["title"].strip(), raw["remedy"].strip(), raw["blame"], match,
        raw.get("when"), tuple(raw.get("tasks", ())), tuple(raw.get("not_tasks", ())),
        collect, lines, raw.get("look_up"),
    )  # fmt: skip
