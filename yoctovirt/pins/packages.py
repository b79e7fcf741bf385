"""Pins of an image that is made of packages: their versions, and one hash over all."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any


def package_pins(packages: Sequence[tuple[str, str, str]]) -> dict[str, Any]:
    """Return the versions of *packages* (name, architecture, version) and their hash.

    Two images with one hash hold the same packages.
    """
    rows = sorted(f"{name} {architecture} {version}" for name, architecture, version in packages)
    digest = hashlib.sha256("\n".join(rows).encode()).hexdigest()
    return {
        "kind": "packages",
        "sha256": digest,
        "packages": {name: version for name, _, version in sorted(packages)},
    }
