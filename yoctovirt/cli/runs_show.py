"""``yoctovirt runs show``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from yoctovirt.cli.common import workspace_of
from yoctovirt.cli.complete import role_names, run_ids

if TYPE_CHECKING:
    from yoctovirt.report.runs import Run


@click.command("show")
@click.argument("run", required=False, shell_complete=run_ids)
@click.option("--role", metavar="ROLE", shell_complete=role_names, help="The newest of this role.")
@click.option("--json", "as_json", is_flag=True, help="Print run.json.")
@click.pass_context
def command(ctx: click.Context, run: str | None, role: str | None, as_json: bool) -> None:
    """Say what came of RUN (default: the newest), and what is wrong."""
    from yoctovirt.report.runs import find_run

    found = find_run(workspace_of(ctx).runs, run, role)
    if as_json:
        click.echo(json.dumps(found.data, indent=2))
    else:
        _print(found)


def _print(run: Run) -> None:
    from yoctovirt.base.screen import human_seconds
    from yoctovirt.cli.table import print_verdicts

    data = run.data
    took = "" if data["seconds"] is None else f" in {human_seconds(data['seconds'])}"
    code = "" if data["exit_code"] is None else f", exit code {data['exit_code']}"
    click.echo(f"{run.folder.name}: {run.result}{took}{code}")
    click.echo(f"  called as  {data['command']}")
    click.echo(f"  on         {data['host']['os']}, {data['host']['cpus']} CPUs")
    for phase in data["phases"]:
        seconds = "" if phase["seconds"] is None else f", {human_seconds(phase['seconds'])}"
        reason = phase["details"].get("reason", "")
        click.echo(f"  {phase['name']:10} {phase['status']}{seconds}{reason and ': '}{reason}")
    for node in data["nodes"]:
        click.echo(f"  node       {node['name']}: {node['accelerator']}"
                   f" ({node['accelerator_reason']})")  # fmt: skip
    image = data["image"]
    if image:
        click.echo(f"  image      {image['name']} in {image['deploy_dir']}")
    for name, pin in ((data["pins"] or {}).get("layers") or {}).items():
        click.echo(f"  layer      {name} {pin['commit'][:12]}")
    if data["error"]:
        click.echo(f"  error      {data['error']['message']}")
        if data["error"]["hint"]:
            click.echo(f"  hint       {data['error']['hint']}")
    print_verdicts(data)
    click.echo(f"\n{run.folder}")
