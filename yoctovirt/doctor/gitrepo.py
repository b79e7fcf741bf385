"""git as the user has it: an identity, and repositories that it does not refuse."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from yoctovirt.doctor.result import Result, error, ok, warning
from yoctovirt.doctor.subject import Account, run

_SHOWN = 3


def _environment(account: Account | None, environ: Mapping[str, str] | None) -> dict[str, str]:
    env = dict(os.environ if environ is None else environ)
    if account is not None and account.prefix:
        env["HOME"] = str(account.home)
    return env


def identity(account: Account | None, environ: Mapping[str, str] | None = None) -> Result:
    """Check that the build user's git has a name and an address: devtool commits with them."""
    check = "git.identity"
    env = _environment(account, environ)
    status, said = run(["git", "--version"], env=env)
    if status == 127:
        return error(check, f"git cannot be run: {said}", "install git")
    # `git var` would make an address up of the name of the host.
    # In the root folder: what counts is not what stands in a repository above us.
    wanted = r"^(user|committer)\.(name|email)$"
    listed = run(["git", "-C", "/", "config", "--get-regexp", wanted], account, env)
    found = dict(line.split(" ", 1) for line in listed[1].splitlines() if " " in line)
    name = env.get("GIT_COMMITTER_NAME") or found.get("committer.name") or found.get("user.name")
    address = (
        env.get("GIT_COMMITTER_EMAIL")
        or found.get("committer.email")
        or found.get("user.email")
        or env.get("EMAIL")
    )
    if not (name and address):
        who = f"as {account.name}: " if account and account.prefix else ""
        return warning(
            check,
            "git has no user.name and user.email: devtool and patches of kas files commit",
            f"{who}git config --global user.name NAME; git config --global user.email ADDRESS",
        )
    return ok(check, f"git commits as {name} <{address}>")


def safe_directories(
    repositories: Iterable[Path],
    account: Account | None,
    environ: Mapping[str, str] | None = None,
) -> Result:
    """Check that the user's git does not refuse *repositories* as another user's.

    yoctovirt calls git, and kas through it, with safe.directory set; what a user calls by
    hand in a checkout (git, devtool, bitbake) does not have that.
    """
    check = "git.safe"
    env = _environment(account, environ)
    uid = account.uid if account else os.geteuid()
    refused = []
    looked = 0
    for folder in repositories:
        if not folder.is_dir():
            continue
        looked += 1
        inner = folder / ".git" if (folder / ".git").exists() else folder
        if {folder.stat().st_uid, inner.stat().st_uid} == {uid}:
            continue  # saves a process
        status, said = run(["git", "-C", str(folder), "rev-parse", "--git-dir"], account, env)
        if status and "dubious ownership" in said:
            refused.append(str(folder))
    if refused:
        shown = ", ".join(refused[:_SHOWN])
        more = f" and {len(refused) - _SHOWN} more" if len(refused) > _SHOWN else ""
        return warning(
            check, f"git called by hand refuses repositories of another user: {shown}{more}",
            f"git config --global --add safe.directory {refused[0]} (and so on)",
        )  # fmt: skip
    return ok(
        check,
        f"git refuses none of the {looked} checkouts here" if looked else "no checkouts here yet",
    )
