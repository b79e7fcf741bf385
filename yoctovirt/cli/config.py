"""``yoctovirt config``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from yoctovirt.cli.common import load_checked_role, workspace_folder
from yoctovirt.cli.complete import feature_names, machine_names, release_names, role_names


@click.command("config")
@click.argument("role", shell_complete=role_names)
@click.option(
    "--release", metavar="NAME", shell_complete=release_names, help="Release (default: the role's)."
)
@click.option(
    "--machine", metavar="NAME", shell_complete=machine_names, help="Machine (default: the role's)."
)
@click.option(
    "--feature",
    "features",
    multiple=True,
    metavar="NAME",
    shell_complete=feature_names,
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
    "--format",
    "form",
    type=click.Choice(["kas", "bblayers", "local", "env"]),
    default="kas",
    show_default=True,
    help="A kas file, conf/bblayers.conf, conf/local.conf, or lines for a shell.",
)
@click.option(
    "--diff",
    "other",
    metavar="ROLE",
    shell_complete=role_names,
    help="Print how ROLE differs, line by line.",
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
    form: str,
    other: str | None,
    output: Path | None,
) -> None:
    """Print the complete kas configuration of ROLE: one file that needs no other.

    ``kas build`` takes it as it is; ``yoctovirt build`` keeps it in the run record. Other forms
    are what kas makes of it for bitbake, in the build directory of the role. --diff prints
    nothing where two roles have the same configuration.
    """
    from yoctovirt.base.files import write_atomically
    from yoctovirt.base.process import CommandLog
    from yoctovirt.config import show
    from yoctovirt.config.kasfile import choose_release, flatten, to_yaml
    from yoctovirt.config.matrix import refuse_unresolved
    from yoctovirt.config.site import load_site, shared_folders
    from yoctovirt.errors import UsageError

    workspace = workspace_folder(ctx)
    site = load_site(workspace)

    def flattened(name: str) -> tuple[dict[str, Any], str]:
        found = load_checked_role(name, workspace)
        if found.builder != "kas":
            raise UsageError(
                f"role {name} is made of Debian packages: it has no kas configuration",
                "see 'yoctovirt roles' for the roles of the kas builder",
            )
        chosen = choose_release(found, release)
        if not extra:
            refuse_unresolved(found, chosen, machine, features, workspace)
        return flatten(
            found, chosen, CommandLog(), extra=extra, machine=machine, features=features, site=site
        ), chosen  # fmt: skip

    config, chosen = flattened(role)
    layers, build_dir = workspace / "layers" / chosen, workspace / f"build-{role}"
    if other is not None:
        if form != "kas":
            raise UsageError("--diff compares whole configurations", "leave --format away")
        lines = show.difference(config, flattened(other)[0], (role, other))
        text = "".join(f"{line}\n" for line in lines)
    elif form == "bblayers":
        text = show.bblayers_conf(config, layers, build_dir)
    elif form == "local":
        config.get("local_conf_header", {}).pop("shared-folders", None)
        text = show.local_conf(config)
    elif form == "env":
        text = show.environment(config, layers, build_dir, shared_folders(config, workspace))
    else:
        text = to_yaml(config)
    if output is None:
        click.echo(text, nl=False)
    else:
        write_atomically(output, text)
