"""From a role to its deploy directory, whichever builder makes it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yoctovirt.base.files import disk_error, make_folder, write_atomically
from yoctovirt.base.process import CommandLog
from yoctovirt.base.screen import Screen
from yoctovirt.build.deploydir import DeployDir, open_deploy_dir
from yoctovirt.config.roles import Role
from yoctovirt.config.workspace import Workspace
from yoctovirt.errors import UsageError

if TYPE_CHECKING:
    from yoctovirt.build.kas.builder import KasOptions

#: In the build directory: the link to the newest deploy directory, and what to boot from it.
DEPLOY_LINK = "deploy"
_DEPLOYED = "deployed.json"


@dataclass(frozen=True)
class Built:
    """What a build gives to the next room."""

    deploy: DeployDir
    release: str | None = None
    #: runqemu of the release that the image was built with, where there is one
    runqemu: Path | None = None
    config: dict[str, Any] | None = None  #: the flattened kas configuration
    figures: dict[str, int] = field(default_factory=dict)
    features: tuple[str, ...] = ()  #: features of the role that it was built with


@dataclass(frozen=True)
class Outcome:
    """What a call of a builder came to."""

    built: Built | None  #: None where the call asked for something else than the image
    figures: dict[str, int]


def check_call(
    role: Role, workspace: Workspace, options: KasOptions, *, force: bool = False
) -> None:
    """Raise UsageError for a call that the builder of *role* cannot carry out.

    InfrastructureError where nobody may run it here. Nothing is written.
    """
    if role.builder == "debian":
        _refuse_kas_options(role, options)
        return
    if force:
        raise UsageError(
            f"--force is for roles made of Debian packages, and bitbake builds {role.name}",
            "to run its tasks again: '-- -f' with --task, or --task cleansstate",
        )
    from yoctovirt.build.kas.builder import check_call as check_kas_call

    check_kas_call(role, workspace, options)


def _refuse_kas_options(role: Role, options: KasOptions) -> None:
    if options.names_anything():
        raise UsageError(
            f"role {role.name} is made of Debian packages",
            "--release, --machine, --feature, --with, --container, --target, --task and arguments "
            "for bitbake are for roles of the kas builder",
        )


def run_builder(
    role: Role,
    workspace: Workspace,
    log: CommandLog,
    screen: Screen,
    *,
    record: Path,
    force: bool = False,
    options: KasOptions | None = None,
) -> Outcome:
    """Build *role*, or what *options* ask of bitbake in place of its image.

    The output goes into ``build.log`` of *record*. Raises UsageError,
    InfrastructureError and BuildError as the builder of the role does.
    """
    build_log = record / "build.log"
    if role.builder == "debian":
        if options is not None:
            _refuse_kas_options(role, options)
        from yoctovirt.build.debian.builder import build as build_debian

        deploy = build_debian(
            role,
            workspace.cache_dir,
            log,
            screen,
            build_log=build_log,
            force=force,
            preflight=options is None or options.preflight,
        )
        built = Built(deploy)
    else:
        from yoctovirt.build.kas.builder import KasOptions
        from yoctovirt.build.kas.builder import build as build_kas

        options = options or KasOptions()
        done = build_kas(role, workspace, options, log, screen, build_log=build_log, record=record)
        if done.deploy is None:
            return Outcome(None, done.figures)
        built = Built(
            done.deploy, done.release, done.runqemu, done.config, done.figures, options.features
        )
    _publish(workspace.build_dir(role.name), built)
    return Outcome(built, built.figures)


def _publish(build_dir: Path, built: Built) -> None:
    make_folder(build_dir)
    aside = build_dir / f".{DEPLOY_LINK}.{os.getpid()}"
    about = {
        "image": built.deploy.image,
        "release": built.release,
        "runqemu": str(built.runqemu) if built.runqemu else None,
        "features": list(built.features),
        "config": built.config,
    }
    try:
        write_atomically(build_dir / _DEPLOYED, json.dumps(about) + "\n")
        aside.unlink(missing_ok=True)
        aside.symlink_to(built.deploy.path)
        aside.replace(build_dir / DEPLOY_LINK)
    except OSError as error:
        raise disk_error(error, build_dir / DEPLOY_LINK) from error


def what_was_built(role: Role, workspace: Workspace) -> Built:
    """Return what was built of *role*; UsageError where it was not built here."""
    build_dir = workspace.build_dir(role.name)
    link = build_dir / DEPLOY_LINK
    if not link.exists():
        gone = " any more (its deploy directory was removed)" if link.is_symlink() else ""
        raise UsageError(
            f"role {role.name} is not built in {workspace.path}{gone}",
            f"yoctovirt build {role.name}",
        )
    about: dict[str, Any] = {}
    if (build_dir / _DEPLOYED).is_file():
        about = json.loads((build_dir / _DEPLOYED).read_text(encoding="utf-8"))
    runqemu = about.get("runqemu")
    return Built(
        open_deploy_dir(link.resolve(), about.get("image")),
        about.get("release"),
        Path(runqemu) if runqemu else None,
        about.get("config"),
        features=tuple(about.get("features", ())),
    )


def last_built(workspace: Workspace) -> str:
    """Return the name of the role that was built last; UsageError where none was."""
    links = sorted(
        workspace.path.glob(f"build-*/{DEPLOY_LINK}"), key=lambda path: path.lstat().st_mtime
    )
    if not links:
        raise UsageError(f"no role is built in {workspace.path}", "yoctovirt build ROLE")
    return links[-1].parent.name.removeprefix("build-")
