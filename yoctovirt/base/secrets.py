"""Secrets of the environment: in nothing that we print, and in nothing that we keep.

A CI service hands passwords and tokens to a job as environment variables, and addresses with
credentials. What of them comes into a run record, or onto the screen, is masked.
"""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import quote, unquote

MASK = "********"
#: A variable, option or key of which the value is a secret.
_NAME = re.compile(
    r"passw(or)?d|passwd|passphrase|secret|token|credential|(api|access|private|deploy|sign\w*)_?key"
    r"|(^|_)(pat|pwd|auth)$",
    re.IGNORECASE,
)
#: Shorter ones would mask words that say nothing: 'true', 'root'.
_SHORTEST = 6
#: User and password of a URL; a long user of http without a password is a token.
_IN_URL = r"(?<=://)[^/@\s:\"']*:[^/@\s\"']+(?=@)"
_TOKEN_URL = r"(?<=https://)[^/@\s:\"']{16,}(?=@)"  # noqa: S105 - a pattern
#: Files of a record that hold no text.
_BINARY = (".png", ".gz", ".zst", ".qcow2")


class Secret(str):
    """A text that no traceback shows: what prints its variables prints the mask."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(MASK)


def is_secret_name(name: str) -> bool:
    """Whether *name* is that of a variable or option whose value nobody should read."""
    return _NAME.search(name) is not None


def secret_values(env: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Return what must not be shown: values of variables that are secrets, passwords in URLs.

    The longest first. A value that is the path of a file is none: its content is.
    """
    env = os.environ if env is None else env
    return _values(tuple(sorted(env.items())))


@lru_cache(maxsize=4)
def _values(env: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    found: set[str] = set()
    for name, value in env:
        if is_secret_name(name) and not value.startswith("/"):
            found |= {value, *value.splitlines()}
        for login in re.findall(r"://([^/@\s]+)@", value):
            password = login.partition(":")[2]
            found |= {password, unquote(password)}
    found = {value.strip() for value in found}
    found |= {quote(value, safe="") for value in found}
    long = [value for value in found if len(value) >= _SHORTEST]
    return tuple(sorted(long, key=lambda value: (-len(value), value)))


@lru_cache(maxsize=4)
def _pattern(values: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join([*map(re.escape, values), _IN_URL, _TOKEN_URL]))


def mask(text: str, values: Iterable[str] | None = None) -> str:
    """Return *text* without secrets of the environment (or *values*), nor passwords in URLs."""
    known = secret_values() if values is None else tuple(values)
    if "://" not in text and not any(value in text for value in known):
        return text
    return _pattern(known).sub(_keep_user, text)


def _keep_user(match: re.Match[str]) -> str:
    user, colon, _ = match[0].partition(":")
    before = match.string[max(0, match.start() - 3) : match.start()]
    return f"{user}:{MASK}" if colon and before == "://" else MASK


def masked(value: Any) -> Any:
    """Return *value*, what a JSON file is to hold, with all its texts masked."""
    return _masked(value, secret_values())


def _masked(value: Any, values: tuple[str, ...]) -> Any:
    if isinstance(value, str):
        return mask(value, values)
    if isinstance(value, dict):
        return {key: _masked(one, values) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(one, values) for one in value]
    return value


def mask_files(folder: Path) -> int:
    """Mask secrets in all text files below *folder*, in place; return in how many there were some.

    Of programs that write their logs themselves. Each file stays as long as it is, so that a
    program that still appends to it goes on at the right place.
    """
    values = [re.escape(value.encode()) for value in secret_values()]
    # With a literal at its begin, which a search goes through a long log for at once.
    url = rf"://((?:{_IN_URL}|{_TOKEN_URL}))@".encode()
    patterns = [re.compile(url), *([re.compile(b"(" + b"|".join(values) + b")")] if values else [])]
    count = 0
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_file() or path.suffix in _BINARY:
            continue
        with suppress(OSError, ValueError), path.open("r+b") as out:  # ValueError: it is empty
            with mmap.mmap(out.fileno(), 0) as data:
                places = [match.span(1) for one in patterns for match in one.finditer(data)]
                for start, end in places:
                    data[start:end] = b"*" * (end - start)
            count += bool(places)
    return count


class MaskedStream:
    """A text stream that writes everything masked, and is the stream in all else."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write *text*, masked; return how many characters of it were taken: all."""
        self._stream.write(mask(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write *lines*, masked."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
