"""``yoctovirt config``."""

from __future__ import annotations

from pathlib import Path

import click

from yoctovirt.cli.common import load_checked_role


@click.command("config")
@click.argument("role")
@click.option("--release", metavar="NAME", help="Release (default: the role's).")
@click.option("--machine", metavar="NAME", help="Machine (default: the role's).")
@click.option(
    "--feature",
    "features",
    multiple=True,
    metavar="NAME",
    help="An optional feature of the role; may be given several times.",
)
@click.option(
    "--with",
    "extra",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="FILE",
    help="A kas file of yours, merged last; may be given several times.",
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write it there."
)
@click.pass_context
def command(
    ctx: click.Context,
    /,
    role: str,
    release: str | None,
    machine: str | None,
    features: tuple[str, ...],
    extra: tuple[Path, ...],
    output: Path | None,
) -> None:
    """Print the complete kas configuration of ROLE: one file that needs no other.

    ``kas build`` takes it as it is; ``yoctovirt build`` keeps it in the run record.
    """
    from yoctovirt.base.files import write_atomically
    from yoctovirt.base.process import CommandLog
    from yoctovirt.config.kasfile import choose_release, flatten, to_yaml
    from yoctovirt.config.matrix import refuse_unresolved
    from yoctovirt.config.workspace import find_workspace
    from yoctovirt.errors import UsageError

    try:
        named = ctx.obj["workspace"]
        workspace = find_workspace(Path(named) if named else None).path
    except UsageError:
        workspace = None  # printing a configuration needs none
    found = load_checked_role(role, workspace)
    if found.builder != "kas":
        raise UsageError(
            f"role {role} is made of Debian packages: it has no kas configuration",
            "see 'yoctovirt roles' for the roles of the kas builder",
        )
    release = choose_release(found, release)
    if not extra:
        refuse_unresolved(found, release, machine, features, workspace)
    config = flatten(found, release, CommandLog(), extra=extra, machine=machine, features=features)
    if output is None:
        click.echo(to_yaml(config), nl=False)
    else:
        write_atomically(output, to_yaml(config))
