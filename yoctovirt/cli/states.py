"""What is known of the cells of the matrix, on the screen and for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from yoctovirt.config.cells import Cell
    from yoctovirt.config.resolved import State


def state_as_json(cell: Cell, state: State) -> dict[str, Any]:
    """Return what is known of a cell, for programs."""
    return {
        "role": cell.role, "features": list(cell.features), "release": cell.release,
        "machine": cell.machine, "state": state.kind, "reason": state.reason,
        "result": state.entry,
    }  # fmt: skip


def result_line(cell: Cell, state: State) -> str:
    """Return what is known of a cell as one line."""
    head = f"{cell.key:40} {state.kind:11}"
    entry = state.entry or {}
    figures = entry.get("figures", {})
    if state.kind == "ok" and "recipes" in figures:
        return (
            f"{head} {figures['recipes']} recipes, {figures['tasks']} tasks, "
            f"{figures['edges']} edges ({entry['date'][:10]})"
        )
    return f"{head} {state.reason}".rstrip()
