"""Small real git repositories for tests."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ENV = {
    "PATH": os.environ["PATH"],
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_SYSTEM": "/dev/null",
    **{f"GIT_{who}_NAME": "A Person" for who in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{who}_EMAIL": "person@example.invalid" for who in ("AUTHOR", "COMMITTER")},
}


def git(folder: Path, *arguments: str) -> str:
    """Run git in *folder* and return what it printed; AssertionError where it fails."""
    done = subprocess.run(
        ["git", "-C", str(folder), "-c", "safe.directory=*", *arguments],
        env=ENV, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def commit(folder: Path, message: str = "change", **files: str) -> str:
    """Commit *files* (``__`` in a name stands for ``/``) and return the commit."""
    for name, text in (files or {"README": message}).items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", message)
    return git(folder, "rev-parse", "HEAD")


def repository(folder: Path, branch: str = "main", **files: str) -> str:
    """Make a repository with one commit in *folder* and return the commit."""
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "-q", "-b", branch)
    return commit(folder, "first", **files)


def bare(source: Path, target: Path, *options: str) -> Path:
    """Make *target* a bare copy of *source*, and return it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    git(source, "clone", "-q", "--bare", *options, f"file://{source}", str(target))
    return target
