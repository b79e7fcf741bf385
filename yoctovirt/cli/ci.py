"""``yoctovirt ci``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from yoctovirt.cli.common import (
    boot_options,
    build_options,
    jobs_option,
    load_checked_role,
    make_boot_options,
    make_build_options,
    offline_option,
    reported,
    skip_preflight_option,
    suites_option,
    workspace_of,
)

if TYPE_CHECKING:
    from yoctovirt.base.record import RunRecord
    from yoctovirt.base.screen import Screen
    from yoctovirt.boot.qemuargs import BootOptions
    from yoctovirt.build.kas.builder import KasOptions
    from yoctovirt.config.roles import Role
    from yoctovirt.config.workspace import Workspace


@click.command("ci")
@click.argument("roles", nargs=-1, required=True, metavar="ROLE...")
@build_options
@boot_options
@skip_preflight_option
@offline_option
@suites_option
@jobs_option
@click.pass_context
def command(
    ctx: click.Context, /, roles: tuple[str, ...], force: bool, jobs: int | None, **values: Any
) -> int:
    """Build, boot and smoke-test each ROLE; write a record and a report for each.

    One exit code for all: the earliest failing phase decides.
    """
    from yoctovirt.base.screen import Screen
    from yoctovirt.config.features import with_features
    from yoctovirt.errors import EXIT_INTERRUPTED, UsageError, combined_exit_code

    workspace = workspace_of(ctx, create=True)
    if len(set(roles)) != len(roles):
        raise UsageError("a role is named twice")
    # All names are checked before the first hour is spent.
    found = [load_checked_role(name, workspace.path) for name in roles]
    how = Options(make_boot_options(values), make_build_options(values), force, jobs)
    found = [with_features(role, how.build.features) for role in found]
    screen = Screen()
    codes = []
    for role in found:
        codes.append(_one(workspace, role, how, screen))
        if codes[-1] == EXIT_INTERRUPTED:
            break
    return combined_exit_code(codes)


@dataclass(frozen=True)
class Options:
    """How to build and to boot."""

    boot: BootOptions
    build: KasOptions
    force: bool
    jobs: int | None


def _one(workspace: Workspace, role: Role, how: Options, screen: Screen) -> int:
    """Run the pipe for one role and print its error: the next role still has its turn."""
    from yoctovirt.base.record import exit_code_of
    from yoctovirt.cli import print_error
    from yoctovirt.errors import YoctovirtError

    try:
        with reported(workspace, role.name, role.name) as record:
            _pipe(record, workspace, role, how, screen)
    except YoctovirtError as error:
        print_error(error.message, error.hint)
        return error.exit_code
    except KeyboardInterrupt as error:
        click.echo("yoctovirt: interrupted", err=True)
        return exit_code_of(error)
    return 0


def _pipe(
    record: RunRecord, workspace: Workspace, role: Role, how: Options, screen: Screen
) -> None:
    from yoctovirt.boot.launcher import BootRequest
    from yoctovirt.cli.flow import boot_phase, build_phase, note_unreached, smoke_phase
    from yoctovirt.cli.table import print_verdicts

    try:
        built = build_phase(record, workspace, role, screen, force=how.force, options=how.build)
        request = BootRequest(
            workspace, built.deploy, role, role.name, how.boot, record.path, built.runqemu
        )
        with boot_phase(record, request, screen) as launch:
            smoke_phase(record, workspace, [launch.node], screen, jobs=how.jobs)
    finally:
        note_unreached(record, role.promises, workspace)
        print_verdicts(record)
