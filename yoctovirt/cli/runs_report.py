"""``yoctovirt runs report``."""

from __future__ import annotations

from pathlib import Path

import click

from yoctovirt.cli.common import workspace_of
from yoctovirt.cli.complete import run_ids


@click.command("report")
@click.argument("runs", nargs=-1, metavar="[RUN...]", shell_complete=run_ids)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("report.html"),
    show_default=True,
    help="The page to write; its links lead from there to the logs.",
)
@click.pass_context
def command(ctx: click.Context, runs: tuple[str, ...], output: Path) -> None:
    """Draw one page of the records RUN (default: the newest), wherever they were made."""
    from yoctovirt.base.files import write_atomically
    from yoctovirt.errors import UsageError
    from yoctovirt.report.html import render_html
    from yoctovirt.report.runs import find_run

    folder = output.absolute().parent
    if not folder.is_dir():
        raise UsageError(f"--output {output}: there is no folder {folder}")
    known = workspace_of(ctx).runs
    found = dict.fromkeys(find_run(known, name).folder.absolute() for name in runs or (None,))
    if folder in found:
        raise UsageError(
            f"--output {output} lies in a run record, which stays as it is", "name another folder"
        )
    write_atomically(output, render_html(*found, page=folder))
    click.echo(output)
