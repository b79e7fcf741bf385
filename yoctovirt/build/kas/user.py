"""The user that bitbake runs as: it refuses root."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from yoctovirt.base.process import CommandLog, missing_tool, run_quick
from yoctovirt.errors import InfrastructureError, UsageError

VARIABLE = "YOCTOVIRT_BUILD_USER"


@dataclass(frozen=True)
class BuildUser:
    """Who builds: ourselves (``name`` None), or another user that root hands over to."""

    name: str | None
    uid: int
    gid: int
    home: Path

    def argv(self, command: list[str]) -> list[str]:
        """Return *command* so that it runs as this user, its signals and status untouched."""
        if self.name is None:
            return command
        return [
            "setpriv", f"--reuid={self.uid}", f"--regid={self.gid}", "--init-groups", "--",
            *command,
        ]  # fmt: skip

    def can(self, *test: str) -> bool:
        """Whether ``test ...`` succeeds as this user."""
        done = subprocess.run(self.argv(["test", *test]), check=False, stdin=subprocess.DEVNULL)
        return done.returncode == 0

    def take(self, folders: Iterable[Path], log: CommandLog) -> None:
        """Hand *folders* over to this user, with all that is in them."""
        if self.name is None:
            return
        strangers = [
            str(path)
            for folder in folders
            if folder.exists()
            for path in _strangers(folder, self.uid)
        ]
        if strangers:
            owner = f"{self.uid}:{self.gid}"
            run_quick(["chown", "-h", "-R", owner, *strangers], log, timeout=1800)


def _strangers(folder: Path, uid: int) -> list[Path]:
    """Return what belongs to somebody else: *folder*, or paths of its first two levels.

    Only these are handed over: a build directory has a million files, and what root
    writes there after a build is two of them.
    """
    if folder.stat().st_uid != uid:
        return [folder]
    first = [path for path in folder.iterdir() if path.lstat().st_uid != uid]
    second = [
        path
        for path in folder.glob("*/*")
        if path.parent not in first and path.lstat().st_uid != uid
    ]
    return first + second


def choose_build_user(named: str | None) -> BuildUser:
    """Return who is to build.

    *named* (or ``YOCTOVIRT_BUILD_USER``) counts where we are root, for containers and
    CI. Raises InfrastructureError where we are root and nobody is named, UsageError
    where that user does not exist or cannot run our Python.
    """
    named = named or os.environ.get(VARIABLE)
    if os.geteuid() != 0:
        me = pwd.getpwuid(os.geteuid())
        if named and named != me.pw_name:
            raise UsageError(
                f"only root can build as {named}; this is {me.pw_name}", "leave --build-user away"
            )
        return BuildUser(None, me.pw_uid, me.pw_gid, Path(me.pw_dir))
    if not named:
        raise InfrastructureError(
            "bitbake refuses to run as root",
            f"work as a normal user, or name one with --build-user NAME (or {VARIABLE}): "
            "useradd -m NAME",
        )
    try:
        entry = pwd.getpwnam(named)
    except KeyError:
        raise UsageError(
            f"there is no user {named!r} on this host", f"useradd -m {named}"
        ) from None
    if entry.pw_uid == 0:
        raise UsageError(f"user {named} is root", "bitbake refuses root; name another")
    if shutil.which("setpriv") is None:
        raise missing_tool("setpriv")
    user = BuildUser(named, entry.pw_uid, entry.pw_gid, Path(entry.pw_dir))
    if not user.can("-x", sys.executable):
        raise UsageError(
            f"user {named} cannot run {sys.executable}, the Python of yoctovirt",
            "install yoctovirt where that user may read it, with a Python that it may run "
            "(/usr/bin/python3 -m venv …)",
        )
    return user
