"""``yoctovirt pins export``."""

from __future__ import annotations

from pathlib import Path

import click

from yoctovirt.cli.common import offline_option, opened_places
from yoctovirt.cli.complete import release_names


@click.command("export")
@click.option(
    "--release",
    "name",
    required=True,
    metavar="NAME",
    shell_complete=release_names,
    help="Release to export.",
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write it there."
)
@offline_option
@click.pass_context
def command(ctx: click.Context, /, name: str, output: Path | None) -> None:
    """Print the pins of a release as a kas lock file.

    kas takes PROJECT.lock.yml beside PROJECT.yml by itself: with it a configuration of
    yours that names the same repositories is built of our commits. Where a mirror at hand
    shows that a commit is not on its branch, the branch is overridden, too.
    """
    from yoctovirt.base.files import write_atomically
    from yoctovirt.config.selection import load_releases
    from yoctovirt.pins.export import lock_file
    from yoctovirt.pins.places import on_branch

    (release,) = load_releases([name])
    branchless = set()
    with opened_places(ctx) as places:
        for pin in release.pins:
            found = places.find(pin, name)
            if (
                pin.branch
                and on_branch(places.git, found.stores, pin.commit, pin.branch)[0] == "no"
            ):
                branchless.add(pin.name)
                click.echo(
                    f"warning: {pin.name}: {pin.commit[:12]} is not on branch {pin.branch}; "
                    "exported without it",
                    err=True,
                )
    text = lock_file(release, branchless)
    if output is None:
        click.echo(text, nl=False)
    else:
        write_atomically(output, text)
