"""The guides of docs/ read back: the files that they show, and the commands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

DOCS = Path(__file__).parents[1] / "docs"
#: First line of a block that is a file.
FILE = re.compile(r"# ([\w./-]+\.(?:yml|py))$")


def _blocks(page: str) -> Iterator[list[str]]:
    """Yield the indented blocks of *page*, without their indentation; a file is one block."""
    text = (DOCS / page).read_text(encoding="utf-8")
    for found in re.finditer(r"(?:^ {4}.*\n(?:\n+(?= {4}))?)+", text, re.MULTILINE):
        block: list[str] = []
        for line in dedent(found[0]).splitlines():
            if block and not block[-1] and (FILE.match(line) or line.startswith("yoctovirt ")):
                yield block  # two blocks with nothing but an empty line between them
                block = []
            block.append(line)
        yield block


def files(page: str) -> dict[str, str]:
    """Return what *page* says to write, by the name in the block's first line."""
    found: dict[str, str] = {}
    for block in _blocks(page):
        name = FILE.match(block[0])
        if name:
            found[name[1]] = "\n".join(block[1:]).rstrip() + "\n"
    return found


def write_files(page: str, folder: Path) -> None:
    """Write the files of *page* into *folder*, as a reader would."""
    for name, text in files(page).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def commands(page: str) -> list[str]:
    """Return the calls of yoctovirt that *page* shows, in order, without their comments."""
    return [
        re.sub(r"\s{2,}# .*", "", line)
        for block in _blocks(page)
        if not FILE.match(block[0])
        for line in block
        if line.startswith("yoctovirt ")
    ]


def printed(page: str, call: str) -> list[str]:
    """Return the lines that *page* shows of what *call* prints: the block after it."""
    text = (DOCS / page).read_text(encoding="utf-8")
    found = re.search(rf"^ {{4}}{re.escape(call)}(?: .*)?\n\n((?: {{4}}.*\n)+)", text, re.MULTILINE)
    assert found, f"{page} does not show {call}"
    return dedent(found[1]).splitlines()
