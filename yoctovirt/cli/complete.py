"""What shells complete besides verbs and options: names of roles, nodes, runs and the like.

Each public name is a ``shell_complete`` of click for a parameter. A Tab changes nothing and
says nothing: where the names cannot be read, none are offered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from yoctovirt.errors import YoctovirtError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from yoctovirt.config.workspace import Workspace

    Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]
    Source = Callable[[click.Context], Iterable[str]]


def _completer(*sources: Source, commas: bool = False) -> Completer:
    """Return what offers the names of *sources*; with *commas* for a list in one word."""

    def complete(
        ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        head, comma, last = incomplete.rpartition(",") if commas else ("", "", incomplete)
        given = ctx.params.get(param.name or "")
        taken = {*head.split(","), *(given if isinstance(given, tuple) else ())}
        names: list[str] = []
        for source in sources:
            try:
                names += source(ctx)
            except (YoctovirtError, OSError):
                continue
        return [
            CompletionItem(head + comma + name)
            for name in dict.fromkeys(names)
            if name.startswith(last) and name not in taken
        ]

    return complete


def _workspace(ctx: click.Context) -> Workspace:
    """Return the workspace of the call; while words are completed no verb has been called."""
    from yoctovirt.config.workspace import planned_workspace

    named = ctx.find_root().params.get("workspace")
    return planned_workspace(Path(named) if named else None)


def _folder(ctx: click.Context) -> Path | None:
    try:
        return _workspace(ctx).path
    except YoctovirtError:
        return None


def _roles(ctx: click.Context) -> Iterable[str]:
    from yoctovirt.config.roles import role_files

    return sorted(role_files(_folder(ctx)))


def _releases(_ctx: click.Context) -> Iterable[str]:
    from yoctovirt.config.selection import manifests
    from yoctovirt.pins.release import release_files

    return release_files(manifests())


def _machines(_ctx: click.Context) -> Iterable[str]:
    from yoctovirt.config.cells import machines

    return machines()


def _features(ctx: click.Context) -> Iterable[str]:
    """Return the features of the roles that stand in the call, all where there is none yet."""
    from yoctovirt.config.features import feature_files, features_of

    # An option that still waits for its value leaves the words of the arguments to ctx.args.
    words = list(ctx.args)
    for value in ctx.params.values():
        words += [value] if isinstance(value, str) else value if isinstance(value, tuple) else []
    roles = {word.partition(":")[0] for word in words if isinstance(word, str)} & set(_roles(ctx))
    if not roles:
        return feature_files()
    return [feature.name for role in sorted(roles) for feature in features_of(role)]


def _suites(ctx: click.Context) -> Iterable[str]:
    from yoctovirt.smoke.catalog import all_suites

    return sorted(all_suites(_folder(ctx)))


def _nodes(ctx: click.Context) -> Iterable[str]:
    """Return the running nodes. running_nodes() would remove what a killed one has left."""
    from yoctovirt.base.files import is_locked

    locks = sorted(_workspace(ctx).nodes.glob("*.lock"))
    return [lock.name.removesuffix(".lock") for lock in locks if is_locked(lock)]


def _hosts(ctx: click.Context) -> Iterable[str]:
    workspace = _workspace(ctx)
    # Most workspaces have none, and the module takes its time to import.
    if not (workspace.path / "nodes.yml").exists():
        return ()
    from yoctovirt.boot.hosts import load_hosts

    return load_hosts(workspace)


def _runs(ctx: click.Context) -> Iterable[str]:
    """Return the ids of the records, newest first."""
    from yoctovirt.base.record import RUN_FILE

    found = _workspace(ctx).runs.glob(f"*/{RUN_FILE}")
    return sorted((path.parent.name for path in found), reverse=True)


def _kept(ctx: click.Context) -> Iterable[str]:
    from yoctovirt.boot.warm import entries

    found = entries(_workspace(ctx))
    return [name for entry in found for name in (entry.folder.name, *entry.names)]


role_names = _completer(_roles)
release_names = _completer(_releases)
machine_names = _completer(_machines)
feature_names = _completer(_features)
suite_list = _completer(_suites, commas=True)
node_names = _completer(_nodes)
host_names = _completer(_hosts)
node_and_host_names = _completer(_nodes, _hosts)
role_and_host_names = _completer(_roles, _hosts)
target_names = _completer(_nodes, _hosts, _roles)
run_ids = _completer(_runs)
warm_names = _completer(_kept)
