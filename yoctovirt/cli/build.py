"""``yoctovirt build``."""

from __future__ import annotations

import click

from yoctovirt.cli.common import load_checked_role, recorded, workspace_of


@click.command("build")
@click.argument("role")
@click.option("--force", is_flag=True, help="Build even where the cache has the image.")
@click.pass_context
def command(ctx: click.Context, role: str, force: bool) -> None:
    """Build the image of ROLE into the workspace (made where there is none)."""
    from yoctovirt.base.screen import Screen
    from yoctovirt.cli.flow import build_phase

    workspace = workspace_of(ctx, create=True)
    found = load_checked_role(role, workspace)
    screen = Screen()
    with recorded(workspace, f"build-{role}", role) as record:
        deploy = build_phase(record, workspace, found, screen, force=force)
    click.echo(f"image:  {deploy.rootfs}")
    click.echo(f"record: {record.path}")
    click.echo(f"next:   yoctovirt boot {role}")
