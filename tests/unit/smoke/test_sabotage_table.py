"""The sabotage table names every check, and the docs say what the table says."""

from __future__ import annotations

from tests.sabotage.table import DOCS, SEEN, docs_page, read_rows, uncovered, unseen
from yoctovirt.smoke.catalog import all_suites


def test_every_check_is_sabotaged() -> None:
    assert uncovered(read_rows()) == []


def test_rows_name_checks_that_exist() -> None:
    known = {check.id for suite in all_suites().values() for check in suite.checks}
    assert {row.identity for row in read_rows()} - known == set()


def test_docs_say_what_the_table_says() -> None:
    text = DOCS.read_text(encoding="utf-8")
    assert text == docs_page(read_rows()), "run 'python -m tests.sabotage.table'"


def test_every_row_was_seen() -> None:
    rows, text = read_rows(), SEEN.read_text(encoding="utf-8")
    assert unseen(rows, text) == [], "run it, and take what it says into docs/sabotage-seen.md"
    (line,) = (line for line in text.splitlines() if line.startswith("| `docker::exec` |"))
    assert unseen(rows, text.replace(line + "\n", "")) == [("docker::exec", line.split(" | ")[1])]


def test_every_check_has_a_title() -> None:
    checks = [check for suite in all_suites().values() for check in suite.checks]
    assert len(checks) > 15
    assert [check.id for check in checks if not check.title.endswith((".", "?"))] == []
