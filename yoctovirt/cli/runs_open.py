"""``yoctovirt runs open``."""

from __future__ import annotations

import os

import click

from yoctovirt.cli.common import workspace_of


@click.command("open")
@click.argument("run", required=False)
@click.option("--role", metavar="ROLE", help="The newest of this role.")
@click.pass_context
def command(ctx: click.Context, run: str | None, role: str | None) -> None:
    """Open the report of RUN (default: the newest) in the browser; print where it is.

    A record without a report (of build, of boot, of a run that was killed) gets one.
    """
    from yoctovirt.report.html import HTML_FILE, write_html
    from yoctovirt.report.runs import find_run

    found = find_run(workspace_of(ctx).runs, run, role)
    page = found.folder / HTML_FILE
    if not page.is_file():
        page = write_html(found.folder)
    click.echo(page)
    # Without a display xdg-open would start a text browser in a CI job.
    if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        click.launch(str(page.resolve()))
