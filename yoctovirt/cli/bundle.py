"""``yoctovirt bundle``."""

from __future__ import annotations

from pathlib import Path

import click

from yoctovirt.cli.common import workspace_of
from yoctovirt.cli.complete import role_names
from yoctovirt.cli.images import choose_image


@click.command("bundle")
@click.argument("role", required=False, shell_complete=role_names)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write it there."
)
@click.option(
    "--check",
    "checked",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Verify a bundle and say what it holds; unpack nothing.",
)
@click.option("--image", metavar="NAME", help="Image of the deploy directory.")
@click.option(
    "--deploy-dir", type=click.Path(path_type=Path), help="Pack an image that was built elsewhere."
)
@click.pass_context
def command(
    ctx: click.Context,
    role: str | None,
    output: Path | None,
    checked: Path | None,
    image: str | None,
    deploy_dir: Path | None,
) -> None:
    """Pack the built image of ROLE (default: the one built last) into one file.

    It holds what 'boot', 'smoke' and 'ci' need of it on a machine without the build directory,
    and checksums of all: give it to them with --from FILE.
    """
    from yoctovirt.base.files import human_bytes
    from yoctovirt.base.screen import Screen
    from yoctovirt.build.bundle import write_bundle
    from yoctovirt.errors import UsageError

    if (output is None) == (checked is None):
        raise UsageError("name the file that is to be written (-o), or one to look at (--check)")
    if checked is not None:
        _show(checked)
        return
    assert output is not None
    workspace = workspace_of(ctx, create=deploy_dir is not None)
    built, found = choose_image(workspace, role, deploy_dir, image)
    with Screen().step(f"bundle {built.deploy.image}"):
        packed = write_bundle(output, built, found)
    whole = sum(member.bytes for member in packed.members)
    click.echo(f"bundle: {packed.path}")
    click.echo(
        f"size:   {human_bytes(packed.bytes)} ({human_bytes(whole)} in {len(packed.members)} files)"
    )
    click.echo(f"sha256: {packed.sha256}")
    click.echo(f"next:   yoctovirt ci --from {packed.path.name}")


def _show(path: Path) -> None:
    from yoctovirt.base.files import human_bytes
    from yoctovirt.build.unbundle import read_index

    index = read_index(path)
    role = index["role"]
    click.echo(f"image:   {index['image']}")
    click.echo(f"role:    {role['name'] if role else '-'}")
    click.echo(f"release: {index['release'] or '-'}")
    click.echo(f"packed:  {index['tool']}")
    for entry in index["files"]:
        click.echo(f"{entry['sha256'][:16]} {human_bytes(entry['bytes']):>9}  {entry['path']}")
