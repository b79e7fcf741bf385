"""What would fail after an hour, found before the first minute: the host, for kas and bitbake."""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from pathlib import Path

from yoctovirt.base.screen import Screen
from yoctovirt.build.kas.user import BuildUser
from yoctovirt.config.roles import Role
from yoctovirt.config.workspace import Workspace
from yoctovirt.doctor.checks import tools_path
from yoctovirt.doctor.preflight import before_build
from yoctovirt.doctor.subject import Account, Subject


def account_of(user: BuildUser) -> Account:
    """Return *user* as the checks of the host know it."""
    name = user.name or getpass.getuser()
    return Account(name, user.uid, user.home, tuple(user.argv([])))


def make_subject(
    role: Role,
    workspace: Workspace,
    release: str | None,
    machine: str,
    account: Account | None,
    build_dir: Path,
    fresh: bool,
    *,
    shown: str | None = None,
    caches: Mapping[str, Path] | None = None,
) -> Subject:
    """Return what the host is to be fit for; *shown* is the role's name where it differs.

    *caches* are DL_DIR and SSTATE_DIR, by their names.
    """
    return Subject(
        role=role.name if shown is None else shown,
        builder="kas",
        release=release,
        machine=machine,
        disk_gib=role.disk_gib,
        fresh=fresh,
        workspace=workspace.path,
        cache_dir=workspace.cache_dir,
        build_dir=build_dir,
        account=account,
        tools_path=tools_path("kas"),
        memory_mib=role.node.memory,
        guests=bool({"qemu", "xen"} & set(role.promises)),
        quick=role.name == "quick",
        caches=caches or {},
    )


def check_host(
    role: Role,
    workspace: Workspace,
    user: BuildUser,
    fresh: bool,
    *,
    release: str | None = None,
    build_dir: Path | None = None,
    caches: Mapping[str, Path] | None = None,
    screen: Screen | None = None,
) -> None:
    """Raise for what this host lacks for a build of *role*, all of it in one error.

    *fresh* says that nothing of it is built yet, so that the whole disk space is needed.
    Warnings go to *screen*.
    """
    before_build(
        make_subject(
            role,
            workspace,
            release or role.release,
            role.machine,
            account_of(user),
            build_dir or workspace.build_dir(role.name),
            fresh,
            caches=caches,
        ),
        screen,
    )
