"""``yoctovirt runs compare``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from yoctovirt.cli.common import workspace_of
from yoctovirt.cli.complete import run_ids
from yoctovirt.errors import EXIT_CHECKS_FAILED

if TYPE_CHECKING:
    from yoctovirt.report.runs import Run

_TITLES = {
    "newly_failed": ("newly failed", "red"),
    "newly_passed": ("newly passed", "green"),
    "still_failed": ("still failed", "red"),
    "flaky": ("flaky", "yellow"),
    "new": ("only in the second", None),
    "gone": ("only in the first", "yellow"),
}
#: So many changed packages are named.
_PACKAGES = 20


@click.command("compare")
@click.argument("first", shell_complete=run_ids)
@click.argument("second", required=False, shell_complete=run_ids)
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.option(
    "--fail-on-regression", is_flag=True, help="Exit code 1 where a check newly failed or is gone."
)
@click.pass_context
def command(
    ctx: click.Context, first: str, second: str | None, as_json: bool, fail_on_regression: bool
) -> int:
    """Say what changed from the run FIRST to SECOND (default: the newest of the same role).

    Checks newly failed, newly passed, flaky (both on one set of pins), slower (beyond the
    scatter of the workspace's other runs), times of phases, changed pins and packages, other
    conditions (release, machine, accelerator, host).
    """
    from yoctovirt.errors import UsageError
    from yoctovirt.report.compare import compare_runs
    from yoctovirt.report.runs import all_runs, find_run

    runs = workspace_of(ctx).runs
    one = find_run(runs, first)
    two = find_run(runs, second, one.data["role"])
    if one.folder.resolve() == two.folder.resolve():
        raise UsageError(
            f"{one.folder.name} would be compared with itself",
            "name two runs: yoctovirt runs list",
        )
    earlier = [
        run.data
        for run in all_runs(runs)[0]
        if run.data["role"] == two.data["role"]
        and run.started < two.started
        and run.folder.name not in (one.folder.name, two.folder.name)
    ]
    found = compare_runs(one.data, two.data, earlier)
    if as_json:
        click.echo(json.dumps({"first": one.folder.name, "second": two.folder.name, **found},
                              indent=2))  # fmt: skip
    else:
        click.echo(f"{one.folder.name}: {one.result}  ->  {two.folder.name}: {two.result}")
        for run in (one, two):
            if why := _why(run):
                click.echo(f"{run.folder.name}: {why}")
        _print(found, two.data)
    regression = found["newly_failed"] or found["gone"]
    return EXIT_CHECKS_FAILED if fail_on_regression and regression else 0


def _why(run: Run) -> str:
    """Return what ended *run* before all of its checks; empty where nothing did."""
    error = run.data["error"]
    if error and error["class"] != "ChecksFailedError":
        first: str = (error["message"] or run.result).partition("\n")[0]
        return first
    if run.result == "killed":
        last = [phase["name"] for phase in run.data["phases"] if phase["status"] == "running"]
        return f"killed in {last[-1]}" if last else "killed"
    return ""


def _print(found: dict[str, Any], second: dict[str, Any]) -> None:
    reasons = {left["suite"]: left["reason"] for left in second["not_run"]}
    messages = {check["id"]: check["message"] for check in second["checks"]}
    for name in found["newly_failed"] + found["still_failed"]:
        messages.setdefault(name, f"not run: {reasons.get(name.partition('::')[0], '')}")
    nothing = True
    for key, (title, colour) in _TITLES.items():
        for name in found[key]:
            nothing = False
            first = (messages.get(name) or "").partition("\n")[0]
            click.echo(f"{click.style(f'{title:18}', fg=colour)} {name}  {first[:100]}".rstrip())
    for row in found["slower"]:
        nothing = False
        click.echo(f"{'slower':18} {row['id']}  {row['before']:.1f} s -> {row['after']:.1f} s")
    for kind in ("pins", "packages"):
        rows = found[kind]
        for row in rows[:_PACKAGES]:
            nothing = False
            before, after = (_short(kind, row[side]) for side in ("before", "after"))
            click.echo(f"{kind[:-1]:18} {row['name']}  {before} -> {after}")
        if len(rows) > _PACKAGES:
            click.echo(f"{'':18} … and {len(rows) - _PACKAGES} more {kind} (--json has all)")
    for row in found["conditions"]:
        before, after = (row[side] or "none" for side in ("before", "after"))
        click.echo(f"{'condition':18} {row['name']}  {before} -> {after}")
    if not found["times_compared"]:
        click.echo("times of checks are not compared: they were not made on the same grounds")
    if nothing:
        click.echo("no check, pin or package differs")
    for row in found["phases"]:
        click.echo(f"{'phase':18} {row['name']}  {row['before']:.1f} s -> {row['after']:.1f} s")


def _short(kind: str, value: str | None) -> str:
    return "-" if not value else value[:12] if kind == "pins" else value
