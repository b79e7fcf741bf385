"""Write docs/reference.md from the parser: ``python scripts/reference.py`` (make reference).

``--check`` writes nothing and exits with 1 where the file is not what the parser says.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from yoctovirt.cli import cli
from yoctovirt.cli.lazy import LazyGroup

TARGET = Path(__file__).resolve().parents[1] / "docs" / "reference.md"
_HEAD = """# Reference of the verbs

Made from the parser by `make reference`; do not edit. `yoctovirt VERB --help` says the same. Shell
completion: [completion.md](completion.md).
"""


def reference() -> str:
    """Return the whole page."""
    parts = [_HEAD, *_pages(cli, "yoctovirt", None)]
    return "\n".join(parts).rstrip() + "\n"


def _pages(command: click.Command, path: str, parent: click.Context | None) -> Iterator[str]:
    ctx = click.Context(command, parent=parent, info_name=path.rpartition(" ")[2])
    yield f"{'##' if path.count(' ') < 2 else '###'} {path}\n"
    usage = " ".join(command.collect_usage_pieces(ctx))
    yield f"    {path} {usage}\n"
    if command.help:
        yield _text(command.help)
    rows = [_row(param, ctx) for param in command.get_params(ctx)]
    rows = [row for row in rows if row]
    if rows:
        yield "\n".join(["| option | |", "| --- | --- |", *rows]) + "\n"
    if isinstance(command, LazyGroup):
        for name in command.list_commands(ctx):
            inner = command.get_command(ctx, name)
            assert inner is not None
            yield from _pages(inner, f"{path} {name}", ctx)


def _text(text: str) -> str:
    """Return a help text as Markdown: a paragraph that click leaves as it stands is code."""
    found = []
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        if paragraph.startswith("\b\n"):
            found.append("\n".join(f"    {line}" for line in paragraph.splitlines()[1:]))
        else:
            found.append(_safe(paragraph))
    return "\n\n".join(found) + "\n"


def _safe(text: str) -> str:
    """Keep Markdown from reading signs of a help text as its own."""
    return text.replace("<", "&lt;").replace("*", "\\*").replace("[", "\\[")


def _row(param: click.Parameter, ctx: click.Context) -> str:
    record = param.get_help_record(ctx)
    if record is None or not isinstance(param, click.Option) or "--help" in param.opts:
        return ""
    name, help_text = (part.replace("|", "\\|") for part in record)
    return f"| `{name}` | {_safe(help_text)} |"


if __name__ == "__main__":
    page = reference()
    if "--check" in sys.argv[1:]:
        if TARGET.read_text(encoding="utf-8") != page:
            sys.exit(f"{TARGET} is not what the parser says: make reference")
    else:
        TARGET.write_text(page, encoding="utf-8")
