"""``yoctovirt smoke``."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from yoctovirt.cli.common import (
    boot_options,
    choose_image,
    image_options,
    make_boot_options,
    reported,
    skip_preflight_option,
    workspace_of,
)
from yoctovirt.cli.hosts import choose_host, host_option, test_host

if TYPE_CHECKING:
    from yoctovirt.config.workspace import Workspace


@click.command("smoke")
@click.argument("target", metavar="ROLE|NODE|HOST", required=False)
@click.option("--suite", "only", metavar="A,B", default="", help="Run only these suites.")
@click.option("--not", "without", metavar="C", default="", help="Leave these suites out.")
@click.option("-k", "expression", default="", metavar="EXPR", help="Checks that match (as pytest).")
@click.option("--list", "listing", is_flag=True, help="List the suites and checks; run nothing.")
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
    target: str | None,
    only: str,
    without: str,
    expression: str,
    listing: bool,
    junit: Path | None,
    host: str | None,
    deploy_dir: Path | None,
    image: str | None,
    **values: Any,
) -> None:
    """Run the smoke suites on a running NODE, a host of nodes.yml, or boot a built ROLE for them.

    The suites are those that the role promises, and base. Exit code 1: a check failed.
    """
    from yoctovirt.base.screen import Screen
    from yoctovirt.boot.launcher import BootRequest
    from yoctovirt.boot.node import running_nodes
    from yoctovirt.cli.flow import boot_phase, note_image, note_node, smoke_phase
    from yoctovirt.cli.table import print_verdicts

    if listing:
        _list_suites()
        return
    workspace = workspace_of(ctx, create=deploy_dir is not None)
    choice: dict[str, Any] = {
        "only": [name for name in only.split(",") if name],
        "without": [name for name in without.split(",") if name],
        "expression": expression,
    }
    _check_choice(choice)
    screen = Screen()
    nodes = running_nodes(workspace) if deploy_dir is None else {}
    if target in nodes and host is None:
        node = nodes[target]
        with reported(workspace, f"smoke-{target}", node.state.role, junit) as record:
            note_node(record, node)
            try:
                smoke_phase(record, workspace, [node], screen, **choice)
            finally:
                _keep_console(node.state.run, target, record.path)
                print_verdicts(record.data)
        return
    chosen = choose_host(workspace, target, host)
    if chosen is not None:
        name, role_name = chosen[0].name, chosen[1].name if chosen[1] else None
        with reported(workspace, f"smoke-{name}", role_name, junit) as record:
            test_host(record, workspace, chosen, screen, choice)
        return
    _check_target(target, nodes, workspace)
    built, role = choose_image(workspace, target, deploy_dir, image)
    name = role.name if role else "node"
    options = make_boot_options(values)
    with reported(workspace, f"smoke-{name}", role.name if role else None, junit) as record:
        note_image(record, built)
        request = BootRequest(
            workspace, built.deploy, role, name, options, record.path, built.runqemu
        )
        with boot_phase(record, request, screen) as launch:
            try:
                smoke_phase(record, workspace, [launch.node], screen, **choice)
            finally:
                print_verdicts(record.data)


def _keep_console(run: str, name: str, record: Path) -> None:
    """Copy the console log of a node that somebody else has booted into our record."""
    source = Path(run) / f"console-{name}.log"
    if source.is_file():
        shutil.copyfile(source, record / source.name)


def _check_choice(choice: dict[str, Any]) -> None:
    from yoctovirt.smoke.catalog import choose_suites

    choose_suites((), choice["only"], choice["without"])


def _check_target(target: str | None, nodes: dict[str, Any], workspace: Workspace) -> None:
    from yoctovirt.base.suggest import did_you_mean
    from yoctovirt.boot.hosts import load_hosts
    from yoctovirt.config.roles import role_files
    from yoctovirt.errors import UsageError

    known = {*nodes, *load_hosts(workspace), *role_files(workspace.path)}
    if target is not None and target not in known:
        raise UsageError(f"there is no role or node {target!r}", did_you_mean(target, known))


def _list_suites() -> None:
    import ast

    from yoctovirt.smoke.catalog import all_suites

    for suite in all_suites().values():
        tree = ast.parse(suite.path.read_text(encoding="utf-8"))
        click.echo(f"{suite.name}: {(ast.get_docstring(tree) or '').splitlines()[0]}")
        for item in tree.body:
            if isinstance(item, ast.FunctionDef) and item.name.startswith("test_"):
                title = (ast.get_docstring(item) or "").splitlines()[0]
                click.echo(f"  {item.name.removeprefix('test_'):26} {title}")
