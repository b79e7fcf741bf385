"""``yoctovirt sharing``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from yoctovirt.cli.common import load_checked_role, recorded, use_site, workspace_of
from yoctovirt.cli.complete import machine_names, release_names, role_names

if TYPE_CHECKING:
    from yoctovirt.build.kas.sharing import Sharing


@click.command("sharing")
@click.argument("first", shell_complete=role_names)
@click.argument("second", shell_complete=role_names)
@click.option(
    "--release",
    metavar="NAME",
    shell_complete=release_names,
    help="Release (default: that of FIRST).",
)
@click.option(
    "--machine",
    metavar="NAME",
    shell_complete=machine_names,
    help="Machine (default: that of FIRST).",
)
@click.option("--build-user", metavar="NAME", help="As root: run kas as this user.")
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as JSON.")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    first: str,
    second: str,
    release: str | None,
    machine: str | None,
    build_user: str | None,
    as_json: bool,
) -> None:
    """Measure what role SECOND takes from sstate once role FIRST was built.

    bitbake computes the signatures of all tasks of both images (minutes; nothing is built).
    Tasks with equal signatures are built once. For each recipe that differs, bitbake-diffsigs
    says why.
    """
    from yoctovirt.base.screen import Screen
    from yoctovirt.build.kas.sharing import compare, explain_changes, signatures
    from yoctovirt.config.matrix import cell_of
    from yoctovirt.errors import UsageError

    workspace = workspace_of(ctx, create=True)
    use_site(workspace.path)
    roles = [load_checked_role(name, workspace.path) for name in (first, second)]
    for role in roles:
        if role.builder != "kas":
            raise UsageError(
                f"role {role.name} is made of Debian packages: it has no signatures",
                "see 'yoctovirt roles' for the roles of the kas builder",
            )
    one = cell_of(roles[0], release, machine)
    cells = [one, cell_of(roles[1], one.release, one.machine)]
    screen = Screen()
    with recorded(workspace, "sharing", None) as record:
        found = []
        for role, cell in zip(roles, cells, strict=True):
            with screen.step(f"signatures of {cell}"), record.phase(cell.key) as details:
                hashes, place = signatures(
                    role, cell, workspace, build_user, record.commands(), screen,
                    record=record.path,
                )  # fmt: skip
                details["tasks"] = len(hashes)
                found.append(hashes)
        result = compare(*found)
        explain_changes(result, found[0], found[1], place)
        text = json.dumps(result.as_json(), indent=1)
        (record.path / "sharing.json").write_text(text + "\n")
    click.echo(text if as_json else as_text(first, second, result))


def as_text(first: str, second: str, result: Sharing) -> str:
    """Return the comparison as a person reads it."""
    changed, new = (sum(map(len, part.values())) for part in (result.changed, result.new))
    lines = [
        f"{second} after {first}: {result.equal} of {result.total} tasks equal, "
        f"{changed} changed, {new} new"
    ]
    for recipe, tasks in result.changed.items():
        lines.append(f"  changed  {recipe}: {', '.join(tasks)}")
        lines += [f"             {reason}" for reason in result.why.get(recipe, ())]
    lines += [f"  new      {recipe}: {len(tasks)} tasks" for recipe, tasks in result.new.items()]
    return "\n".join(lines)
