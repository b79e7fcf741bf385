"""Files and folders of pinned commits, read from git's object store without a checkout.

One ``git cat-file --batch`` a repository answers all questions about it: looking through
every layer of a release takes tenths of a second.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from yoctovirt.errors import InfrastructureError
from yoctovirt.pins.git import Git

_FOLDER = "40000"


class ObjectStore:
    """The objects of one repository; made by :func:`object_store`."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes]) -> None:
        self.folder = folder
        self._process = process
        self._trees: dict[str, dict[str, str]] = {}

    def _ask(self, name: str) -> tuple[str, str, bytes] | None:
        """Return id, type and content of the object *name*, None where it is not there."""
        if "\n" in name:
            return None
        to, out = self._process.stdin, self._process.stdout
        if to is None or out is None:
            raise RuntimeError("cat-file was started without pipes")
        try:
            to.write(name.encode() + b"\n")
            to.flush()
            head = out.readline()
        except OSError:
            head = b""
        if not head:
            raise InfrastructureError(
                f"{self.folder} cannot be read: git cat-file has ended",
                "check it with 'git fsck', or use another mirror",
            )
        words = head.split()
        if len(words) != 3 or words[1] not in (b"blob", b"tree", b"commit", b"tag"):
            return None
        content = out.read(int(words[2]))
        out.read(1)
        return words[0].decode(), words[1].decode(), content

    def resolve(self, name: str) -> str | None:
        """Return the commit that *name* (a ref, or anything else git knows) stands for."""
        found = self._ask(f"{name}^{{commit}}")
        return found[0] if found else None

    @property
    def shallow(self) -> bool:
        """Whether history was cut off when the repository was made."""
        return any((self.folder / name).is_file() for name in ("shallow", ".git/shallow"))

    def has_commit(self, commit: str) -> bool:
        """Whether *commit* and the top of its tree are there."""
        found = self._ask(commit)
        return found is not None and found[1] == "commit" and self._ask(f"{commit}:") is not None

    def text(self, commit: str, path: str) -> str | None:
        """Return the file *path* of *commit*, None where it does not have one."""
        found = self._ask(f"{commit}:{path}")
        return found[2].decode(errors="replace") if found and found[1] == "blob" else None

    def names(self, commit: str, path: str) -> dict[str, bool]:
        """Return what lies in the folder *path* of *commit*: name, and whether it is a folder."""
        key = f"{commit}:{path}"
        if key not in self._trees:
            found = self._ask(key)
            self._trees[key] = _entries(found[2]) if found and found[1] == "tree" else {}
        return {name: mode == _FOLDER for name, mode in self._trees[key].items()}


def _entries(tree: bytes) -> dict[str, str]:
    """Return name and mode of each entry of a tree object: mode, name, NUL, 20 bytes of id."""
    entries = {}
    at = 0
    while at < len(tree):
        end = tree.index(b"\0", at)
        mode, _, name = tree[at:end].partition(b" ")
        entries[name.decode(errors="replace")] = mode.decode()
        at = end + 21
    return entries


@contextmanager
def object_store(git: Git, folder: Path) -> Iterator[ObjectStore]:
    """Yield the objects of the repository in *folder*.

    What is asked of a folder that is no repository raises InfrastructureError.
    """
    # Named, not looked for: a broken mirror inside of another repository is not that one.
    inner = folder / ".git"
    process = subprocess.Popen(
        ["git", f"--git-dir={inner if inner.exists() else folder}", "cat-file", "--batch"],
        env=git.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield ObjectStore(folder, process)
    finally:
        with suppress(OSError):
            if process.stdin is not None:
                process.stdin.close()
        if process.stdout is not None:
            process.stdout.close()
        process.wait()
