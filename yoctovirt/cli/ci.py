"""``yoctovirt ci``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from yoctovirt.cli.bootoptions import boot_options, make_boot_options
from yoctovirt.cli.choice import Checks, choice_options, suite_choice
from yoctovirt.cli.common import (
    build_options,
    load_checked_role,
    make_build_options,
    offline_option,
    reported,
    skip_preflight_option,
    workspace_of,
)
from yoctovirt.cli.hosts import choose_hosts, host_option, test_host
from yoctovirt.cli.retry import Retry, retry_options
from yoctovirt.cli.suites import jobs_option, suites_option
from yoctovirt.cli.together import make_set_options, named_nodes, set_options, wants_set

if TYPE_CHECKING:
    from yoctovirt.base.record import RunRecord
    from yoctovirt.base.screen import Screen
    from yoctovirt.boot.hosts import Host
    from yoctovirt.boot.qemuargs import BootOptions
    from yoctovirt.build.kas.builder import KasOptions
    from yoctovirt.config.roles import Role
    from yoctovirt.config.workspace import Workspace

#: The phases of a run, for ``--until``.
PHASES = ("build", "boot", "smoke")


@click.command("ci")
@click.argument("roles", nargs=-1, metavar="(ROLE[:N]|HOST)...")
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
@retry_options
@build_options
@boot_options
@set_options
@skip_preflight_option
@offline_option
@choice_options
@suites_option
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
    from yoctovirt.base.screen import Screen
    from yoctovirt.cli.ci_image import bundled_roles, roles_in_bundles
    from yoctovirt.config.features import with_features
    from yoctovirt.errors import EXIT_INTERRUPTED, UsageError, combined_exit_code
    from yoctovirt.smoke.catalog import choose_suites

    workspace = workspace_of(ctx, create=True)
    packed = bundled_roles(bundles, workspace.path)
    hosts, roles = choose_hosts(workspace, roles or tuple(packed), host)
    nodes = named_nodes(roles)
    if len(dict(nodes)) != len(nodes):
        raise UsageError("a role is named twice", "ROLE:N boots several nodes of one role")
    # All names are checked before the first hour is spent.
    choice = suite_choice(only, without)
    choose_suites((), **choice, workspace=workspace.path)
    checks = Checks(choice, expression, jobs)
    how = Options(
        make_boot_options(values), make_build_options(values), force, checks,
        {name: path for name, (path, _) in packed.items()}, until, Retry(retry, retry_wait),
    )  # fmt: skip
    _check_phases(how, bool(hosts))
    named = list(dict.fromkeys(role for _, role in nodes))
    if packed:
        known = roles_in_bundles(named, packed)
    else:
        known = {
            name: with_features(load_checked_role(name, workspace.path), how.build.features)
            for name in named
        }
    screen = Screen()
    codes = [_host(workspace, chosen, screen, how) for chosen in hosts]
    if not roles:
        return combined_exit_code(codes)
    if wants_set(roles, values) and not one_by_one:
        from yoctovirt.cli.ci_set import ci_set

        if how.boot.ssh_port:
            raise UsageError("--ssh-port is for a single node", "leave it away")
        options = make_set_options(values, len(nodes))
        together = [(name, known[role]) for name, role in nodes]
        return combined_exit_code([*codes, ci_set(workspace, together, how, options, screen)])
    if len(known) != len(nodes):
        raise UsageError("--one-by-one is for one node of a role", "leave the number away")
    for role in known.values():
        codes.append(_one(workspace, role, how, screen))
        if codes[-1] == EXIT_INTERRUPTED:
            break
    return combined_exit_code(codes)


def _check_phases(how: Options, hosts: bool) -> None:
    """Raise UsageError where the phases that were asked for make no sense together."""
    from yoctovirt.errors import UsageError

    if how.bundles and how.until == "build":
        raise UsageError(
            "--from builds nothing, and --until build does nothing else",
            "leave one away; 'yoctovirt bundle --check FILE' verifies a bundle",
        )
    if how.bundles and (how.force or how.build.names_anything()):
        raise UsageError(
            "--from builds nothing",
            "leave --force, --release, --machine, --feature, --with and --container away: they "
            "were decided where the bundle was made",
        )
    if hosts and how.until != "smoke":
        raise UsageError(f"--until {how.until}: a host is only tested", "name it in another call")


@dataclass(frozen=True)
class Options:
    """How to build, to boot and to test."""

    boot: BootOptions
    build: KasOptions
    force: bool
    checks: Checks
    bundles: dict[str, Path] = field(default_factory=dict)  #: role -> where its image is
    until: str = PHASES[-1]  #: the last phase
    retry: Retry = field(default_factory=Retry)


def _host(
    workspace: Workspace, chosen: tuple[Host, Role | None], screen: Screen, how: Options
) -> int:
    host, role = chosen
    return _finish(
        workspace, host.name, role.name if role else None,
        lambda record: test_host(
            record, workspace, chosen, screen, how.checks.keywords(), how.boot
        ),
    )  # fmt: skip


def _one(workspace: Workspace, role: Role, how: Options, screen: Screen) -> int:
    """Run the pipe for one role and return its exit code."""
    return _finish(
        workspace, role.name, role.name,
        lambda record: _pipe(record, workspace, role, how, screen),
    )  # fmt: skip


def _finish(
    workspace: Workspace, name: str, role: str | None, work: Callable[[RunRecord], None]
) -> int:
    """Do *work* with a record and print its error: the next one still has its turn."""
    from yoctovirt.base.record import exit_code_of
    from yoctovirt.cli import print_error
    from yoctovirt.errors import YoctovirtError

    try:
        with reported(workspace, name, role) as record:
            work(record)
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
    from yoctovirt.cli.ci_image import image_phase
    from yoctovirt.cli.flow import boot_phase, note_unreached, smoke_phase
    from yoctovirt.cli.table import print_verdicts

    record.data["until"] = how.until if how.until != "smoke" else None
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
