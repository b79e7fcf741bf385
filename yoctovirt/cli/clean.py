"""``yoctovirt clean``."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from yoctovirt.cli.common import workspace_of


@click.command("clean")
@click.option("--builds", is_flag=True, help="Remove the build directories.")
@click.option("--runs", is_flag=True, help="Remove all run records but the newest of each kind.")
@click.option("--warm", is_flag=True, help="Remove the states that --warm has kept.")
@click.option("--bundles", is_flag=True, help="Remove the bundles that were unpacked.")
@click.option("--cache", is_flag=True, help="Remove the images in the cache of the debian builder.")
@click.pass_context
def command(
    ctx: click.Context, builds: bool, runs: bool, warm: bool, bundles: bool, cache: bool
) -> None:
    """Say what the workspace occupies; with an option, remove that."""
    from yoctovirt.base.files import human_bytes, tree_bytes
    from yoctovirt.boot.node import running_nodes
    from yoctovirt.boot.warm import warm_dir
    from yoctovirt.errors import UsageError

    workspace = workspace_of(ctx)
    groups: list[tuple[str, bool, list[Path]]] = [
        (
            "builds",
            builds,
            sorted([*workspace.path.glob("build-*"), *workspace.path.glob("fetch/*")]),
        ),
        ("runs", runs, _old_records(workspace.runs)),
        ("warm", warm, sorted(path for path in warm_dir(workspace).glob("*/"))),
        ("bundles", bundles, sorted(path for path in workspace.bundles.glob("[!.]*/"))),
        ("cache", cache, sorted((workspace.cache_dir / "debian").glob("[!.]*/"))),
    ]
    nodes = running_nodes(workspace)
    if nodes and (builds or runs or warm or bundles or cache):
        raise UsageError(
            f"nodes are running on what would be removed: {', '.join(nodes)}",
            "stop them with 'yoctovirt stop --all'",
        )
    for name, chosen, paths in groups:
        size = human_bytes(sum(tree_bytes(path) for path in paths))
        verb = "freed" if chosen else "would free"
        click.echo(f"--{name:<7} {verb} {size} ({len(paths)} folders)")
        if chosen:
            for path in paths:
                shutil.rmtree(path)


def _old_records(runs: Path) -> list[Path]:
    """Return all records but the newest of each name (what follows the time)."""
    newest: dict[str, Path] = {}
    records = sorted(path for path in runs.glob("*-*") if path.is_dir())
    for path in records:
        newest[path.name.partition("-")[2]] = path
    return [path for path in records if path not in newest.values()]
