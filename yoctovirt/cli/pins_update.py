"""``yoctovirt pins update``."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from yoctovirt.cli.common import offline_option, opened_places, releases_option, workspace_folder
from yoctovirt.cli.pins_check import print_findings

if TYPE_CHECKING:
    from yoctovirt.pins.findings import Finding
    from yoctovirt.pins.places import Places
    from yoctovirt.pins.release import Release
    from yoctovirt.pins.update import Move, Updater


@click.command("update")
@releases_option
@click.option("--repo", "repos", multiple=True, metavar="NAME", help="Only this repository.")
@click.option("--to", metavar="REV", help="To this commit (default: where the branch stands).")
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@offline_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    names: tuple[str, ...],
    repos: tuple[str, ...],
    to: str | None,
    dry_run: bool,
) -> None:
    """Move pins along their branches; print the commits that this brings or takes away.

    The history is read from YOCTOVIRT_LAYER_MIRRORS, the workspace, or the public URLs; a
    shallow mirror has too little of it. What 'pins check' finds wrong with the new pins
    that is not wrong with the old ones refuses all: nothing is written then. A commit that
    is not on its branch, which --to may name, is written without the branch.
    """
    from yoctovirt.base.files import write_atomically
    from yoctovirt.config.selection import load_releases
    from yoctovirt.errors import ChecksFailedError, UsageError
    from yoctovirt.pins.sources import mirror_list
    from yoctovirt.pins.update import Updater, edited

    releases = load_releases(names)
    for repo in repos:
        if not any(pin.name == repo for release in releases for pin in release.pins):
            releases[0].pin(repo)  # says what it should have been
    if to is not None and (len(repos) != 1 or len(releases) != 1):
        raise UsageError(
            "--to is one commit of one repository of one release", "name --repo and --release"
        )
    workspace = workspace_folder(ctx)
    with (
        tempfile.TemporaryDirectory(prefix="yoctovirt-history-") as work,
        opened_places(ctx) as places,
    ):
        updater = Updater(places.git, places, mirror_list(), Path(work))
        moves = _moves(updater, releases, repos, to)
        texts = {}
        refused: list[Finding] = []
        for release in releases:
            mine = [move for move in moves[release.name] if not move.stays]
            if mine:
                texts[release.path] = edited(release.path, mine)
                refused += _new_problems(release, mine, places, workspace)
    for release in releases:
        for move in moves[release.name]:
            _print(release.name, move)
    if refused:
        print_findings(refused)
        raise ChecksFailedError(
            f"the new pins do not fit together: {len(refused)} findings; nothing was changed",
            "see the remedies above; --repo and --to choose other commits",
        )
    for release in releases:
        for move in moves[release.name]:
            _warn(move)
    for path, text in texts.items():
        if not dry_run:
            write_atomically(path, text)
        click.echo(f"{'would be written' if dry_run else 'written'}: {path}")
    if not texts:
        click.echo("nothing changed")


def _moves(
    updater: Updater, releases: list[Release], repos: tuple[str, ...], to: str | None
) -> dict[str, list[Move]]:
    """Return the moves of each release; raise with all that cannot be moved."""
    from yoctovirt.errors import InfrastructureError

    moves: dict[str, list[Move]] = {}
    failed = []
    for release in releases:
        moves[release.name] = []
        for pin in release.pins:
            if (repos and pin.name not in repos) or (pin.branch is None and not repos):
                continue
            try:
                moves[release.name].append(updater.move(release.name, pin, to))
            except InfrastructureError as error:
                failed.append(error)
    if failed:
        raise InfrastructureError(
            "\n".join(error.message for error in failed),
            f"{failed[0].hint}; nothing was changed (--repo chooses what can be moved)",
        )
    return moves


def _new_problems(
    release: Release, moves: list[Move], places: Places, workspace: Path
) -> list[Finding]:
    """Return what is wrong with the release after *moves*, and was not before."""
    from dataclasses import replace
    from datetime import date

    from yoctovirt.config.selection import known, selections
    from yoctovirt.pins.check import check_release

    roles = known(workspace)
    new = {move.new.name: move.new for move in moves}
    after = replace(release, pins=tuple(new.get(pin.name, pin) for pin in release.pins))
    old, now = (
        check_release(state, selections(state, roles), places, date.today())
        for state in (release, after)
    )
    before = {(one.code, one.where, one.what) for one in old}
    return [
        one
        for one in now
        if one.level in ("error", "missing") and (one.code, one.where, one.what) not in before
    ]


def _print(release: str, move: Move) -> None:
    """Print a move and the commits between, newest first."""
    old, new = move.old, move.new
    if move.stays:
        click.echo(f"{release}: {old.name}: {old.commit[:12]} stays ({move.source})")
        return
    counts = f"{len(move.added)} commits more"
    if move.removed:
        counts += f", {len(move.removed)} less"
    click.echo(
        f"{release}: {old.name}: {old.commit[:12]} -> {new.commit[:12]}, {counts} ({move.source})"
    )
    for line in move.added:
        click.echo(f"  + {line}")
    for line in move.removed:
        click.echo(f"  - {line}")


def _warn(move: Move) -> None:
    """Say that a pin loses its branch."""
    if move.new.branch is None and move.old.branch is not None:
        click.echo(
            f"warning: {move.new.commit[:12]} is not on branch {move.old.branch}: it is pinned "
            "without the branch; keep a mirror that has it",
            err=True,
        )
