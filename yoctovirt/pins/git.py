"""git, called so that it works on what it is told to, and on nothing else.

The user's own settings (proxies, credentials) count; the environment of a git hook does
not. A mirror may belong to another user: that it is ours to read was decided by the one
who named it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from yoctovirt.base.process import CommandLog, Guarded, missing_tool
from yoctovirt.pins.sources import offline

_OF_A_HOOK = frozenset(
    ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR")
)
_GIT_CONFIG = """\
{users}[safe]
\tdirectory = *
[advice]
\tdetachedHead = false
[gc]
\tauto = 0
"""
#: What takes its time is not to outlive us.
_LONG = ("fetch", "checkout", "clone")


def _users_config() -> str:
    """Return git settings that include those of the user."""
    named = os.environ.get("GIT_CONFIG_GLOBAL")
    base = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    files = [named] if named else [base / "git" / "config", Path.home() / ".gitconfig"]
    return "".join(f'[include]\n\tpath = "{file}"\n' for file in files)


class Git:
    """Calls git with settings of ours; made by :func:`git_settings`."""

    def __init__(self, config: str, log: CommandLog | None = None) -> None:
        self._config = config
        self._log = log or CommandLog()

    def environment(self) -> dict[str, str]:
        """Return the environment that git is called in."""
        # Called by a git hook we must not work on the repository of the hook.
        env = {name: value for name, value in os.environ.items() if name not in _OF_A_HOOK}
        env.setdefault("GIT_HTTP_LOW_SPEED_LIMIT", "1000")
        env.setdefault("GIT_HTTP_LOW_SPEED_TIME", "60")
        if offline():
            env["GIT_NO_LAZY_FETCH"] = "1"  # what a partial clone does not have, it does not get
            env["GIT_ALLOW_PROTOCOL"] = "file"
        return {**env, "GIT_CONFIG_GLOBAL": self._config, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}

    def attempt(self, folder: Path, *arguments: str) -> str:
        """Run git; return '' where it succeeds, its last line of error where not."""
        argv = ["git", "-C", str(folder), *arguments]
        self._log.note(argv)
        with tempfile.TemporaryFile() as output:
            status = self._wait(argv, output)
            output.seek(0)
            text = output.read().decode(errors="replace").strip()
        if status == 0:
            return ""
        lines = [line for line in text.splitlines() if line.startswith(("fatal", "error"))]
        return (lines or text.splitlines() or [f"exit status {status}"])[0]

    def _wait(self, argv: list[str], output: IO[bytes]) -> int:
        env = self.environment()
        if argv[3] not in _LONG:
            quick = subprocess.run(argv, env=env, stdout=output, stderr=output, check=False)
            return quick.returncode
        job = Guarded(argv, env=env, output=output)
        try:
            status = job.wait()
            job.close()
        except BaseException:
            job.stop()
            raise
        return status

    def output(self, folder: Path, *arguments: str) -> str:
        """Run git and return what it printed, '' where it fails."""
        with suppress(subprocess.CalledProcessError):
            return subprocess.run(
                ["git", "-C", str(folder), *arguments],
                env=self.environment(), capture_output=True, text=True, errors="replace",
                check=True,
            ).stdout.rstrip()  # fmt: skip
        return ""


@contextmanager
def git_settings(log: CommandLog | None = None) -> Iterator[Git]:
    """Yield a :class:`Git`; InfrastructureError where git is not installed."""
    if shutil.which("git") is None:
        raise missing_tool("git")
    with tempfile.NamedTemporaryFile("w", prefix="yoctovirt-git-") as config:
        config.write(_GIT_CONFIG.format(users=_users_config()))
        config.flush()
        yield Git(config.name, log)
