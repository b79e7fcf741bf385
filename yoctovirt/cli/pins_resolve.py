"""``yoctovirt pins resolve``."""

from __future__ import annotations

import json
from contextlib import nullcontext
from typing import TYPE_CHECKING

import click

from yoctovirt.cli.common import (
    load_checked_role,
    offline_option,
    recorded,
    use_site,
    workspace_of,
)
from yoctovirt.cli.complete import feature_names, machine_names, release_names, role_names

if TYPE_CHECKING:
    from pathlib import Path

    from yoctovirt.base.record import RunRecord
    from yoctovirt.base.screen import Screen
    from yoctovirt.config.cells import Cell
    from yoctovirt.config.resolved import State
    from yoctovirt.config.roles import Role
    from yoctovirt.config.workspace import Workspace


@click.command("resolve")
@click.option(
    "--role",
    "names",
    multiple=True,
    metavar="ROLE",
    shell_complete=role_names,
    help="This role, where it is made for.",
)
@click.option(
    "--release",
    "release_names",
    multiple=True,
    metavar="NAME",
    shell_complete=release_names,
    help="This release, whatever roles are made for.",
)
@click.option(
    "--machine",
    "machine_names",
    multiple=True,
    metavar="NAME",
    shell_complete=machine_names,
    help="This machine, whatever roles are made for.",
)
@click.option(
    "--feature",
    "features",
    multiple=True,
    metavar="NAME",
    shell_complete=feature_names,
    help="With this feature of the roles.",
)
@click.option("--all", "everything", is_flag=True, help="Every role, release and machine.")
@click.option("--force", is_flag=True, help="Also where a result of the same pins is stored.")
@click.option("--build-user", metavar="NAME", help="As root: run kas as this user.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
@offline_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    names: tuple[str, ...],
    release_names: tuple[str, ...],
    machine_names: tuple[str, ...],
    features: tuple[str, ...],
    everything: bool,
    force: bool,
    build_user: str | None,
    as_json: bool,
) -> None:
    """Ask bitbake whether roles resolve: parse, and 'bitbake -g' of the image.

    Nothing is built or downloaded but the layers. A result is stored with a hash over
    the pins, the kas files and our layers, so that a second call is immediate; 'yoctovirt
    roles' shows the matrix. Exit code 4 where a cell that its role is made for does not
    resolve.
    """
    from yoctovirt.base.screen import Screen
    from yoctovirt.cli.states import result_line, state_as_json
    from yoctovirt.config.matrix import matrix
    from yoctovirt.config.resolved import Results
    from yoctovirt.errors import UsageError

    if not (everything or names or release_names or machine_names):
        raise UsageError(
            "say what to resolve: the whole matrix takes about an hour",
            "--role, --release and --machine choose; --all is all of them",
        )
    workspace = workspace_of(ctx, create=True)
    use_site(workspace.path)
    roles = _roles(names, workspace.path)
    cells = matrix(list(roles.values()), release_names, machine_names, features)
    if not (everything or release_names or machine_names):
        # Each of the others is minutes of bitbake, and its failure no news.
        cells = [c for c in cells if roles[c.role].is_made_for(c.release, c.machine)]
    results = Results(workspace.path)
    todo = [
        cell
        for cell in cells
        if force or results.state(roles[cell.role], cell).kind not in ("ok", "fails")
    ]
    with recorded(workspace, "pins-resolve", None) if todo else nullcontext() as record:
        codes = []
        if record is not None:
            screen = Screen()
            for number, cell in enumerate(todo, 1):
                title = f"resolve {cell} ({number} of {len(todo)})"
                codes += _one(roles[cell.role], cell, workspace, build_user, record, screen, title)
            results = Results(workspace.path)
        states = [(cell, results.state(roles[cell.role], cell)) for cell in cells]
        if as_json:
            click.echo(json.dumps([state_as_json(cell, state) for cell, state in states], indent=1))
        else:
            for cell, state in states:
                click.echo(result_line(cell, state))
        _judge(roles, states, codes)


def _judge(roles: dict[str, Role], states: list[tuple[Cell, State]], codes: list[int]) -> None:
    """Raise where a cell could not be tried, or does not resolve although it should."""
    from yoctovirt.errors import EXIT_INFRASTRUCTURE, BuildError, InfrastructureError

    hint = "the reasons stand above, the logs in the run record"
    if EXIT_INFRASTRUCTURE in codes:
        raise InfrastructureError(f"{len(codes)} cells could not be tried", hint)
    wrong = [
        cell.key
        for cell, state in states
        if state.kind == "fails" and roles[cell.role].is_made_for(cell.release, cell.machine)
    ]
    if wrong or codes:
        names = f": {', '.join(wrong)}" if wrong else ""
        raise BuildError(
            f"{len(wrong) + len(codes)} cells that their roles are made for do not resolve{names}",
            hint,
        )


def _roles(names: tuple[str, ...], workspace: Path) -> dict[str, Role]:
    """Return the named roles of the kas builder, or all of them."""
    from yoctovirt.config.roles import role_files
    from yoctovirt.errors import UsageError

    roles = {name: load_checked_role(name, workspace) for name in names or role_files(workspace)}
    for name in names:
        if roles[name].builder != "kas":
            raise UsageError(
                f"role {name} is made of Debian packages: there is nothing to resolve",
                "see 'yoctovirt roles' for the roles of the kas builder",
            )
    return {name: role for name, role in roles.items() if role.builder == "kas"}


def _one(
    role: Role,
    cell: Cell,
    workspace: Workspace,
    build_user: str | None,
    record: RunRecord,
    screen: Screen,
    title: str,
) -> list[int]:
    """Resolve one cell and store the result; print what keeps others from being tried."""
    from yoctovirt.build.kas.resolve import resolve
    from yoctovirt.cli import print_error
    from yoctovirt.config.resolved import results_file, store_result
    from yoctovirt.errors import BuildError, InfrastructureError

    try:
        with screen.step(title), record.phase(cell.key) as details:
            entry = resolve(
                role, cell, workspace, build_user, record.commands(), screen, record=record.path
            )
            details.update(entry)
            store_result(results_file(role, workspace.path), cell, entry)
            screen.note(f"{entry['verdict']} {entry.get('reason', '')}".rstrip())
    except (InfrastructureError, BuildError) as error:
        # Of one cell or release (a mirror without its commit): the others may be well.
        print_error(f"{cell}: {error.message}", error.hint)
        return [error.exit_code]
    return []
