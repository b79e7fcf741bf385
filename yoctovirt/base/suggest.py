"""Near matches for a name that is not known."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint: the names of *known* that are near to *name*, or all of them."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.55)
    if near:
        return f"did you mean {' or '.join(near)}?"
    if names:
        return f"known: {', '.join(names)}"
    return "there is none yet"
