"""``yoctovirt quick-lock``."""

from __future__ import annotations

import os
from pathlib import Path

import click

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command("quick-lock")
@click.option("--check", is_flag=True, help="Write nothing; exit code 1 if the lock would change.")
@click.option(
    "--lock", type=_FILE, metavar="FILE", help="Lock to refresh (default: the layer's own)."
)
@click.option("--output", type=_FILE, metavar="FILE", help="Write the new lock there instead.")
def command(check: bool, lock: Path | None, output: Path | None) -> None:
    """Refresh the lock of the Debian packages that the role quick is made of.

    Debian removes packages that it has superseded: a build that cannot fetch one
    needs a fresh lock. The versions come from the host's apt sources, or from
    YV_DEBIAN_MIRROR and YV_DEBIAN_SECURITY_MIRROR.
    """
    from yoctovirt.base.files import write_atomically
    from yoctovirt.base.screen import Screen
    from yoctovirt.config.resources import data_root
    from yoctovirt.config.yamlfile import load_mapping
    from yoctovirt.errors import ChecksFailedError, InfrastructureError, UsageError
    from yoctovirt.pins.quicklock import (
        changes,
        find_mirrors,
        load_lock,
        make_lock,
        packages_of,
        to_text,
    )

    layer = data_root() / "recipes-extra" / "meta-yoctovirt-quick"
    lock = lock or layer / "conf" / "quick-packages.lock.json"
    target = (output or lock).absolute()
    if not target.parent.is_dir():
        raise UsageError(f"there is no folder {target.parent}")
    if not check and not os.access(target.parent, os.W_OK):
        raise InfrastructureError(
            f"{target.parent} cannot be written",
            "write the lock elsewhere with --output FILE, and build with a kas file (--with) "
            'whose local_conf_header says QUICK_LOCK = "FILE"',
        )
    old = load_lock(lock)
    screen = Screen()
    with screen.step("resolve the packages of the role quick"):
        mirrors = find_mirrors(layer)
        names = load_mapping(layer / "conf" / "quick-packages.yml")
        new = make_lock(names, mirrors, screen.command)
    lines = changes(old, new)
    for line in lines:
        click.echo(line)
    size = sum(package["size"] for package in packages_of(new).values()) / 1e6
    click.echo(f"{len(packages_of(new))} packages, {size:.1f} MB to download")
    if check:
        if lines:
            raise ChecksFailedError(
                f"{lock} is not up to date: {len(lines)} differences",
                "refresh it with 'yoctovirt quick-lock'",
            )
        click.echo(f"{lock} is up to date")
        return
    if lines or not target.exists() or target != lock.absolute():
        write_atomically(target, to_text(new))
        click.echo(f"written: {target}")
    else:
        click.echo(f"nothing changed: {target}")
