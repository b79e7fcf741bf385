"""Files of a record that are shown on its page: pictures and texts, with a link to each."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any
from urllib.parse import quote

from yoctovirt.report.load import tail
from yoctovirt.report.text import Budget

#: A picture that is not larger stands in the page.
PICTURE_BYTES = 300_000
_TEXT_BYTES = 12_000
_PICTURES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}
_TEXTS = (".json", ".txt", ".log")


def kept_file(folder: Path, link: str, name: str, budget: Budget) -> dict[str, Any]:
    """Return the file *name* of the record *folder*, with what of it fits on the page.

    *link* leads from the page to the record. ``picture`` is the address of a picture that needs
    no file, ``text`` the end of a text; both are empty where it is neither.
    """
    path = folder / name
    found = {"name": name, "link": link + quote(name), "picture": "", "text": ""}
    kind = _PICTURES.get(path.suffix)
    if kind and path.is_file() and path.stat().st_size <= PICTURE_BYTES:
        picture = f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
        if len(picture) <= budget.left:
            budget.left -= len(picture)
            found["picture"] = picture
    elif path.suffix in _TEXTS:
        found["text"] = budget.take(tail(path, _TEXT_BYTES), _TEXT_BYTES + 100, name)
    return found
