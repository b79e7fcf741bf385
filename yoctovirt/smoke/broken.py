"""Nodes that go away or restart under the checks: from when on that counts, and who noticed it."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from yoctovirt.base.files import write_atomically
from yoctovirt.boot.node import Node
from yoctovirt.boot.reboot import listening
from yoctovirt.boot.restarts import BOOT_ID, Since
from yoctovirt.errors import BootError

#: In the run record while the checks run: what they count restarts from; nodes that broke.
STARTED_FILE, BROKEN_FILE = ".nodes-started.json", "broken.jsonl"


@contextmanager
def restarts_counted(nodes: Sequence[Node], results: Path) -> Iterator[None]:
    """Have each restart of *nodes* noticed that comes while the block runs."""
    with ExitStack() as stack:
        started = {}
        for node in nodes:
            stack.enter_context(listening(node))
            # A connection of its own would cost more than it tells.
            boot_id = node.run(BOOT_ID).output.strip() if node.connected else ""
            started[node.name] = asdict(node.restarts.now(boot_id))
        path = results / STARTED_FILE
        write_atomically(path, json.dumps(started))
        stack.callback(path.unlink, missing_ok=True)
        yield


def read_started(results: Path | None) -> dict[str, Since]:
    """Return from when on restarts of the nodes count, by name; what is not there is missing."""
    if results is None:
        return {}
    try:
        values: dict[str, Any] = json.loads((results / STARTED_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {name: Since(**value) for name, value in values.items()}


def note_broken(results: Path, node: str, reason: str) -> None:
    """Note that *node* (may be unknown: empty) broke; several processes may do so at once."""
    with (results / BROKEN_FILE).open("a", encoding="utf-8") as out:
        fcntl.flock(out, fcntl.LOCK_EX)
        out.write(json.dumps({"node": node, "reason": reason}) + "\n")


def judge_nodes(results: Path, verdicts: list[dict[str, Any]]) -> None:
    """Raise BootError where a node broke: what follows says nothing of its software."""
    try:
        lines = (results / BROKEN_FILE).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return
    first = json.loads(lines[0])
    not_run = [one for one in verdicts if one["message"].startswith("not run: ")]
    good = sum(one["outcome"] in ("passed", "flaky") for one in verdicts)
    what = f"node {first['node']}" if first["node"] else "a node"
    error = BootError(
        f"{what} broke under the checks: {first['reason'].splitlines()[0]}\n"
        f"{good} of {len(verdicts)} checks had passed, {len(not_run)} were "
        "not run",
        "console-<node>.log of the run that booted it has its last words; a check that restarts "
        "its node says so: with node.expect_reboot()",
    )
    error.details["broken"] = first
    raise error
