"""``yoctovirt ci``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from yoctovirt.cli.annotate import KINDS, choose_kind, speaking_to, tell_ci
from yoctovirt.cli.bootoptions import boot_options, make_boot_options
from yoctovirt.cli.choice import Checks, check_expression, choice_options, suite_choice
from yoctovirt.cli.ci_options import PHASES, Options
from yoctovirt.cli.common import (
    build_options,
    load_checked_role,
    make_build_options,
    offline_option,
    planned_workspace_of,
    reported,
    skip_preflight_option,
    workspace_of,
)
from yoctovirt.cli.complete import role_and_host_names
from yoctovirt.cli.hosts import choose_hosts, host_option, test_host
from yoctovirt.cli.retry import Retry, retry_options
from yoctovirt.cli.suites import jobs_option, suites_option, tempest_option
from yoctovirt.cli.together import make_set_options, named_nodes, set_options, wants_set

if TYPE_CHECKING:
    from yoctovirt.base.record import RunRecord
    from yoctovirt.base.screen import Screen
    from yoctovirt.boot.hosts import Host
    from yoctovirt.boot.together import SetOptions
    from yoctovirt.config.roles import Role
    from yoctovirt.config.workspace import Workspace


@click.command("ci")
@click.argument("roles", nargs=-1, metavar="(ROLE[:N]|HOST)...", shell_complete=role_and_host_names)
@host_option
@click.option("--one-by-one", is_flag=True, help="Boot each node alone, after the one before.")
@click.option(
    "--from",
    "bundles",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Build nothing: use the image in this file of 'yoctovirt bundle'. May be given several "
    "times; the roles are those of the bundles.",
)
@click.option(
    "--until",
    type=click.Choice(PHASES),
    default=PHASES[-1],
    show_default=True,
    help="End after this phase.",
)
@click.option("--dry-run", is_flag=True, help="Print the plan; do nothing.")
@click.option(
    "--annotations",
    "kind",
    type=click.Choice(KINDS),
    default="auto",
    show_default=True,
    help="Groups and errors in the form of this CI service; auto: of the one that runs us.",
)
@retry_options
@build_options
@boot_options
@set_options
@skip_preflight_option
@offline_option
@choice_options
@suites_option
@tempest_option
@jobs_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    roles: tuple[str, ...],
    host: str | None,
    one_by_one: bool,
    bundles: tuple[Path, ...],
    until: str,
    retry: int,
    retry_wait: float,
    kind: str,
    dry_run: bool,
    force: bool,
    jobs: int | None,
    only: str,
    without: str,
    expression: str,
    **values: Any,
) -> int:
    """Build, boot and smoke-test each ROLE; write a record and a report for each.

    Several nodes (compute:2 is two) are booted together, joined by a private network.
    A HOST of nodes.yml is reached and tested; nothing is built for it.
    Build here and test there: 'ci ROLE --until build' and 'bundle ROLE -o FILE', then
    'ci --from FILE'. One exit code for all: the earliest failing phase decides.
    """
    from yoctovirt.cli.ci_image import bundled_roles, roles_in_bundles
    from yoctovirt.cli.ci_plan import print_plan
    from yoctovirt.config.features import with_features
    from yoctovirt.errors import UsageError
    from yoctovirt.smoke.catalog import choose_suites

    workspace = workspace_of(ctx, create=True) if not dry_run else planned_workspace_of(ctx)
    packed = bundled_roles(bundles, workspace.path)
    hosts, roles = choose_hosts(workspace, roles or tuple(packed), host)
    nodes = named_nodes(roles)
    if len(dict(nodes)) != len(nodes):
        raise UsageError("a role is named twice", "ROLE:N boots several nodes of one role")
    # All names are checked before the first hour is spent.
    choice = suite_choice(only, without)
    choose_suites((), **choice, workspace=workspace.path)
    check_expression(expression)
    checks = Checks(choice, expression, jobs)
    how = Options(
        make_boot_options(values), make_build_options(values), force, checks,
        {name: path for name, (path, _) in packed.items()}, until, Retry(retry, retry_wait),
    )  # fmt: skip
    how.check(bool(hosts))
    named = list(dict.fromkeys(role for _, role in nodes))
    if packed:
        known = roles_in_bundles(named, packed)
    else:
        known = {
            name: with_features(load_checked_role(name, workspace.path), how.build.features)
            for name in named
        }
    planned = [(name, known[role]) for name, role in nodes]
    together = None
    if nodes and wants_set(roles, values) and not one_by_one:
        if how.boot.ssh_port:
            raise UsageError("--ssh-port is for a single node", "leave it away")
        together = make_set_options(values, len(nodes))
    elif len(known) != len(nodes):
        raise UsageError("--one-by-one is for one node of a role", "leave the number away")
    print_plan(workspace, planned, hosts, how, together)
    if dry_run:
        return 0
    with speaking_to(choose_kind(kind)) as tell:
        return _run(workspace, planned, hosts, replace(how, tell=tell), together)


def _run(
    workspace: Workspace,
    nodes: Sequence[tuple[str, Role]],
    hosts: Sequence[tuple[Host, Role | None]],
    how: Options,
    together: SetOptions | None,
) -> int:
    """Test *hosts*, then run the pipe for *nodes*; return the one exit code."""
    from yoctovirt.base.screen import Screen
    from yoctovirt.errors import EXIT_INTERRUPTED, combined_exit_code

    screen = Screen(groups=how.tell)
    codes = [_host(workspace, chosen, screen, how) for chosen in hosts]
    if together is not None:
        from yoctovirt.cli.ci_set import ci_set

        codes.append(ci_set(workspace, nodes, how, together, screen))
        return combined_exit_code(codes)
    for _, role in nodes:
        codes.append(_one(workspace, role, how, screen))
        if codes[-1] == EXIT_INTERRUPTED:
            break
    return combined_exit_code(codes)


def _host(
    workspace: Workspace, chosen: tuple[Host, Role | None], screen: Screen, how: Options
) -> int:
    host, role = chosen
    return _finish(
        workspace, host.name, role.name if role else None, how,
        lambda record: test_host(
            record, workspace, chosen, screen, how.checks.keywords(), how.boot
        ),
    )  # fmt: skip


def _one(workspace: Workspace, role: Role, how: Options, screen: Screen) -> int:
    """Run the pipe for one role and return its exit code."""
    return _finish(
        workspace, role.name, role.name, how,
        lambda record: _pipe(record, workspace, role, how, screen),
    )  # fmt: skip


def _finish(
    workspace: Workspace,
    name: str,
    role: str | None,
    how: Options,
    work: Callable[[RunRecord], None],
) -> int:
    """Do *work* with a record and print its error: the next one still has its turn."""
    from yoctovirt.base.record import exit_code_of
    from yoctovirt.cli import print_error
    from yoctovirt.errors import YoctovirtError

    record: RunRecord | None = None
    try:
        with reported(workspace, name, role) as record:
            work(record)
    except YoctovirtError as error:
        print_error(error.message, error.hint)
        return error.exit_code
    except KeyboardInterrupt as error:
        click.echo("yoctovirt: interrupted", err=True)
        return exit_code_of(error)
    finally:
        if record is not None:
            tell_ci(how.tell, record.data)
    return 0


def _pipe(
    record: RunRecord, workspace: Workspace, role: Role, how: Options, screen: Screen
) -> None:
    from yoctovirt.boot.launcher import BootRequest
    from yoctovirt.cli.ci_image import image_phase
    from yoctovirt.cli.flow import boot_phase, note_unreached, smoke_phase
    from yoctovirt.cli.table import print_verdicts

    record.data["until"] = how.ends_early
    try:
        built = image_phase(record, workspace, role, how, screen)
        if how.until == "build":
            return
        request = BootRequest(
            workspace, built.deploy, role, role.name, how.boot, record.path, built.runqemu
        )
        with boot_phase(record, request, screen) as launch:
            if how.until == "smoke":
                smoke_phase(record, workspace, [launch.node], screen, **how.checks.keywords())
    finally:
        note_unreached(record, role.promises, workspace, **how.checks.suites)
        print_verdicts(record.data)
