"""Each row of the table on a real node: broken, seen, repaired, whole again."""

from __future__ import annotations

import pytest

from tests.sabotage.bench import Bench
from tests.sabotage.table import Row, read_rows

pytestmark = [pytest.mark.node, pytest.mark.timeout(1800)]

#: One role's rows stand together: each change of the role is a boot.
ROWS = sorted(read_rows(), key=lambda row: (row.role != "reference", row.role, row.nodes))

#: A message that begins so tells a programmer where our check broke, not a user what to do.
TRACES = ("IndexError", "KeyError", "ValueError", "TypeError", "AttributeError", "StopIteration")


def _names() -> list[str]:
    """Name each row by its check, further rows of one check by a number."""
    counts: dict[str, int] = {}
    names = []
    for row in ROWS:
        counts[row.check] = counts.get(row.check, 0) + 1
        names.append(row.check + (f" {counts[row.check]}" if counts[row.check] > 1 else ""))
    return names


@pytest.mark.parametrize("row", ROWS, ids=_names())
def test_broken_and_whole(bench: Bench, row: Row) -> None:
    bench.use(row.role, row.nodes)
    try:
        try:
            bench.on_node(row.sabotage, "sabotage", row.where)
            broken = bench.check(row)
        finally:
            bench.on_node(row.repair, "repair", row.where)
        bench.note(row, broken, None)
        assert broken["outcome"] in ("failed", "error"), f"sabotaged, and it {broken['outcome']}"
        assert broken["status"] == 1
        assert row.message in broken["message"]
        assert not broken["message"].startswith(TRACES), broken["message"]
        whole = bench.check(row)
        bench.seen.pop()
        bench.note(row, broken, whole)
        if row.not_run and whole["outcome"] == "not run":
            assert row.not_run in whole["message"]
            return
        assert (whole["outcome"], whole["status"]) == ("passed", 0), whole["message"]
    except BaseException:
        bench.discard()
        raise
