"""Files that a check keeps in the run record: a screenshot, what it was given, what it got."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

FOLDER = "attached"
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def file_name(check: str) -> str:
    """Return *check*, an id, as the name of a file begins that belongs to it."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", check).strip("-")


class Attachments:
    """The files of the check that runs; its verdict names them."""

    def __init__(self, results: Path | None, current: Callable[[], str]) -> None:
        self._results = results
        self._current = current
        self._names: list[str] = []

    def add(self, name: str, data: bytes) -> str:
        """Write *data*; return the file, relative to the record, or '' where there is none.

        *name* is that of a file without a folder: what is in the file is known by its suffix.
        """
        if not _PLAIN.fullmatch(name):
            raise ValueError(f"no plain name of a file: {name!r}")
        if self._results is None:
            return ""
        folder = self._results / FOLDER
        folder.mkdir(exist_ok=True)
        stem, suffix = Path(name).stem, Path(name).suffix
        whole = f"{file_name(self._current())}-{stem}"
        for number in range(1, 1000):
            path = folder / (f"{whole}{suffix}" if number == 1 else f"{whole}-{number}{suffix}")
            try:
                with path.open("xb") as out:
                    out.write(data)
            except FileExistsError:
                continue
            kept = f"{FOLDER}/{path.name}"
            self._names.append(kept)
            return kept
        raise FileExistsError(folder / name)

    def begin(self) -> None:
        """Have no file of the check that begins now."""
        self._names = []

    @property
    def names(self) -> list[str]:
        """The files of the check so far."""
        return list(self._names)
