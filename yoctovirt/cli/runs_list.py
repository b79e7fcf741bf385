"""``yoctovirt runs list``."""

from __future__ import annotations

import json
import sys

import click

from yoctovirt.cli.common import workspace_of
from yoctovirt.cli.complete import role_names


@click.command("list")
@click.option("--role", metavar="ROLE", shell_complete=role_names, help="Only runs of this role.")
@click.option(
    "-n", "--last", type=click.IntRange(min=1), metavar="N", default=20, show_default=True,
    help="So many, the newest.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.pass_context
def command(ctx: click.Context, role: str | None, last: int, as_json: bool) -> None:
    """List the runs of the workspace, newest last, with what came of them."""
    from yoctovirt.base.screen import human_seconds
    from yoctovirt.report.runs import BAD, all_runs

    workspace = workspace_of(ctx)
    runs, wrong = all_runs(workspace.runs)
    for message in wrong:
        click.echo(f"warning: {message}", err=True)
    runs = [run for run in runs if role in (None, run.data["role"])][-last:]
    if as_json:
        rows = [
            {
                **{key: run.data[key] for key in ("id", "role", "started", "seconds", "exit_code")},
                "result": run.result,
                "checks": len(run.data["checks"]),
                "bad": run.count(*BAD),
                "folder": str(run.folder),
            }
            for run in runs
        ]
        click.echo(json.dumps(rows, indent=2))
        return
    if not runs:
        what = f"of role {role} " if role else ""
        click.echo(f"there is no run record {what}in {workspace.runs}", err=True)
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for title in ("RUN", "ROLE", "RESULT", "EXIT", "TIME", "CHECKS", "PHASES"):
        table.add_column(title, no_wrap=title == "RUN")
    colours = {"passed": "green", "running": "yellow"}
    for run in runs:
        checks, bad = len(run.data["checks"]), run.count(*BAD)
        seconds, code = run.data["seconds"], run.data["exit_code"]
        table.add_row(
            run.folder.name,
            run.data["role"] or "-",
            Text(run.result, style=colours.get(run.result, "red")),
            "-" if code is None else str(code),
            "-" if seconds is None else human_seconds(seconds),
            f"{bad} of {checks} bad" if bad else str(checks or "-"),
            " ".join(
                phase["name"] if phase["status"] == "ok" else f"{phase['name']}:{phase['status']}"
                for phase in run.data["phases"]
            ),
        )
    Console(width=None if sys.stdout.isatty() else 160, highlight=False).print(table)
