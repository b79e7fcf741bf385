"""``yoctovirt runs open``."""

from __future__ import annotations

import os

import click

from yoctovirt.cli.common import workspace_of
from yoctovirt.cli.complete import role_names, run_ids

#: In the folder of the records: pages of those that have none.
DRAWN = ".reports"


@click.command("open")
@click.argument("run", required=False, shell_complete=run_ids)
@click.option("--role", metavar="ROLE", shell_complete=role_names, help="The newest of this role.")
@click.pass_context
def command(ctx: click.Context, run: str | None, role: str | None) -> None:
    """Open the report of RUN (default: the newest) in the browser; print where it is.

    A record without a report (of build, of boot, of a run that was killed) stays as it is: its
    page is drawn beside the records.
    """
    from yoctovirt.base.files import make_folder, write_atomically
    from yoctovirt.report.html import HTML_FILE, render_html
    from yoctovirt.report.runs import find_run

    runs = workspace_of(ctx).runs
    found = find_run(runs, run, role)
    page = found.folder / HTML_FILE
    if not page.is_file():
        page = make_folder(runs / DRAWN) / f"{found.folder.name}.html"
        write_atomically(page, render_html(found.folder, page=page.parent))
    click.echo(page)
    # Without a display xdg-open would start a text browser in a CI job.
    if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        click.launch(str(page.resolve()))
