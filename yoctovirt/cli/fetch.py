"""``yoctovirt fetch``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
from yoctovirt.cli.complete import role_names

if TYPE_CHECKING:
    from yoctovirt.base.record import RunRecord
    from yoctovirt.base.screen import Screen
    from yoctovirt.build.kas.builder import KasOptions
    from yoctovirt.build.kas.fetch import Fetched
    from yoctovirt.config.roles import Role
    from yoctovirt.config.workspace import Workspace


@click.command("fetch")
@click.argument("role", shell_complete=role_names)
@click.option(
    "--mirror-tarballs",
    is_flag=True,
    help="Pack git repositories, too, as a source mirror needs them.",
)
@build_options
@skip_preflight_option
@offline_option
@click.pass_context
def command(ctx: click.Context, /, role: str, mirror_tarballs: bool, **values: Any) -> None:
    """Fetch all sources of ROLE into DL_DIR; nothing is built.

    All that cannot be had is listed at the end, with each place that was asked and its answer.
    With --offline: look whether DL_DIR has all.
    """
    from yoctovirt.base.screen import Screen

    workspace = workspace_of(ctx, create=True)
    values.pop("force", None)
    found = load_checked_role(role, workspace.path)
    options = make_build_options(values)
    with recorded(workspace, f"fetch-{role}", role) as record:
        done = fetch_phase(record, workspace, found, options, Screen(), tarballs=mirror_tarballs)
    click.echo(f"fetched: {done.tasks} recipes, {done.new_files} new files and repositories")
    click.echo(f"DL_DIR:  {done.folder}")
    click.echo(f"record:  {record.path}")


def fetch_phase(
    record: RunRecord,
    workspace: Workspace,
    role: Role,
    options: KasOptions,
    screen: Screen,
    *,
    tarballs: bool = False,
) -> Fetched:
    """Fetch the sources of *role* as a phase of *record*."""
    from yoctovirt.build.kas.fetch import fetch
    from yoctovirt.cli.common import use_site
    from yoctovirt.errors import UsageError

    if role.builder != "kas":
        raise UsageError(
            f"role {role.name} is made of Debian packages: bitbake fetches nothing for it",
            "see 'yoctovirt roles' for the roles of the kas builder",
        )
    use_site(workspace.path)
    log = record.commands(screen.command)
    with record.phase("fetch") as details, screen.step(f"fetch {role.name}"):
        done = fetch(role, workspace, options, log, screen, record=record.path, tarballs=tarballs)
        details.update(
            release=done.release, dl_dir=str(done.folder), recipes=done.tasks, files=done.files,
            new_files=done.new_files,
        )  # fmt: skip
    return done
