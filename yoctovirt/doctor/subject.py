"""Whom and what the host is checked for."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

#: What a command of the checks may take, in seconds.
PATIENCE = 10.0


@dataclass(frozen=True)
class Account:
    """The user who builds: ourselves, or another one that root hands over to."""

    name: str
    uid: int
    home: Path
    #: words that stand before a command which is to run as this user (``setpriv ... --``)
    prefix: tuple[str, ...] = ()


@dataclass(frozen=True)
class Subject:
    """The build that the host is to be fit for."""

    role: str  #: '' where none was named
    builder: str  #: ``kas`` or ``debian``
    release: str | None
    machine: str
    disk_gib: int  #: that a build from nothing needs
    fresh: bool  #: whether nothing of it is built yet
    workspace: Path
    cache_dir: Path
    build_dir: Path
    account: Account | None  #: None: root, and no build user is named
    tools_path: str  #: PATH in which the builder finds its tools
    memory_mib: int = 1024  #: of the node
    quick: bool = False  #: prebuilt packages: nothing is compiled
    #: DL_DIR and SSTATE_DIR, by their names
    caches: Mapping[str, Path] = field(default_factory=dict)
    guests: bool = False  #: the node is to run virtual machines of its own


def run(
    argv: Sequence[str],
    account: Account | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = PATIENCE,
) -> tuple[int, str]:
    """Run a command as *account*; return its exit status and all that it printed.

    127 where it is not there, 124 where it took longer than *timeout* seconds.
    """
    words = [*(account.prefix if account else ()), *argv]
    try:
        done = subprocess.run(
            words, env=dict(os.environ if env is None else env), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return 124, f"{argv[0]} did not end within {timeout:.0f} s"
    except OSError as problem:
        return 127, f"{argv[0]}: {problem.strerror}"
    return done.returncode, done.stdout.decode(errors="replace").strip()
