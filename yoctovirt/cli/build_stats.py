"""``yoctovirt build-stats``."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from yoctovirt.base.files import human_bytes
from yoctovirt.base.screen import human_seconds
from yoctovirt.cli.common import workspace_of
from yoctovirt.cli.complete import run_ids

if TYPE_CHECKING:
    from pathlib import Path

    from rich.table import Table


@click.command("build-stats")
@click.argument("run", required=False, shell_complete=run_ids)
@click.option(
    "--compare", "other", metavar="RUN2", shell_complete=run_ids, help="Show RUN2 beside it."
)
@click.option("--json", "as_json", is_flag=True, help="Print build.json (with --compare: both).")
@click.option("--report", is_flag=True, help="Write report.html into the record, with a time line.")
@click.pass_context
def command(
    ctx: click.Context, /, run: str | None, other: str | None, as_json: bool, report: bool
) -> None:
    """Show what a build did: time by phase, tasks, sstate, slowest tasks, disk, memory.

    RUN is the id of a run record or the path of its folder; by default the newest build.
    """
    from yoctovirt.report.build import find_record, load_build

    runs = workspace_of(ctx).runs
    folder = find_record(runs, run)
    build = load_build(folder)
    if report:
        from yoctovirt.report.html import write_html

        click.echo(f"report: {write_html(folder)}", err=True)
    if other is not None:
        second = find_record(runs, other)
        beside = load_build(second)
        if as_json:
            both = {"run": {"id": folder.name, **build}, "other": {"id": second.name, **beside}}
            click.echo(json.dumps(both, indent=1))
        else:
            _print_both(folder, build, second, beside)
    elif as_json:
        click.echo(json.dumps({"id": folder.name, **build}, indent=1))
    else:
        _print_one(folder, build)


def _print_one(folder: Path, build: dict[str, Any]) -> None:
    from yoctovirt.report.build import facts, longest_steps

    when = datetime.fromtimestamp(build["started"]).astimezone()
    click.echo(f"{folder.name}: {', '.join(build['targets']) or 'no target'}")
    click.echo(
        f"{build['result']} in {human_seconds(build['seconds'])}, begun {when:%Y-%m-%d %H:%M}, "
        f"bitbake {build['bitbake'] or 'unknown'}, {build['threads'] or 'unknown'} threads"
    )
    click.echo()
    for name, text in facts(build):
        click.echo(f"{name:10} {text}")
    for title, rows, columns in (
        ("Slowest tasks", build["slowest_tasks"][:10], ("recipe", "task", "seconds")),
        ("Slowest recipes", build["slowest_recipes"][:10], ("recipe", "tasks", "seconds")),
        (
            "What held it up: each task waited for the one above it",
            longest_steps(build["critical_path"], 12),
            ("recipe", "task", "seconds", "waited"),
        ),
    ):
        if rows:
            click.echo(f"\n{title}")
            _print_table(rows, columns)


def _print_table(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> None:
    table = _table(columns)
    for row in rows:
        cells = (row[column] for column in columns)
        table.add_row(*(f"{cell:.1f}" if isinstance(cell, float) else str(cell) for cell in cells))
    _show(table)


def _table(columns: tuple[str, ...]) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        words = ("recipe", "task", "figure")
        table.add_column(column, justify="left" if column in words else "right", overflow="fold")
    return table


def _show(table: Table) -> None:
    import sys

    from rich.console import Console

    # A log has no width: nothing in it is to be wrapped.
    Console(width=None if sys.stdout.isatty() else 160, highlight=False).print(table)


def _print_both(folder: Path, build: dict[str, Any], second: Path, beside: dict[str, Any]) -> None:
    from yoctovirt.report.build import changed_tasks, compare, load_tasks

    table = _table(("figure", folder.name, second.name, "difference"))
    for name, one, two in compare(build, beside):
        table.add_row(name, _cell(name, one), _cell(name, two), _difference(name, one, two))
    _show(table)
    rows = changed_tasks(load_tasks(folder), load_tasks(second))
    if rows:
        click.echo("Tasks whose times differ most, in seconds (- where it was not run)")
        table = _table(("task", folder.name, second.name, "difference"))
        for name, one, two in rows:
            cells = ("-" if value is None else f"{value:.1f}" for value in (one, two))
            table.add_row(name, *cells, f"{(two or 0.0) - (one or 0.0):+.1f}")
        _show(table)


def _cell(name: str, value: Any) -> str:
    if isinstance(value, int) and ("bytes" in name or name.startswith("disk")):
        return f"-{human_bytes(-value)}" if value < 0 else human_bytes(value)
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def _difference(name: str, one: Any, two: Any) -> str:
    if isinstance(one, str) or isinstance(two, str):
        return "" if one == two else "differs"
    change = two - one
    text = _cell(name, abs(change) if isinstance(change, int) else abs(float(change)))
    sign = "+" if change > 0 else "-" if change < 0 else ""
    percent = f" ({100 * change / one:+.0f} %)" if one and change else ""
    return f"{sign}{text}{percent}"
