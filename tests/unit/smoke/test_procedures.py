"""docs/procedures.md names checks: each of them is there."""

from __future__ import annotations

import re
from pathlib import Path

from yoctovirt.smoke.catalog import all_suites

PAGE = Path(__file__).parents[3] / "docs" / "procedures.md"


def test_the_checks_it_names_exist() -> None:
    suites = all_suites()
    known = {check.id for suite in suites.values() for check in suite.checks}
    known |= {f"{name}::*" for name in suites}
    named = set(re.findall(r"\b[a-z-]+::(?:[a-z_]+|\*)", PAGE.read_text(encoding="utf-8")))
    assert len(named) > 30
    assert named - known == set()
