"""Near matches for a name that is not known."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint: the names of *known* that are near to *name*, or all of them."""
    names = sorted(known)
    folded: dict[str, list[str]] = {}
    for one in names:
        folded.setdefault(one.lower(), []).append(one)
    near = difflib.get_close_matches(name.lower(), folded, n=3, cutoff=0.55)
    if near:
        return f"did you mean {' or '.join(one for low in near for one in folded[low])}?"
    if names:
        return f"known: {', '.join(names)}"
    return "there is none yet"
