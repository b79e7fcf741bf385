"""``yoctovirt logs``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from yoctovirt.cli.common import workspace_of
from yoctovirt.cli.complete import node_names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from yoctovirt.boot.logs import Dates, NodeLog


@click.command("logs")
@click.argument("node", shell_complete=node_names)
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until the node ends.")
@click.option("-n", "--lines", type=click.IntRange(0), metavar="N", help="Only the last N lines.")
@click.option("-t", "--timestamps", is_flag=True, help="Put the time before each line.")
@click.option("--raw", is_flag=True, help="Byte by byte, with the escape codes of the guest.")
@click.option("--qemu", is_flag=True, help="What QEMU (or runqemu) itself said.")
@click.pass_context
def command(
    ctx: click.Context,
    node: str,
    follow: bool,
    lines: int | None,
    timestamps: bool,
    raw: bool,
    qemu: bool,
) -> None:
    """Print what the console of NODE has said, while it runs or in its last run."""
    from yoctovirt.boot.logs import Dates, find_log, pieces, tail_offset
    from yoctovirt.errors import UsageError

    if raw and timestamps:
        raise UsageError("--raw and --timestamps exclude each other", "leave one away")
    log = find_log(workspace_of(ctx), node, "qemu" if qemu else "console")
    offset = tail_offset(log.path, lines) if lines is not None else 0
    if lines == 0:
        offset = log.path.stat().st_size
    if raw:
        for data in pieces(log, offset, follow):
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        return
    for line in _lines(log, offset, follow, Dates(log.path) if timestamps else None):
        sys.stdout.write(line)
        sys.stdout.flush()


def _lines(log: NodeLog, offset: int, follow: bool, dates: Dates | None) -> Iterator[str]:
    """Yield the lines, free of what a terminal would obey."""
    from yoctovirt.boot.logs import pieces
    from yoctovirt.boot.signs import clean

    rest = b""
    for data in pieces(log, offset, follow):
        whole, newline, last = (rest + data).rpartition(b"\n")
        if not newline:
            rest += data
            continue
        rest = last
        for line in whole.split(b"\n"):
            yield _stamp(dates, offset) + clean(line.decode(errors="replace")) + "\n"
            offset += len(line) + 1
    if rest:
        yield _stamp(dates, offset) + clean(rest.decode(errors="replace")) + "\n"


def _stamp(dates: Dates | None, offset: int) -> str:
    from datetime import datetime

    if dates is None:
        return ""
    moment = dates.of(offset)
    if moment is None:
        return f"{'?':23} "
    return datetime.fromtimestamp(moment).isoformat(sep=" ", timespec="milliseconds") + " "
