"""``yoctovirt warm``."""

from __future__ import annotations

import json

import click

from yoctovirt.cli.common import workspace_of
from yoctovirt.cli.complete import warm_names


@click.group("warm")
def command() -> None:
    """List or drop the states of nodes that --warm has kept."""


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print everything that is known, as JSON.")
@click.pass_context
def list_entries(ctx: click.Context, as_json: bool) -> None:
    """List the kept states, oldest first."""
    from dataclasses import asdict

    from yoctovirt.base.files import human_bytes
    from yoctovirt.boot.warm import entries

    workspace = workspace_of(ctx)
    found = entries(workspace)
    if as_json:
        rows = [{**asdict(one), "folder": str(one.folder), "bytes": one.bytes()} for one in found]
        click.echo(json.dumps(rows, indent=2))
        return
    if not found:
        click.echo(f"no state is kept in {workspace.path}", err=True)
    for one in found:
        machines = ", ".join(sorted(set(one.machines.values())))
        click.echo(
            f"{one.folder.name}  {human_bytes(one.bytes())}  {one.created}  "
            f"{', '.join(one.names)} on {machines}"
        )


@command.command("drop")
@click.argument("names", nargs=-1, metavar="[NAME|NODE]...", shell_complete=warm_names)
@click.option("--all", "everything", is_flag=True, help="Drop all of the workspace.")
@click.pass_context
def drop(ctx: click.Context, names: tuple[str, ...], everything: bool) -> None:
    """Remove kept states: by their name in the list, or all of a node. Running nodes stay."""
    from yoctovirt.base.files import human_bytes
    from yoctovirt.base.suggest import did_you_mean
    from yoctovirt.boot.warm import entries, remove_unfinished
    from yoctovirt.errors import UsageError

    workspace = workspace_of(ctx)
    if bool(names) == everything:
        raise UsageError("which states?", "name them, or a node, or all with --all")
    found = entries(workspace)
    known = {one.folder.name for one in found} | {name for one in found for name in one.names}
    for name in names:
        if name not in known:
            raise UsageError(f"no state of {name!r} is kept", did_you_mean(name, known))
    remove_unfinished(workspace)
    for one in found:
        if everything or {one.folder.name, *one.names} & set(names):
            size = one.bytes()
            one.drop()
            click.echo(f"{one.folder.name}: {human_bytes(size)} freed")
