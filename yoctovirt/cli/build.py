"""``yoctovirt build``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from yoctovirt.cli.common import (
    build_options,
    load_checked_role,
    make_build_options,
    offline_option,
    planned_workspace_of,
    recorded,
    skip_preflight_option,
    workspace_of,
)
from yoctovirt.cli.complete import role_names

if TYPE_CHECKING:
    from yoctovirt.base.screen import Screen
    from yoctovirt.build.dryrun import Step
    from yoctovirt.build.kas.builder import KasOptions
    from yoctovirt.config.roles import Role
    from yoctovirt.config.workspace import Workspace

#: Where the arguments behind ``--`` wait for the verb (click would take them for roles).
_PASSED_ON = "yoctovirt.bitbake-arguments"


class PassingOn(click.Command):
    """A command whose arguments behind ``--`` are for bitbake."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep what stands behind ``--``, and parse the rest."""
        passed: list[str] = []
        if "--" in args:
            place = args.index("--")
            args, passed = args[:place], args[place + 1 :]
        ctx.meta[_PASSED_ON] = tuple(passed)
        return super().parse_args(ctx, args)


@click.command("build", cls=PassingOn)
@click.argument(
    "names",
    nargs=-1,
    required=True,
    metavar="ROLE... [-- BITBAKE-ARGUMENT...]",
    shell_complete=role_names,
)
@click.option(
    "--continue",
    "keep_going",
    is_flag=True,
    help="After a failure build what can still be built (bitbake -k), and the other roles.",
)
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="NAME",
    help="Build this in place of the role's image; may be given several times.",
)
@click.option("--task", metavar="NAME", help="Run this task in place of 'build' (bitbake -c).")
@click.option("--dry-run", is_flag=True, help="Print every command and file; do nothing.")
@build_options
@skip_preflight_option
@offline_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    names: tuple[str, ...],
    force: bool,
    keep_going: bool,
    targets: tuple[str, ...],
    task: str | None,
    dry_run: bool,
    **values: Any,
) -> int:
    """Build the image of each ROLE into the workspace (made where there is none).

    Roles are built in the order in which their nodes start: compute after controller, from
    whose sstate it takes. After Ctrl-C the same call goes on where it was. What stands
    behind -- is handed on to bitbake.
    """
    from yoctovirt.base.screen import Screen
    from yoctovirt.build.builders import check_call
    from yoctovirt.build.kas.call import BitbakeCall
    from yoctovirt.config.features import with_features
    from yoctovirt.errors import UsageError

    if len(set(names)) != len(names):
        raise UsageError("a role is named twice")
    workspace = planned_workspace_of(ctx)
    call = BitbakeCall(keep_going, targets, task, ctx.meta[_PASSED_ON])
    options = replace(make_build_options(values), bitbake=call)
    # Everything that is wrong with the call is said before the first hour is spent.
    roles = [load_checked_role(name, workspace.path) for name in names]
    roles = sorted(
        (with_features(role, options.features) for role in roles), key=lambda role: role.node.order
    )
    mixed = any(role.builder == "debian" for role in roles)
    for role in roles:
        check_call(role, workspace, options, force=force and not mixed)
    if keep_going and mixed and len(roles) == 1:
        raise UsageError(
            f"--continue: {names[0]} is made of Debian packages, in one go",
            "it is for bitbake, and for several roles",
        )
    if dry_run:
        _print_plan(roles, workspace, options, force)
        return 0
    return _build_all(roles, workspace_of(ctx, create=True), options, force, Screen())


def _build_all(
    roles: list[Role], workspace: Workspace, options: KasOptions, force: bool, screen: Screen
) -> int:
    """Build *roles* one after the other; return one exit code for all."""
    from yoctovirt.errors import EXIT_INTERRUPTED, combined_exit_code

    codes: dict[str, int] = {}
    for role in roles:
        codes[role.name] = _one(role, workspace, options, force, screen)
        if codes[role.name] == EXIT_INTERRUPTED or (
            codes[role.name] and not options.bitbake.keep_going
        ):
            break
    if len(roles) > 1:
        click.echo()
        for role in roles:
            click.echo(f"{role.name:16} {_outcome(role.name, codes)}")
    return combined_exit_code(codes.values())


def _outcome(name: str, codes: dict[str, int]) -> str:
    from yoctovirt.errors import EXIT_INTERRUPTED

    if name in codes:
        word = "interrupted" if codes[name] == EXIT_INTERRUPTED else "failed"
        return f"{word} (exit code {codes[name]})" if codes[name] else "built"
    last = list(codes)[-1]
    if codes[last] == EXIT_INTERRUPTED:
        return "not built: interrupted before it"
    return f"not built: {last} did not get to its end (--continue goes on after a failure)"


def _one(role: Role, workspace: Workspace, options: KasOptions, force: bool, screen: Screen) -> int:
    """Build *role* with a record of its own, and print its error or where the image is."""
    from yoctovirt.base.record import exit_code_of
    from yoctovirt.cli import print_error
    from yoctovirt.cli.flow import tasks_phase
    from yoctovirt.errors import YoctovirtError

    try:
        with recorded(workspace, f"build-{role.name}", role.name) as record:
            built = tasks_phase(record, workspace, role, screen, force=force, options=options)
    except YoctovirtError as error:
        print_error(error.message, error.hint)
        return error.exit_code
    except KeyboardInterrupt as error:
        click.echo("yoctovirt: interrupted", err=True)
        return exit_code_of(error)
    if built is None:
        click.echo(f"done:   {options.bitbake.described(role.name)}; no image was made")
        click.echo(f"output: {record.path / 'build.log'}")
    else:
        click.echo(f"image:  {built.deploy.rootfs}")
    click.echo(f"record: {record.path}")
    if built is not None:
        click.echo(f"next:   yoctovirt boot {role.name}")
    return 0


def _print_plan(roles: list[Role], workspace: Workspace, options: KasOptions, force: bool) -> None:
    from yoctovirt.build.dryrun import file_step, planned_steps
    from yoctovirt.config.workspace import TEMPLATE, WORKSPACE_FILE

    if not (workspace.path / WORKSPACE_FILE).is_file():
        _print_step(file_step(workspace.path / WORKSPACE_FILE, TEMPLATE))
    seen: set[Step] = set()  # what is done for one role need not be done for the next
    for role in roles:
        click.echo(f"==> build {role.name}")
        click.echo(f"write {workspace.runs}/<time>-build-{role.name}/")
        click.echo("    | run.json, commands.log, build.log (see docs/run-record.md)")
        for step in planned_steps(role, workspace, options, force=force):
            if step not in seen:
                _print_step(step)
            seen.add(step)


def _print_step(step: Step) -> None:
    if step.what == "run":
        remark = f"    # {step.detail[0]}" if step.detail else ""
        click.echo(f"$ {step.subject}{remark}")
    elif step.what == "link":
        click.echo(f"link  {step.subject} -> {step.detail[0]}")
    else:
        click.echo(f"{step.what:5} {step.subject}{' (as it is)' if step.what == 'keep' else ''}")
        for line in step.detail:
            click.echo(f"    | {line}")
