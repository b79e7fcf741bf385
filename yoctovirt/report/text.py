"""Text of logs and nodes, made fit to be shown."""

from __future__ import annotations

import re
from html import escape

_ESCAPE_SEQUENCES = re.compile(
    r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|[PX^_][^\x1b]*\x1b\\|[ -/]*[0-~])"
)
_NOT_TEXT = re.compile(r"[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def plain(text: str) -> str:
    """Return *text* without colours, cursor movements and whatever else is no text."""
    return _NOT_TEXT.sub("", _ESCAPE_SEQUENCES.sub("", text.replace("\r", "")))


def clip(text: str, limit: int) -> str:
    """Return the begin and the end of *text* where it is longer than *limit* characters."""
    if len(text) <= limit:
        return text
    head = limit // 3
    return f"{text[:head]}\n[… {len(text) - limit} characters …]\n{text[head - limit :]}"


class Budget:
    """How many bytes of a page are left for logs and outputs, escapes counted."""

    def __init__(self, total: int) -> None:
        self.left = total

    def take(self, text: str, limit: int, where: str) -> str:
        """Return as much of *text* as may be shown; *where* is the file that has all of it."""
        text = plain(clip(text, limit))
        size = len(escape(text).encode())
        if size and size > self.left:
            return f"[left out, this page is long enough: see {where}]"
        self.left -= size
        return text
