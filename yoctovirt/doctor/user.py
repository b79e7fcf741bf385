"""Who builds, and in which surroundings: root, umask, locale.

Sources: ``sanity.bbclass`` (root, umask, locale), ``check_system_locale`` of bitbake.
"""

from __future__ import annotations

import locale
import os
import re
from collections.abc import Mapping
from pathlib import Path

from yoctovirt.doctor.packages import Manager
from yoctovirt.doctor.result import Result, error, ok, warning
from yoctovirt.doctor.subject import Account, run

#: Bits that the umask must leave: sanity.bbclass wants a+rx and u+rwx.
_MUST_STAY = 0o755


def not_root(account: Account | None) -> Result:
    """Check that not root builds: bitbake refuses root."""
    if account is None:
        return error(
            "user.root", "bitbake refuses to run as root",
            "work as a normal user, or name one with --build-user NAME (or "
            "YOCTOVIRT_BUILD_USER): useradd -m NAME",
        )  # fmt: skip
    return ok("user.root", f"{account.name} (uid {account.uid}) builds")


def current_umask(status: Path = Path("/proc/self/status")) -> int | None:
    """Return our umask without changing it, None where the kernel does not tell (before 4.7)."""
    found = re.search(r"^Umask:\s*([0-7]+)$", status.read_text(), re.MULTILINE)
    return int(found.group(1), 8) if found else None


def umask(mask: int | None) -> Result:
    """Check that the umask lets others read and enter what is built."""
    if mask is not None and mask & _MUST_STAY:
        return error(
            "user.umask", f"the umask is {mask:04o}: bitbake wants one that leaves a+rx and u+rwx",
            "umask 022",
        )  # fmt: skip
    return ok("user.umask", "the umask " + ("is not told" if mask is None else f"is {mask:04o}"))


def has_locale(name: str) -> bool:
    """Whether the C library has the locale *name*, asked as bitbake asks."""
    before = locale.setlocale(locale.LC_ALL)
    try:
        locale.setlocale(locale.LC_ALL, name)
    except locale.Error:
        return False
    finally:
        locale.setlocale(locale.LC_ALL, before)
    return True


def locale_there(name: str, manager: Manager) -> Result:
    """Check that the locale is there that the release switches to."""
    if has_locale(name):
        return ok("user.locale", f"the locale {name} is there; yoctovirt gives it to bitbake")
    install = manager.line(["locale-gen"])
    more = f" && localedef -i {name.split('.')[0]} -f UTF-8 {name}" if manager.name == "apt" else ""
    return error("user.locale", f"the locale {name}, which bitbake needs, is not there",
                 f"as root: {install}{more}")  # fmt: skip


def own_locale(environ: Mapping[str, str], name: str) -> Result:
    """Check that the user's own locale is UTF-8; only bitbake called by hand looks at it."""
    said = environ.get("LC_ALL") or environ.get("LC_CTYPE") or environ.get("LANG") or ""
    if not re.search(r"\.utf-?8$", said, re.IGNORECASE):
        return warning(
            "user.environment", f"your locale is {said or 'not set'}: yoctovirt sets its own for "
            "bitbake, but kas and bitbake called by hand refuse it", f"export LC_ALL={name}",
        )  # fmt: skip
    return ok("user.environment", f"your locale is {said}")


def search_path(environ: Mapping[str, str]) -> Result:
    """Check for ``.`` in PATH: sanity.bbclass refuses it, and kas by hand would inherit it."""
    parts = environ.get("PATH", "").split(":")
    if any(part in ("", ".", "./") for part in parts):
        return warning(
            "user.path", "PATH has an empty entry or '.': yoctovirt sets its own for bitbake, but "
            "bitbake called by hand refuses it", "take '.' and '::' out of PATH",
        )  # fmt: skip
    return ok("user.path", "PATH has no empty entry and no '.'")


def may_enter(account: Account, folders: Mapping[Path, str]) -> Result:
    """Check that the build user can come to *folders* (folder -> flag of test(1))."""
    for folder, flag in folders.items():
        if not folder.exists():
            continue
        if account.prefix:
            can = run(["test", flag, str(folder)], account)[0] == 0
        else:
            can = os.access(folder, os.R_OK if flag == "-r" else os.X_OK)
        if not can:
            return error(
                "user.folders", f"the build user {account.name} cannot come to {folder}",
                "use a workspace and an installation outside of private home folders",
            )  # fmt: skip
    return ok("user.folders", f"{account.name} can come to the workspace and to our layers")
