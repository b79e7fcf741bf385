"""``yoctovirt build``."""

from __future__ import annotations

from typing import Any

import click

from yoctovirt.cli.common import (
    build_options,
    load_checked_role,
    make_build_options,
    offline_option,
    recorded,
    skip_preflight_option,
    workspace_of,
)


@click.command("build")
@click.argument("role")
@build_options
@skip_preflight_option
@offline_option
@click.pass_context
def command(ctx: click.Context, /, role: str, force: bool, **values: Any) -> None:
    """Build the image of ROLE into the workspace (made where there is none)."""
    from yoctovirt.base.screen import Screen
    from yoctovirt.cli.flow import build_phase

    workspace = workspace_of(ctx, create=True)
    found = load_checked_role(role, workspace.path)
    options = make_build_options(values)
    screen = Screen()
    with recorded(workspace, f"build-{role}", role) as record:
        built = build_phase(record, workspace, found, screen, force=force, options=options)
    click.echo(f"image:  {built.deploy.rootfs}")
    click.echo(f"record: {record.path}")
    click.echo(f"next:   yoctovirt boot {role}")
