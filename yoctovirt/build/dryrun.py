"""What a build would do: every command, and every file with its content or its changes.

Nothing of it is done. kas merges its files in a temporary folder, git is asked what is
checked out, and that is all.
"""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from yoctovirt.base.process import CommandLog, paste_form
from yoctovirt.base.screen import Screen
from yoctovirt.config.roles import Role
from yoctovirt.config.workspace import Workspace

if TYPE_CHECKING:
    from yoctovirt.build.kas.builder import KasOptions


@dataclass(frozen=True)
class Step:
    """One thing that a build would do."""

    what: str  #: ``run``, ``write``, ``link``, ``keep`` (a file that is as it would be written)
    subject: str  #: the command in a form to paste, or the path
    detail: tuple[str, ...] = ()  #: content of a new file, changes of an old one, a remark


def planned_steps(
    role: Role, workspace: Workspace, options: KasOptions, *, force: bool = False
) -> list[Step]:
    """Return what a build of *role* would do, in this order.

    Raises UsageError and InfrastructureError as the build itself would before its first
    command.
    """
    if role.builder == "debian":
        return _debian_steps(role, workspace, force)
    return _kas_steps(role, workspace, options)


def file_step(path: Path, text: str) -> Step:
    """Return the step that writes *text* to *path*: whole where it is new, else what changes."""
    try:
        old = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return Step("write", str(path), tuple(text.splitlines()))
    if old == text:
        return Step("keep", str(path))
    changes = difflib.unified_diff(
        old.splitlines(), text.splitlines(), f"{path} (now)", f"{path} (then)", lineterm="", n=1
    )
    return Step("write", str(path), tuple(changes))


def _link_step(link: Path, target: str) -> Step:
    if link.is_symlink() and str(link.readlink()) == target:
        return Step("keep", str(link))
    return Step("link", str(link), (target,))


def _debian_steps(role: Role, workspace: Workspace, force: bool) -> list[Step]:
    from yoctovirt.build.debian.builder import planned

    final, argv = planned(role, workspace.cache_dir, force=force)
    steps = []
    if argv is not None:
        steps = [
            Step("run", paste_form(argv)),
            Step("write", str(final), ("the deploy directory: kernel, root file system, …",)),
        ]
    return [*steps, _link_step(workspace.build_dir(role.name) / "deploy", str(final))]


def _kas_steps(role: Role, workspace: Workspace, options: KasOptions) -> list[Step]:
    from yoctovirt.build.kas import builder
    from yoctovirt.build.kas.container import open_container
    from yoctovirt.build.kas.watch import EVENTS_FILE
    from yoctovirt.config.kasfile import flatten, to_yaml
    from yoctovirt.config.layers import Checkout, pins_of
    from yoctovirt.config.show import bblayers_conf, local_conf
    from yoctovirt.config.site import load_site, shared_folders

    release, user = builder.check_call(role, workspace, options)
    build_dir = builder.build_dir_for(workspace, role.name, release)
    layers = workspace.path / "layers" / release
    config = flatten(
        role, release, CommandLog(),
        extra=options.extra, machine=options.machine, features=options.features,
        site=load_site(workspace.path),
    )  # fmt: skip
    shared = shared_folders(config, workspace.path)
    box = None
    if options.container:
        box = open_container(options.container, role, workspace, config, shared, user, CommandLog())
    checkout = Checkout(layers, CommandLog(), Screen(quiet=True))
    fetching = checkout.planned(pins_of(config))
    steps = [Step("run", paste_form(call)) for calls in fetching.values() for call in calls]
    checkout.fit(config)
    source = workspace.path / "config" / f"{role.name}-{release}.yml"
    gitconfig = workspace.path / "config" / "gitconfig"
    hashes = workspace.path / "hashserv" / release / "hashserv.db"
    cache = build_dir / "cache" / "hashserv.db"
    steps += [
        file_step(source, to_yaml(config)),
        file_step(gitconfig, builder.GITCONFIG),
        file_step(build_dir / builder.RELEASE_FILE, f"{release}\n"),
        _link_step(cache, os.path.relpath(hashes, cache.parent)),
    ]
    if user.name is not None:
        own = [folder for folder in shared.values() if folder.parent == workspace.path]
        owned = [layers, build_dir, workspace.path / "hashserv", source.parent, *own]
        call = ["chown", "-h", "-R", f"{user.uid}:{user.gid}", *map(str, owned)]
        steps.append(Step("run", paste_form(call), ("where they belong to somebody else",)))
    events = ("-w", str(build_dir / EVENTS_FILE))
    words = ["build", *options.bitbake.kas_words(str(source), events)]
    if not builder.kas_must_check_out(config, checkout, fetching):
        words[1:1] = ["--skip", "repos_checkout"]
    argv, ours = builder.kas_call(words, workspace, layers, build_dir, user, box)
    steps += [
        Step("run", paste_form(argv, env=ours)),
        # Written by kas, from the file above.
        file_step(build_dir / "conf" / "bblayers.conf", bblayers_conf(config, layers, build_dir)),
        file_step(build_dir / "conf" / "local.conf", local_conf(config)),
        Step("run", paste_form(options.bitbake.bitbake_words(config["target"], events), build_dir),
             ("called by kas",)),
    ]  # fmt: skip
    if options.bitbake.makes_image(config["target"]):
        machine = config["machine"]
        target = build_dir / "tmp" / "deploy" / "images" / machine
        steps.append(_link_step(workspace.build_dir(role.name) / "deploy", str(target)))
    return steps
