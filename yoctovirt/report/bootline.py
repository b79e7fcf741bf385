"""How the nodes of a run came up, on one time line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

#: What is seen of a boot (a key of ``timings``) -> what lies before it, in words.
STEPS = {
    "loaded": "QEMU, and the kept state",
    "firmware": "QEMU",
    "kernel": "firmware, boot loader",
    "init": "kernel",
    "login": "init, services",
    "ssh": "network, sshd",
    "settled": "the rest of init",
}
_TICKS = 4


def boot_view(nodes: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Return what the page draws of *nodes*, None where no time of a boot is known.

    Of each node: ``name`` and ``steps`` with ``name``, ``words``, ``at`` and ``seconds`` (since
    the start of QEMU, since the step before), ``left`` and ``width`` in percent of the longest.
    """
    rows = [(node["name"], _steps(node["timings"])) for node in nodes]
    longest = max((steps[-1]["at"] for _, steps in rows if steps), default=0.0)
    if not longest:
        return None
    for _, steps in rows:
        for step in steps:
            step["left"] = round(100 * (step["at"] - step["seconds"]) / longest, 3)
            step["width"] = round(100 * step["seconds"] / longest, 3)
    return {
        "nodes": [{"name": name, "steps": steps} for name, steps in rows if steps],
        "kinds": [(key, words) for key, words in STEPS.items()
                  if any(step["name"] == key for _, steps in rows for step in steps)],
        "ticks": [longest * i / _TICKS for i in range(_TICKS + 1)],
    }  # fmt: skip


def _steps(timings: dict[str, float]) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = []
    before = 0.0
    known = ((name, at) for name, at in timings.items() if name in STEPS)
    for name, at in sorted(known, key=lambda item: item[1]):
        steps.append({"name": name, "words": STEPS[name], "at": at, "seconds": at - before})
        before = at
    return steps
