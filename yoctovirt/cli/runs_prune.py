"""``yoctovirt runs prune``."""

from __future__ import annotations

import shutil

import click

from yoctovirt.cli.common import workspace_of


@click.command("prune")
@click.option(
    "--keep", type=click.IntRange(min=1), default=10, show_default=True, metavar="N",
    help="So many of each name stay, the newest.",
)  # fmt: skip
@click.option(
    "--older", type=click.FloatRange(min=0), metavar="DAYS", help="Only records older than that."
)
@click.option("--dry-run", is_flag=True, help="Say what would go, and remove nothing.")
@click.pass_context
def command(ctx: click.Context, keep: int, older: float | None, dry_run: bool) -> None:
    """Remove old run records.

    Of each name the newest that passed and the newest that did not always stay, and so do runs
    that are under way and those of nodes that run.
    """
    from pathlib import Path

    from yoctovirt.base.files import disk_error, human_bytes, tree_bytes
    from yoctovirt.boot.node import running_nodes
    from yoctovirt.report.runs import all_runs, prunable

    workspace = workspace_of(ctx)
    runs, wrong = all_runs(workspace.runs)
    for message in wrong:
        click.echo(f"warning: left alone: {message}", err=True)
    used = [Path(node.state.run) for node in running_nodes(workspace).values()]
    freed = 0
    chosen = prunable(runs, keep, older, used)
    for run in chosen:
        freed += tree_bytes(run.folder)
        click.echo(f"{'would remove' if dry_run else 'remove'} {run.folder.name}")
        if not dry_run:
            try:
                shutil.rmtree(run.folder)
            except OSError as error:
                raise disk_error(error, run.folder) from error
    verb = "would free" if dry_run else "freed"
    click.echo(f"{verb} {human_bytes(freed)} ({len(chosen)} of {len(runs)} records)")
