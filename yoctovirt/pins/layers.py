"""Pins of an image that bitbake made: the commits of its layers' repositories."""

from __future__ import annotations

import re
from typing import Any


def layer_pins(config: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Return URL and commit of each repository in a flattened kas configuration, by name."""
    return {
        name: {"url": _without_password(entry["url"]), "commit": entry.get("commit", "")}
        for name, entry in config.get("repos", {}).items()
        if entry and entry.get("url")
    }


def _without_password(url: str) -> str:
    """Return *url* without what may stand before its host: records are shown around."""
    return re.sub(r"(://)[^/@]*@", r"\1", url)
