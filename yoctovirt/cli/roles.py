"""``yoctovirt roles``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from yoctovirt.cli.complete import role_names

if TYPE_CHECKING:
    from yoctovirt.config.cells import Cell
    from yoctovirt.config.resolved import Results, State
    from yoctovirt.config.roles import Role

_SHORT = {"ok": "ok", "fails": "no", "stale": "stale", "not checked": "?"}
_COLOURS = {"ok": "green", "fails": "red", "stale": "yellow", "not checked": "bright_black"}
_LEGEND = (
    "ok: resolves (kas, bitbake -g); no: does not, see 'yoctovirt roles ROLE'; stale: the pins, "
    "kas files or layers changed since; ?: not checked. 'yoctovirt pins resolve' finds out."
)


@click.command("roles")
@click.argument("name", required=False, metavar="[ROLE]", shell_complete=role_names)
@click.option("--json", "as_json", is_flag=True, help="Print all of it as JSON.")
@click.pass_context
def command(ctx: click.Context, /, name: str | None, as_json: bool) -> None:
    """List the roles, what they need and promise, and on which releases they resolve.

    With ROLE: all about that one. What is said of a release and machine comes from the
    stored results of 'yoctovirt pins resolve', and from nothing else.
    """
    from yoctovirt.cli.common import load_checked_role, workspace_folder
    from yoctovirt.config.resolved import Results
    from yoctovirt.config.roles import role_files

    workspace = workspace_folder(ctx)
    names = [name] if name else list(role_files(workspace))
    roles = [load_checked_role(one, workspace) for one in names]
    results = Results(workspace)
    states = {role.name: _states(role, results) for role in roles}
    if as_json:
        click.echo(json.dumps([_as_json(role, states[role.name]) for role in roles], indent=1))
    elif name:
        _print_one(roles[0], states[name])
    else:
        _print_roles(roles)
        _print_matrix(roles, states)


def _states(role: Role, results: Results) -> list[tuple[Cell, State]]:
    """Return the state of each cell of *role*, those with features that were tried besides."""
    from yoctovirt.config.matrix import matrix

    if role.builder != "kas":
        return []
    states = [(cell, results.state(role, cell)) for cell in matrix([role])]
    return states + [(cell, results.state(role, cell)) for cell in results.featured(role)]


def _print_roles(roles: Sequence[Role]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("ROLE", "BUILDER", "MEMORY", "CPUS", "DISK", "PROMISES"):
        table.add_column(title, overflow="fold")
    for role in roles:
        table.add_row(
            role.name, role.builder, f"{role.node.memory} MiB", str(role.node.cpus),
            f"{role.disk_gib} GiB", " ".join(role.promises),
        )  # fmt: skip
    Console(highlight=False).print(table)


def _print_matrix(roles: Sequence[Role], states: dict[str, list[tuple[Cell, State]]]) -> None:
    columns = sorted(
        {
            (cell.release, cell.machine)
            for some in states.values()
            for cell, _ in some
            if not cell.features
        },
        key=lambda column: (column[0], column[1] != "qemux86-64", column[1]),
    )
    if not columns:
        return
    width = max(len(role.name) for role in roles) + 2
    widths = [max(len(release), len(machine)) + 2 for release, machine in columns]
    click.echo()
    for part, title in ((0, "RESOLVES"), (1, "")):
        cells = (f"{column[part]:{w}}" for column, w in zip(columns, widths, strict=True))
        click.echo(f"{title:{width}}" + "".join(cells).rstrip())
    for role in roles:
        if role.builder != "kas":
            continue
        known = {(c.release, c.machine): s for c, s in states[role.name] if not c.features}
        line, pad = f"{role.name:{width}}", ""
        for column, column_width in zip(columns, widths, strict=True):
            state = known.get(column)
            word = _SHORT[state.kind] if state else "-"
            shown = click.style(word, fg=_COLOURS[state.kind]) if state else word
            line += pad + shown
            pad = " " * (column_width - len(word))
        click.echo(line)
    click.echo(_LEGEND)


def _print_one(role: Role, states: list[tuple[Cell, State]]) -> None:
    from yoctovirt.cli.states import result_line
    from yoctovirt.config.features import features_of

    click.echo(f"{role.name}: {role.description}")
    made = ", ".join(role.releases or ((role.release,) if role.release else ())) or "-"
    rows = [
        ("builder", role.builder),
        ("releases", f"{made} (default {role.release})" if role.release else made),
        ("machines", ", ".join(role.machines or (role.machine,))),
        ("node", f"{role.node.memory} MiB, {role.node.cpus} CPUs"),
        ("disk", f"{role.disk_gib} GiB for a build from nothing"),
        ("promises", ", ".join(role.promises) or "-"),
    ]
    if role.builder == "kas":
        rows.append(("runqemu", _runqemu(role)))
        for feature in features_of(role.name):
            rows.append(("--feature", f"{feature.name}: {feature.description}"))
    for title, text in rows:
        click.echo(f"  {title:10} {text}")
    for cell, state in states:
        click.echo(f"  {result_line(cell, state)}")
        log = (state.entry or {}).get("log")
        if log and state.kind != "ok":
            click.echo(f"    log: {log} of the workspace in which it was resolved")


def _runqemu(role: Role) -> str:
    """Return what to give to runqemu, as one would call it by hand."""
    node = role.node
    qemu = " ".join([f"-m {node.memory} -smp {node.cpus}", *node.qemuparams])
    kernel = f' bootparams="{" ".join(node.bootparams)}"' if node.bootparams else ""
    return f'nographic slirp qemuparams="{qemu}"{kernel}'


def _as_json(role: Role, states: list[tuple[Cell, State]]) -> dict[str, Any]:
    from yoctovirt.cli.states import state_as_json
    from yoctovirt.config.features import features_of

    return {
        "name": role.name, "description": role.description, "builder": role.builder,
        "release": role.release, "releases": list(role.releases), "machine": role.machine,
        "machines": list(role.machines), "memory_mib": role.node.memory, "cpus": role.node.cpus,
        "disk_gib": role.disk_gib, "runqemu": _runqemu(role), "promises": list(role.promises),
        "features": [feature.name for feature in features_of(role.name)],
        "cells": [state_as_json(cell, state) for cell, state in states],
    }  # fmt: skip
