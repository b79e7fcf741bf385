"""The sabotage table: for each smoke check how it is made to fail, and what it then says.

One file a suite, ``<suite>.yml``, a list of rows:

    - check: docker::daemon          # suite::check, with its parameters where it has some
      breaks: the daemon is stopped  # in the words of the table in docs/sabotage.md
      sabotage: systemctl stop ...   # run by sh on the node as root, must exit with 0
      repair: systemctl start ...    # the same; afterwards the check passes
      message: the daemon does not answer   # stands in the message of the check
      not_run: the CPU is emulated   # repaired it may also be not run, with a reason that has this
      role: reference                # the node (default: reference)
      nodes: 1                       # how many, joined by a network; the first one is broken
      beside: compute                # of the lab: further nodes that the check runs on
      where: compute                 # of the lab: the node that is broken (default: the role's)

``python -m tests.sabotage.table`` writes docs/sabotage.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from pathlib import Path

import yaml

from yoctovirt.base.files import write_atomically
from yoctovirt.smoke.catalog import all_suites

FOLDER = Path(__file__).parent
DOCS = FOLDER.parents[1] / "docs" / "sabotage.md"
#: What ``make test-sabotage`` wrote, of all rows.
SEEN = DOCS.with_name("sabotage-seen.md")

_HEAD = """\
# What makes each smoke check fail

A check that cannot fail proves nothing. For each check of the package there is at least one
sabotage of a good node that makes it fail, with a message that says what is wrong, and a repair
after which it passes. `make test-sabotage` does all of it for real, on a booted node; the rows are
in `tests/sabotage/<suite>.yml`, and `python -m tests.sabotage.table` makes this page of them.

All rows were seen both ways, on nodes of the roles `reference` and `reference-xen` and in the
OpenStack lab: [sabotage-seen.md](sabotage-seen.md) has what the checks said, and the times. The
checks themselves pass on the node of the role `reference`, those of xen on `reference-xen`, those
of OpenStack, its databases and its message bus in the OpenStack lab ([lab-seen.md](lab-seen.md)).
"""


@dataclass(frozen=True)
class Row:
    """One way to make one check fail."""

    check: str
    breaks: str
    sabotage: str
    repair: str
    message: str
    role: str = "reference"
    nodes: int = 1
    beside: str = ""
    where: str = ""
    not_run: str = ""

    @property
    def suite(self) -> str:
        return self.check.partition("::")[0]

    @property
    def identity(self) -> str:
        """The check without its parameters."""
        return self.check.partition("[")[0]


def read_rows() -> list[Row]:
    """Return all rows; ValueError with file and row for one that is not as it should be."""
    known = {field.name for field in fields(Row)}
    rows = []
    for path in sorted(FOLDER.glob("*.yml")):
        for number, entry in enumerate(yaml.safe_load(path.read_text(encoding="utf-8")), 1):
            where = f"{path.name}, row {number} ({entry.get('check')})"
            optional = {"role", "nodes", "beside", "where", "not_run"}
            wrong = set(entry) - known | known - optional - set(entry)
            if wrong:
                raise ValueError(f"{where}: unknown or missing: {', '.join(sorted(wrong))}")
            nodes = entry.pop("nodes", 1)
            if not isinstance(nodes, int) or nodes < 1:
                raise ValueError(f"{where}: nodes must be a number")
            if not all(isinstance(value, str) and value.strip() for value in entry.values()):
                raise ValueError(f"{where}: each other value must be a text")
            row = Row(**{key: value.strip() for key, value in entry.items()}, nodes=nodes)
            if row.suite != path.stem:
                raise ValueError(f"{where}: belongs to {row.suite}.yml")
            rows.append(row)
    return rows


def uncovered(rows: list[Row]) -> list[str]:
    """Return the checks of the package that no row makes fail."""
    covered = {row.identity for row in rows}
    checks = [check.id for suite in all_suites().values() for check in suite.checks]
    return [identity for identity in checks if identity not in covered]


def unseen(rows: list[Row], text: str) -> list[tuple[str, str]]:
    """Return check and sabotage of the rows that *text*, the tables of what was seen, lacks."""
    cells = [re.split(r"(?<!\\)\|", line)[1:3] for line in text.splitlines() if line[:1] == "|"]
    seen = {(check.strip(" `"), breaks.strip()) for check, breaks in cells}
    wanted = [(row.check, row.breaks.replace("|", "\\|")) for row in rows]
    return [row for row in wanted if row not in seen]


def docs_page(rows: list[Row]) -> str:
    """Return docs/sabotage.md."""
    text = _HEAD
    for suite in dict.fromkeys(row.suite for row in rows):
        text += f"\n## {suite}\n\n| check | sabotage | message |\n| --- | --- | --- |\n"
        for row in (row for row in rows if row.suite == suite):
            node = "" if row.role == "reference" else f" (role `{row.role}`)"
            node += f" (on node `{row.where}`)" if row.where else ""
            node += f" ({row.nodes} nodes)" if row.nodes > 1 else ""
            name = row.check.partition("::")[2]
            cells = (f"`{name}`", row.breaks + node, row.message)
            text += "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"
    return text


if __name__ == "__main__":
    write_atomically(DOCS, docs_page(read_rows()))
