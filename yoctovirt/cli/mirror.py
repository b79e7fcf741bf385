"""``yoctovirt mirror``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from yoctovirt.cli.common import (
    load_checked_role,
    offline_option,
    recorded,
    releases_option,
    use_site,
    workspace_folder,
    workspace_of,
)
from yoctovirt.cli.complete import role_names

if TYPE_CHECKING:
    from yoctovirt.config.roles import Role

#: Below the folder of mirrors: a DL_DIR.
DOWNLOADS = "downloads"


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
@releases_option
@click.option(
    "--sources",
    "roles",
    multiple=True,
    metavar="ROLE",
    shell_complete=role_names,
    help="Fetch the sources of this role, too, into DIR/downloads; may be given several times.",
)
@click.option(
    "--build-user",
    metavar="NAME",
    help="As root, for --sources: run kas as this user.",
)
@offline_option
@click.pass_context
def sync(
    ctx: click.Context,
    /,
    target: Path,
    sources: tuple[str, ...],
    names: tuple[str, ...],
    roles: tuple[str, ...],
    build_user: str | None,
) -> None:
    """Fetch the pinned commits of the releases into a folder of bare repositories.

    Give the folder to YOCTOVIRT_LAYER_MIRRORS, here or on a machine without a network. It
    holds the commits without their history where the source can give them so. With --sources
    DIR/downloads becomes a DL_DIR with which the role is built offline, and a source mirror.
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
    wanted = _roles(ctx, roles)  # wrong names are told of before anything is fetched
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
    use = f"export YOCTOVIRT_LAYER_MIRRORS={target}"
    if wanted:
        _fetch_sources(ctx, wanted, names, target, build_user)
        use += f" DL_DIR={target / DOWNLOADS}"
    click.echo(f"use it: {use}")


def _roles(ctx: click.Context, names: tuple[str, ...]) -> list[Role]:
    from yoctovirt.errors import UsageError

    folder = workspace_folder(ctx)
    roles = [load_checked_role(name, folder) for name in dict.fromkeys(names)]
    for role in roles:
        if role.builder != "kas":
            raise UsageError(
                f"--sources: role {role.name} is made of Debian packages",
                "see 'yoctovirt roles' for the roles of the kas builder",
            )
    return roles


def _fetch_sources(
    ctx: click.Context,
    roles: list[Role],
    releases: tuple[str, ...],
    target: Path,
    build_user: str | None,
) -> None:
    """Fetch what *roles* need into the downloads of *target*, on *releases* or their own."""
    from yoctovirt.base.screen import Screen
    from yoctovirt.build.kas.builder import KasOptions
    from yoctovirt.build.kas.fetch import carry_along
    from yoctovirt.cli.fetch import fetch_phase

    workspace = workspace_of(ctx, create=True)
    # The environment wins over what a site or a file says.
    os.environ["DL_DIR"] = str(target / DOWNLOADS)
    os.environ["YOCTOVIRT_LAYER_MIRRORS"] = str(target)
    for role in roles:
        for release in releases or (None,):
            with recorded(workspace, f"fetch-{role.name}", role.name) as record:
                options = KasOptions(release=release, build_user=build_user)
                done = fetch_phase(record, workspace, role, options, Screen(), tarballs=True)
                carry_along(done.folder)
            click.echo(
                f"{DOWNLOADS}: sources of {role.name} on {done.release}: {done.tasks} recipes"
            )
