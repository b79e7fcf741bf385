"""From a role to its deploy directory, whichever builder makes it."""

from __future__ import annotations

import os
from pathlib import Path

from yoctovirt.base.files import disk_error, make_folder
from yoctovirt.base.process import CommandLog
from yoctovirt.base.screen import Screen
from yoctovirt.build.deploydir import DeployDir, open_deploy_dir
from yoctovirt.config.roles import Role
from yoctovirt.config.workspace import Workspace
from yoctovirt.errors import UsageError

#: In the build directory: the link to the newest deploy directory.
DEPLOY_LINK = "deploy"


def build_role(
    role: Role,
    workspace: Workspace,
    log: CommandLog,
    screen: Screen,
    *,
    build_log: Path,
    force: bool = False,
) -> DeployDir:
    """Build *role* in *workspace* and return its deploy directory.

    Raises UsageError for a builder that this version does not have,
    InfrastructureError and BuildError as the builder does.
    """
    if role.builder != "debian":
        raise UsageError(
            f"role {role.name} is made by the {role.builder} builder, which is not here yet"
        )
    from yoctovirt.build.debian.builder import build

    deploy = build(role, workspace.cache_dir, log, screen, build_log=build_log, force=force)
    _publish(workspace.build_dir(role.name), deploy.path)
    return deploy


def _publish(build_dir: Path, deploy: Path) -> None:
    make_folder(build_dir)
    aside = build_dir / f".{DEPLOY_LINK}.{os.getpid()}"
    try:
        aside.unlink(missing_ok=True)
        aside.symlink_to(deploy)
        aside.replace(build_dir / DEPLOY_LINK)
    except OSError as error:
        raise disk_error(error, build_dir / DEPLOY_LINK) from error


def built_deploy_dir(role: Role, workspace: Workspace) -> DeployDir:
    """Return what was built of *role*; UsageError where it was not built here."""
    link = workspace.build_dir(role.name) / DEPLOY_LINK
    if not link.exists():
        gone = " any more (its cache entry was removed)" if link.is_symlink() else ""
        raise UsageError(
            f"role {role.name} is not built in {workspace.path}{gone}",
            f"yoctovirt build {role.name}",
        )
    return open_deploy_dir(link.resolve())


def last_built(workspace: Workspace) -> str:
    """Return the name of the role that was built last; UsageError where none was."""
    links = sorted(
        workspace.path.glob(f"build-*/{DEPLOY_LINK}"), key=lambda path: path.lstat().st_mtime
    )
    if not links:
        raise UsageError(f"no role is built in {workspace.path}", "yoctovirt build ROLE")
    return links[-1].parent.name.removeprefix("build-")
