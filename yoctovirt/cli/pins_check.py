"""``yoctovirt pins check``."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import click

from yoctovirt.cli.common import offline_option, opened_places, releases_option, workspace_folder

if TYPE_CHECKING:
    from yoctovirt.pins.findings import Finding

_COLOURS = {"missing": "red", "error": "red", "warning": "yellow", "note": "blue"}


@click.command("check")
@releases_option
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@offline_option
@click.pass_context
def command(ctx: click.Context, /, names: tuple[str, ...], as_json: bool) -> None:
    """Check that the pinned layers fit together: every commit, branch, series, dependency.

    Reads conf/layer.conf of the pinned commits from the mirrors of YOCTOVIRT_LAYER_MIRRORS
    and the checkouts of the workspace: no network, no bitbake. Exit code 1 for an error,
    3 where a commit is in no mirror at hand; warnings and notes change nothing.
    """
    from datetime import date

    from yoctovirt.config.selection import known, load_releases, selections
    from yoctovirt.pins.check import check_release

    start = time.monotonic()
    findings: list[Finding] = []
    releases = load_releases(names)
    roles = known(workspace_folder(ctx))
    with opened_places(ctx) as places:
        for release in releases:
            findings += check_release(release, selections(release, roles), places, date.today())
    if as_json:
        click.echo(json.dumps([finding.as_json() for finding in findings], indent=1))
    else:
        print_findings(findings)
        pins = sum(len(release.pins) for release in releases)
        click.echo(
            f"{len(releases)} releases, {pins} pins: {summary(findings)} "
            f"({time.monotonic() - start:.1f} s)"
        )
    judge(findings)


def print_findings(findings: list[Finding]) -> None:
    """Print what was found: what, where, and what to do about it."""
    for one in findings:
        level = click.style(f"{one.level:8}", fg=_COLOURS[one.level])
        click.echo(f"{level} {one.release}: {one.where}: {one.what}")
        if one.roles:
            click.echo(f"{'':8} roles: {', '.join(one.roles)}")
        if one.remedy:
            click.echo(f"{'':8} remedy: {one.remedy}")


def summary(findings: list[Finding]) -> str:
    """Return how many findings there are of each level."""
    counts = {"missing": 0, "error": 0, "warning": 0, "note": 0}
    for one in findings:
        counts[one.level] += 1
    return (
        f"{counts['missing']} missing, {counts['error']} errors, {counts['warning']} warnings, "
        f"{counts['note']} notes"
    )


def judge(findings: list[Finding]) -> None:
    """Raise where what was found is not good enough to build on."""
    from yoctovirt.errors import ChecksFailedError, InfrastructureError

    levels = [finding.level for finding in findings]
    if "missing" in levels:
        raise InfrastructureError(
            f"{levels.count('missing')} pinned commits are in no mirror at hand, so what they "
            "hold was not checked",
            "see the remedies above",
        )
    if "error" in levels:
        raise ChecksFailedError(
            f"the pins do not fit together: {levels.count('error')} errors",
            "see the remedies above",
        )
