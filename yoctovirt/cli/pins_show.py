"""``yoctovirt pins show``."""

from __future__ import annotations

import click

from yoctovirt.cli.common import offline_option, opened_places, releases_option


@click.command("show")
@releases_option
@offline_option
@click.pass_context
def command(ctx: click.Context, /, names: tuple[str, ...]) -> None:
    """List the releases, the commits that they pin, and where those are at hand.

    Looks in the mirrors of YOCTOVIRT_LAYER_MIRRORS and in the workspace, at no network.
    """
    from datetime import date

    from yoctovirt.config.selection import load_releases

    releases = load_releases(names)
    with opened_places(ctx) as places:
        for number, release in enumerate(releases):
            info = release.info
            if number:
                click.echo()
            support = "supported until" if info.supported(date.today()) else "support ended in"
            lts = " LTS" if info.lts else ""
            click.echo(
                f"{release.name}: Yocto {info.yocto}{lts}, bitbake {info.bitbake}, "
                f"{support} {info.until}"
            )
            click.echo(f"  machines: {' '.join(info.machines)}")
            click.echo(f"  roles:    {' '.join(info.roles)}")
            for pin in release.pins:
                found = places.find(pin, release.name)
                where = str(found.stores[0].folder) if found.stores else "not at hand"
                click.echo(f"  {pin.name:20} {pin.branch or '(no branch)':11} {pin.commit}")
                click.echo(f"  {'':20} {pin.url} ({where})")
