"""``yoctovirt mirror``."""

from __future__ import annotations

from pathlib import Path

import click

from yoctovirt.cli.common import offline_option, use_site, workspace_folder


@click.group("mirror")
def command() -> None:
    """Make a folder of mirrors that holds exactly what is pinned (yoctovirt mirror sync)."""


@command.command("sync")
@click.option(
    "--to",
    "target",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Folder to make or to refresh.",
)
@click.option(
    "--from",
    "sources",
    multiple=True,
    metavar="DIR|URL",
    help="Folder of repositories or prefix of URLs; several are tried in their order "
    "(default: YOCTOVIRT_LAYER_MIRRORS). The public URL comes last.",
)
@click.option("--release", "names", multiple=True, metavar="NAME", help="Only this release.")
@offline_option
@click.pass_context
def sync(
    ctx: click.Context, /, target: Path, sources: tuple[str, ...], names: tuple[str, ...]
) -> None:
    """Fetch the pinned commits of the releases into a folder of bare repositories.

    Give the folder to YOCTOVIRT_LAYER_MIRRORS, here or on a machine without a network. It
    holds the commits without their history where the source can give them so.
    """
    from yoctovirt.base.files import human_bytes, tree_bytes
    from yoctovirt.base.screen import Screen
    from yoctovirt.config.selection import load_releases
    from yoctovirt.pins.git import git_settings
    from yoctovirt.pins.mirror import MirrorSync
    from yoctovirt.pins.sources import check_mirrors, mirror_list

    use_site(workspace_folder(ctx))
    entries = list(sources) or mirror_list()
    check_mirrors(entries, "--from" if sources else "YOCTOVIRT_LAYER_MIRRORS")
    pins = [pin for release in load_releases(names) for pin in release.pins]
    target = target.absolute()
    screen = Screen()
    with git_settings() as git, screen.step(f"mirror sync to {target}"):
        done = MirrorSync(target, entries, git, screen).all(pins)
    for mirror in done:
        for warning in mirror.warnings:
            click.echo(f"warning: {warning}", err=True)
    for mirror in done:
        size = human_bytes(tree_bytes(mirror.folder))
        how = f"from {mirror.source}" if mirror.source else "was up to date"
        click.echo(f"{mirror.folder.name:42} {len(mirror.pins)} commits {size:>9}  {how}")
    click.echo(f"use it: export YOCTOVIRT_LAYER_MIRRORS={target}")
