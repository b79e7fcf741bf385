"""User namespaces: bitbake keeps tasks off the network with them, mmdebstrap works in one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from yoctovirt.doctor.result import Result, error, not_checked, ok, warning
from yoctovirt.doctor.subject import Account, run

#: What forbids them, below /proc/sys: file, value, and who put it there.
_SWITCHES = (
    ("kernel/apparmor_restrict_unprivileged_userns", "1", "AppArmor of Ubuntu 23.10 and newer"),
    ("kernel/unprivileged_userns_clone", "0", "Debian's kernel"),
    ("user/max_user_namespaces", "0", "the administrator"),
)


def switched_off(proc_sys: Path = Path("/proc/sys")) -> list[tuple[str, str]]:
    """Return (sysctl line that would allow them, who forbade them) for each switch that is off."""
    found = []
    for name, forbidding, who in _SWITCHES:
        try:
            value = (proc_sys / name).read_text().strip()
        except OSError:
            continue
        if value == forbidding:
            allowing = {"1": "0", "0": "1"}[forbidding]
            if name.startswith("user/"):
                allowing = "15000"
            found.append((f"sysctl -w {name.replace('/', '.')}={allowing}", who))
    return found


def user_namespaces(
    account: Account | None, proc_sys: Path = Path("/proc/sys"), *, needed: bool = False
) -> Result:
    """Check that the build user may make a user namespace with a network of its own.

    bitbake goes without where the kernel refuses all of it, but stops where the namespace
    comes and its table of users may not be written, as AppArmor does it. With *needed*
    (mmdebstrap of a normal user) both are errors.
    """
    check = "host.namespaces"
    status, said = run(["unshare", "--user", "--map-root-user", "--net", "true"], account)
    if status == 127:
        return not_checked(check, said, "install util-linux")
    if status == 0:
        return ok(check, "user namespaces work: tasks can be kept off the network")
    causes = switched_off(proc_sys)
    why = f"{said} ({', '.join(who for _, who in causes)})" if causes else said
    remedy = (
        f"as root: {'; '.join(line for line, _ in causes)} (to keep it: a file in /etc/sysctl.d)"
        if causes
        else "allow them: sysctl kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu), "
        "user.max_user_namespaces (elsewhere); in a container: its seccomp profile"
    )
    half = re.search(r"uid_map|setgroups", said) is not None
    if needed or half:
        return error(check, f"user namespaces cannot be used: {why}", remedy)
    return warning(
        check, f"no user namespaces: {why}; tasks of bitbake are not kept off the network", remedy
    )


def subordinate_ids(name: str, uid: int, tables: Iterable[Path]) -> Result:
    """Check for ranges of subordinate ids: mmdebstrap of a normal user needs them."""
    for table in tables:
        lines = table.read_text().splitlines() if table.is_file() else []
        if not any(line.startswith((f"{name}:", f"{uid}:")) for line in lines):
            return error(
                "host.subids", f"user {name} has no range in {table}",
                "as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 "
                f"{name}",
            )  # fmt: skip
    return ok("host.subids", f"user {name} has subordinate ids")
