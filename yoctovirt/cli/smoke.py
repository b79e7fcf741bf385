"""``yoctovirt smoke``."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from yoctovirt.cli.bootoptions import boot_options, make_boot_options
from yoctovirt.cli.choice import check_expression, choice_options, suite_choice
from yoctovirt.cli.common import (
    load_checked_role,
    planned_workspace_of,
    reported,
    skip_preflight_option,
    workspace_folder,
    workspace_of,
)
from yoctovirt.cli.complete import target_names
from yoctovirt.cli.hosts import choose_host, host_option, test_host, test_hosts
from yoctovirt.cli.images import choose_image, image_of_nodes, image_options
from yoctovirt.cli.suites import jobs_option, suites_option, tempest_option

if TYPE_CHECKING:
    from yoctovirt.base.record import RunRecord
    from yoctovirt.base.screen import Screen
    from yoctovirt.boot.qemuargs import BootOptions
    from yoctovirt.build.builders import Built
    from yoctovirt.config.roles import Role
    from yoctovirt.config.workspace import Workspace


@click.command("smoke")
@click.argument("targets", metavar="[ROLE|NODE|HOST...]", nargs=-1, shell_complete=target_names)
@choice_options
@click.option(
    "--check", "checks", multiple=True, metavar="ID", help="Only this check (suite::check)."
)
@suites_option
@tempest_option
@jobs_option
@click.option(
    "--list", "listing", is_flag=True, help="List suites and checks, those of a target; run none."
)
@click.option(
    "--junit", type=click.Path(path_type=Path, dir_okay=False), help="Copy junit.xml there, too."
)
@host_option
@image_options
@boot_options
@skip_preflight_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    targets: tuple[str, ...],
    only: str,
    without: str,
    expression: str,
    checks: tuple[str, ...],
    jobs: int | None,
    listing: bool,
    junit: Path | None,
    host: str | None,
    deploy_dir: Path | None,
    image: str | None,
    bundle: Path | None,
    **values: Any,
) -> None:
    """Run the smoke suites on a running NODE, a host of nodes.yml, or boot a built ROLE for them.

    The suites are those that the role promises, and base. Several running nodes are tested as
    one set: checks that need two of them run, too. Exit code 1: a check failed.
    """
    from yoctovirt.base.screen import Screen
    from yoctovirt.boot.node import running_nodes
    from yoctovirt.cli.flow import note_image, note_node, smoke_phase
    from yoctovirt.cli.table import print_verdicts

    choice: dict[str, Any] = {
        **suite_choice(only, without),
        "checks": checks,
    }
    if listing:
        _list_suites(ctx, targets, choice)
        return
    workspace = workspace_of(ctx, create=bool(deploy_dir or bundle or host))
    _check_choice(choice, workspace.path)
    check_expression(expression)
    how: dict[str, Any] = {"expression": expression, "jobs": jobs}
    screen = Screen()
    nodes = {} if deploy_dir or bundle else running_nodes(workspace)
    chosen = [nodes[name] for name in targets if name in nodes] if host is None else []
    if chosen:
        _check_targets(targets, nodes, workspace)
        name = "+".join(node.name for node in chosen)
        with reported(workspace, f"smoke-{name}", chosen[0].state.role, junit) as record:
            for node in chosen:
                note_node(record, node)
            known = image_of_nodes(workspace, chosen)
            if known is not None:
                note_image(record, known)
            try:
                smoke_phase(record, workspace, chosen, screen, **choice, **how)
            finally:
                for node in chosen:
                    _keep_console(node.state.run, node.name, record.path)
                print_verdicts(record.data)
        return
    if len(targets) > 1 and bundle is None and host is None:
        several = [choose_host(workspace, name, None) for name in targets]
        if hosts := [found for found in several if found]:
            _check_hosts(targets, several)
            name = "+".join(targets)
            role_name = hosts[0][1].name if hosts[0][1] else None
            with reported(workspace, f"smoke-{name}", role_name, junit) as record:
                test_hosts(
                    record, workspace, hosts, screen, {**choice, **how}, make_boot_options(values)
                )
            return
    role_name = targets[0] if targets else None
    one = choose_host(workspace, role_name, host) if bundle is None else None
    if one is not None:
        name, role_name = one[0].name, one[1].name if one[1] else None
        with reported(workspace, f"smoke-{name}", role_name, junit) as record:
            test_host(record, workspace, one, screen, {**choice, **how}, make_boot_options(values))
        return
    if bundle is None:
        _check_targets(targets, nodes, workspace)
    built, role = choose_image(workspace, role_name, deploy_dir, image, bundle)
    options = make_boot_options(values)
    with reported(
        workspace, f"smoke-{role.name if role else 'node'}", role.name if role else None, junit
    ) as record:
        _boot_and_test(record, workspace, built, role, options, screen, choice, how)


def _boot_and_test(
    record: RunRecord,
    workspace: Workspace,
    built: Built,
    role: Role | None,
    options: BootOptions,
    screen: Screen,
    choice: dict[str, Any],
    how: dict[str, Any],
) -> None:
    from yoctovirt.boot.launcher import BootRequest
    from yoctovirt.cli.flow import boot_phase, note_image, note_unreached, smoke_phase
    from yoctovirt.cli.table import print_verdicts

    note_image(record, built)
    name = role.name if role else "node"
    request = BootRequest(workspace, built.deploy, role, name, options, record.path, built.runqemu)
    try:
        with boot_phase(record, request, screen) as launch:
            smoke_phase(record, workspace, [launch.node], screen, **choice, **how)
    finally:
        note_unreached(record, role.promises if role else (), workspace, **choice)
        print_verdicts(record.data)


def _keep_console(run: str, name: str, record: Path) -> None:
    """Copy the console log of a node that somebody else has booted into our record, dated."""
    for file in (f"console-{name}.log", f"console-{name}.log.times"):
        source = Path(run) / file
        if source.is_file():
            shutil.copyfile(source, record / file)


def _check_choice(choice: dict[str, Any], workspace: Path | None) -> None:
    from yoctovirt.smoke.catalog import choose_suites

    choose_suites((), **choice, workspace=workspace)


def _check_targets(targets: tuple[str, ...], nodes: dict[str, Any], workspace: Workspace) -> None:
    from yoctovirt.base.suggest import did_you_mean
    from yoctovirt.boot.hosts import load_hosts
    from yoctovirt.config.roles import role_files
    from yoctovirt.errors import UsageError

    known = {*nodes, *load_hosts(workspace), *role_files(workspace.path)}
    for target in targets:
        if target not in known:
            raise UsageError(f"there is no role or node {target!r}", did_you_mean(target, known))
    if len(set(targets)) != len(targets):
        raise UsageError("a node is named twice")
    hosts = load_hosts(workspace)
    if len(targets) > 1 and (
        missing := [name for name in targets if name not in nodes and name not in hosts]
    ):
        raise UsageError(
            f"several targets must be running nodes, and {missing[0]} is none",
            f"start it with 'yoctovirt boot {missing[0]} --detach'",
        )


def _check_hosts(targets: tuple[str, ...], found: Sequence[object]) -> None:
    """Refuse a set of hosts and other things, or with a host twice."""
    from yoctovirt.errors import UsageError

    if len(set(targets)) != len(targets):
        raise UsageError("a node is named twice")
    others = [name for name, host in zip(targets, found, strict=True) if host is None]
    if others:
        raise UsageError(
            f"hosts of nodes.yml are tested together with hosts only, and {others[0]} is none",
            "name hosts only, or running nodes only",
        )


def _list_suites(ctx: click.Context, targets: tuple[str, ...], choice: dict[str, Any]) -> None:
    """Print all suites, or what a run on *targets* would run and what not, with the reasons."""
    from yoctovirt.smoke.catalog import all_suites, choose_suites
    from yoctovirt.smoke.runner import lacking_nodes
    from yoctovirt.smoke.unavailable import UNAVAILABLE

    folder = workspace_folder(ctx)
    suites = list(all_suites(folder).values())
    left: list[tuple[str, str]] = []
    if targets or any(choice.values()):
        every = [promise for suite in suites for promise in suite.promises]
        each = _promises(ctx, targets) if targets else [every]
        promises = [promise for one in each for promise in one]
        suites, left = choose_suites(promises, **choice, workspace=folder)
        left += lacking_nodes(suites, each)
    lacking = {name for name, _ in left}
    for suite in suites:
        click.echo(f"{suite.name}: {suite.title}")
        for check in suite.checks:
            if check.id not in lacking:
                name = check.id.partition("::")[2]
                click.echo(f"  {name:26} {check.deadline:4.0f} s  {check.title}")
    for name, why in left:
        click.echo(f"not run: {name}: {why}")
    if not targets and not any(choice.values()):
        names = {suite.name for suite in suites}
        for name, why in UNAVAILABLE.items():
            if name not in names:
                click.echo(f"not available: {name}: {why}")


def _promises(ctx: click.Context, targets: tuple[str, ...]) -> list[list[str]]:
    """Return what each target promises."""
    from yoctovirt.boot.node import running_nodes

    workspace = planned_workspace_of(ctx)  # a list makes nothing
    nodes = running_nodes(workspace)
    _check_targets(targets, nodes, workspace)
    if targets[0] in nodes:
        return [nodes[name].state.promises for name in targets]
    hosts = [choose_host(workspace, name, None) for name in targets]
    if any(hosts):
        _check_hosts(targets, hosts)
        return [list(one[1].promises) if one and one[1] else [] for one in hosts]
    return [list(load_checked_role(targets[0], workspace.path).promises)]
