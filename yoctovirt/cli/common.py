"""What several verbs share: options, the workspace, a run from its record's view."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from yoctovirt.cli.complete import feature_names, machine_names, release_names

if TYPE_CHECKING:
    from yoctovirt.base.record import RunRecord
    from yoctovirt.build.kas.builder import KasOptions
    from yoctovirt.config.roles import Role
    from yoctovirt.config.site import Site
    from yoctovirt.config.workspace import Workspace
    from yoctovirt.pins.places import Places

Function = TypeVar("Function", bound=Callable[..., Any])


def workspace_of(ctx: click.Context, *, create: bool = False) -> Workspace:
    """Return the workspace of the call; with *create* make one where there is none."""
    from yoctovirt.config.workspace import find_workspace

    named = ctx.obj["workspace"]
    return find_workspace(Path(named) if named else None, create=create)


def planned_workspace_of(ctx: click.Context) -> Workspace:
    """Return the workspace of the call, or the one that it would make; none is made."""
    from yoctovirt.config.workspace import planned_workspace

    named = ctx.obj["workspace"]
    return planned_workspace(Path(named) if named else None)


def workspace_folder(ctx: click.Context) -> Path:
    """Return the folder of the call; what lies in it counts before it is a workspace, too.

    Raises UsageError where one is named and is not there.
    """
    from yoctovirt.errors import UsageError

    folder = planned_workspace_of(ctx).path
    if ctx.obj["workspace"] and not folder.is_dir():
        raise UsageError(f"there is no folder {folder}", "name one that is there with --workspace")
    return folder


def use_site(workspace: Path | None) -> Site:
    """Return the site of *workspace*, its layer mirrors and proxies made known to what we call.

    The environment carries them, where it does not have others: git, too, takes its proxies
    from there. Raises UsageError for a ``site.yml`` that is not as it should be.
    """
    from yoctovirt.config.site import load_site
    from yoctovirt.pins.sources import MIRRORS_VARIABLE

    site = load_site(workspace)
    if site.layer_mirrors and not os.environ.get(MIRRORS_VARIABLE):
        os.environ[MIRRORS_VARIABLE] = " ".join(site.layer_mirrors)
    for name, value in site.proxies.items():
        os.environ[name] = os.environ.get(name) or os.environ.get(name.upper()) or value
    return site


def _go_offline(_ctx: click.Context, _option: click.Parameter, value: bool) -> None:
    """Bar the network for all that this call does, in us and in what we start."""
    if value:
        from yoctovirt.pins.sources import OFFLINE_VARIABLE

        os.environ[OFFLINE_VARIABLE] = "1"


#: For verbs that fetch. An option without a value of its own: the environment carries it.
offline_option = click.option(
    "--offline",
    is_flag=True,
    expose_value=False,
    callback=_go_offline,
    help="Ask no network; say what is missing (or YOCTOVIRT_OFFLINE=1).",
)

#: For verbs that look at all releases.
releases_option = click.option(
    "--release",
    "names",
    multiple=True,
    metavar="NAME",
    shell_complete=release_names,
    help="Only this release.",
)


@contextmanager
def opened_places(ctx: click.Context) -> Iterator[Places]:
    """Yield the repositories at hand: those of the mirrors and of the workspace."""
    from yoctovirt.pins.git import git_settings
    from yoctovirt.pins.places import Places
    from yoctovirt.pins.sources import check_mirrors, mirror_list

    folder = workspace_folder(ctx)
    use_site(folder)
    mirrors = mirror_list()
    check_mirrors(mirrors)
    with git_settings() as git, Places(git, mirrors, folder / "layers") as places:
        yield places


def load_checked_role(name: str, workspace: Path | None) -> Role:
    """Return the role *name*, ours or of the *workspace*, its promises known to the smoke room."""
    from yoctovirt.config.roles import load_role
    from yoctovirt.smoke.catalog import check_promises

    role = load_role(name, workspace)
    check_promises(role.promises, str(role.source), workspace)
    return role


#: For verbs that build or boot.
skip_preflight_option = click.option(
    "--skip-preflight",
    is_flag=True,
    help="Do not look first whether this host is fit for it (see 'yoctovirt doctor').",
)


def build_options(function: Function) -> Function:
    """Add the options of a build; they come as keywords for :func:`make_build_options`."""
    for option in reversed(
        (
            click.option("--force", is_flag=True, help="Build even where the cache has the image."),
            click.option(
                "--release",
                metavar="NAME",
                shell_complete=release_names,
                help="Release (default: the role's).",
            ),
            click.option(
                "--machine",
                metavar="NAME",
                shell_complete=machine_names,
                help="Machine (default: the role's).",
            ),
            click.option(
                "--feature",
                "features",
                multiple=True,
                metavar="NAME",
                shell_complete=feature_names,
                help="An optional feature of the role; may be given several times.",
            ),
            click.option(
                "--with",
                "extra",
                multiple=True,
                type=click.Path(path_type=Path, dir_okay=False, exists=True),
                metavar="FILE",
                help="A kas file of yours, merged last; may be given several times.",
            ),
            click.option(
                "--build-user",
                metavar="NAME",
                help="As root: run kas as this user and hand it the folders.",
            ),
            click.option(
                "--container",
                is_flag=False,
                flag_value="any",
                type=click.Choice(["docker", "podman", "any"]),
                metavar="[docker|podman]",
                help="Run kas and bitbake in a container (kas-container); behind the roles, or "
                "with '='.",
            ),
        )
    ):
        function = option(function)
    return function


def make_build_options(values: dict[str, Any]) -> KasOptions:
    """Return the KasOptions in the keywords of a verb, and take them out of *values*."""
    from yoctovirt.build.kas.builder import KasOptions

    return KasOptions(
        release=values.pop("release"),
        machine=values.pop("machine"),
        build_user=values.pop("build_user"),
        extra=tuple(values.pop("extra")),
        features=tuple(values.pop("features")),
        preflight=not values["skip_preflight"],
        container=values.pop("container"),
    )


def command_line() -> str:
    """Return our own call, as a person would type it."""
    return shlex.join(["yoctovirt", *sys.argv[1:]])


@contextmanager
def recorded(
    workspace: Workspace,
    name: str,
    role: str | None,
    report: Callable[[RunRecord], None] = lambda _: None,
) -> Iterator[RunRecord]:
    """Yield a run record; whatever ends the block, it is closed and states what is in it.

    *report* adds to the closed record before that.
    """
    from yoctovirt.base.record import RunRecord
    from yoctovirt.cli.closing import state

    record = RunRecord(workspace.runs, name, command_line(), role)
    try:
        try:
            yield record
        except BaseException as error:
            record.finish(error)
            raise
        record.finish()
    finally:
        try:
            report(record)
        finally:
            state(workspace, record.path)


@contextmanager
def reported(
    workspace: Workspace, name: str, role: str | None, junit: Path | None = None
) -> Iterator[RunRecord]:
    """Like :func:`recorded`, with JUnit and HTML written whatever the outcome was."""
    from yoctovirt.cli.closing import write_reports
    from yoctovirt.errors import UsageError

    if junit is not None and not junit.absolute().parent.is_dir():
        raise UsageError(f"--junit {junit}: there is no folder {junit.absolute().parent}")
    with recorded(workspace, name, role, lambda made: write_reports(made, junit)) as record:
        yield record
