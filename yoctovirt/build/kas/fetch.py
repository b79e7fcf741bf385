"""Fetch all sources of a role into DL_DIR: ``bitbake --runall=fetch``, by kas."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from yoctovirt.base.files import disk_error, locked, make_folder, write_atomically
from yoctovirt.base.process import CommandLog
from yoctovirt.base.screen import Screen
from yoctovirt.build.kas.builder import KasOptions, kas_must_check_out, run_kas
from yoctovirt.build.kas.caches import prepare_folders
from yoctovirt.build.kas.container import open_container
from yoctovirt.build.kas.failures import explain
from yoctovirt.build.kas.fetched import fetch_error
from yoctovirt.build.kas.preflight import check_host
from yoctovirt.build.kas.user import choose_build_user
from yoctovirt.config.kasfile import choose_release, flatten, to_yaml
from yoctovirt.config.layers import Checkout
from yoctovirt.config.matrix import refuse_unresolved
from yoctovirt.config.roles import Role
from yoctovirt.config.site import load_site, shared_folders
from yoctovirt.config.workspace import Workspace


@dataclass(frozen=True)
class Fetched:
    """What was fetched, and what the download folder holds now."""

    release: str
    folder: Path  #: DL_DIR
    tasks: int  #: that bitbake ran: one for each recipe
    files: int  #: archives, packages and repositories in DL_DIR
    new_files: int  #: those that were not there before


def fetch(
    role: Role,
    workspace: Workspace,
    options: KasOptions,
    log: CommandLog,
    screen: Screen,
    *,
    record: Path,
    tarballs: bool = False,
) -> Fetched:
    """Run the fetch task of every recipe that the image of *role* needs.

    With *tarballs* git repositories are packed besides, as a source mirror needs them
    (BB_GENERATE_MIRROR_TARBALLS). Nothing is remembered between two calls: each looks
    whether DL_DIR has all. Raises BuildError for sources that are gone, InfrastructureError
    where hosts cannot be reached, UsageError for a wrong configuration.
    """
    release = choose_release(role, options.release)
    if not options.extra:
        refuse_unresolved(role, release, options.machine, options.features, workspace.path)
    user = choose_build_user(options.build_user)
    config = flatten(
        role, release, log, extra=options.extra, machine=options.machine,
        features=options.features, site=load_site(workspace.path),
    )  # fmt: skip
    env = config.setdefault("env", {})
    for name in ("BB_HASHSERVE_UPSTREAM", "PRSERV_HOST"):
        env.pop(name, None)  # of no use to a fetch
    if "BB_HASHSERVE" in env:
        env["BB_HASHSERVE"] = "auto"
    if tarballs:
        env["BB_GENERATE_MIRROR_TARBALLS"] = "1"
    shared = shared_folders(config, workspace.path)
    box = None
    if options.container:
        box = open_container(options.container, role, workspace, config, shared, user, log)
    elif options.preflight:
        check_host(
            role, workspace, user, fresh=False, release=release, caches=shared, screen=screen
        )
    layers = workspace.path / "layers" / release
    build_dir = workspace.path / "fetch" / f"{role.name}-{release}"
    output_log = record / "fetch.log"
    with locked(
        workspace.path / f".fetch-{role.name}-{release}.lock",
        f"{build_dir} is in use: the sources of {role.name} are being fetched",
    ) as lock:
        checkout = Checkout(layers, log, screen)
        checkout.make(config)
        text = to_yaml(config)
        write_atomically(record / "kas.yml", text)
        source = make_folder(workspace.path / "config") / f"fetch-{role.name}-{release}.yml"
        write_atomically(source, text)
        # What was fetched into another DL_DIR, or was removed from this one, is not done.
        for left in build_dir.glob("tmp*"):
            shutil.rmtree(left)
        make_folder(build_dir)
        user.take([layers, build_dir.parent, build_dir, source.parent], log)
        prepare_folders(shared, workspace, user, log)
        before = _sources(shared["DL_DIR"])
        skip = () if kas_must_check_out(config, checkout) else ("--skip", "repos_checkout")
        status, said = run_kas(
            ["build", *skip, str(source), "--", "--continue", "--runall=fetch"],
            workspace, layers, build_dir, user, log, screen, output_log, lock, box=box,
        )  # fmt: skip
    tasks = len(set(re.findall(r"recipe (\S+): task do_fetch: Started", said)))
    if status:
        raise fetch_error(said, tasks, output_log) or explain(
            said, status, output_log, build_dir=build_dir, caches=shared
        )
    after = _sources(shared["DL_DIR"])
    return Fetched(release, shared["DL_DIR"], tasks, len(after), len(after - before))


def _sources(folder: Path) -> set[str]:
    """Return the names of what DL_DIR holds, git repositories among it, without its marks."""
    found = set()
    for path in folder.iterdir():
        if path.name in ("git2", "svn", "hg"):
            found |= {f"{path.name}/{one.name}" for one in path.iterdir() if one.is_dir()}
        elif not path.name.endswith((".done", ".lock", ".tmp")) and not path.is_dir():
            found.add(path.name)
    return found


def carry_along(folder: Path) -> None:
    """Put the files themselves into DL_DIR where bitbake made links to a mirror on this host.

    Raises InfrastructureError where the disk is full.
    """
    for link in [path for path in folder.iterdir() if path.is_symlink() and path.is_file()]:
        aside = link.with_name(f".{link.name}.{os.getpid()}.tmp")
        try:
            shutil.copyfile(link, aside)
            aside.replace(link)
        except OSError as error:
            aside.unlink(missing_ok=True)
            raise disk_error(error, link) from error
