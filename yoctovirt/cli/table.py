"""The verdicts of a run on the screen."""

from __future__ import annotations

from typing import Any

import click

from yoctovirt.report.shown import left_out

_COLOURS = {"passed": "green", "ok": "green", "failed": "red", "error": "red"}


def print_verdicts(run: dict[str, Any]) -> None:
    """Print a line a check of run.json, and what was not run with the reason."""
    checks = run["checks"]
    if checks:
        width = max(len(check["id"]) for check in checks)
        click.echo()
        for check in sorted(checks, key=lambda check: str(check["suite"])):
            outcome = check["outcome"]
            mark = click.style(f"{outcome.upper():8}", fg=_COLOURS.get(outcome, "yellow"))
            first = check["message"].splitlines()[0] if check["message"] else ""
            tail = first if outcome != "passed" else check["title"]
            click.echo(f"{mark} {check['id']:{width}} {check['seconds']:6.1f} s  {tail[:110]}")
    for left in run["not_run"]:
        if left.get("promised"):
            click.echo(f"{'NOT RUN':8} {left['suite']}: {left['reason']}")
    for reason, names in left_out(run).items():
        click.echo(f"{'NOT RUN':8} {', '.join(names)}: {reason}")
