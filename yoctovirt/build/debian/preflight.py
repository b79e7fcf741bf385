"""What keeps this host from an image of Debian packages, found before the work."""

from __future__ import annotations

import getpass
import os
from pathlib import Path

from yoctovirt.config.roles import Role
from yoctovirt.doctor.checks import tools_path
from yoctovirt.doctor.subject import Account, Subject


def make_subject(role: Role, cache_dir: Path, workspace: Path, fresh: bool = True) -> Subject:
    """Return what the host is to be fit for."""
    account = Account(getpass.getuser(), os.geteuid(), Path.home())
    return Subject(
        role=role.name,
        builder="debian",
        release=None,
        machine=role.machine,
        disk_gib=role.disk_gib,
        fresh=fresh,
        workspace=workspace,
        cache_dir=cache_dir,
        build_dir=cache_dir / "debian",
        account=account,
        tools_path=tools_path("debian"),
        memory_mib=role.node.memory,
        guests=bool({"qemu", "xen"} & set(role.promises)),
    )
