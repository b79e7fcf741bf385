"""Which suites and checks a call of ``smoke`` or ``ci`` chooses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import click

from yoctovirt.cli.common import Function
from yoctovirt.cli.complete import suite_list


def choice_options(function: Function) -> Function:
    """Add the options that choose suites and checks."""
    for option in (
        click.option("-k", "expression", default="", metavar="EXPR",
                     help="Checks that match (as pytest)."),
        click.option("--not", "without", metavar="C", default="", shell_complete=suite_list,
                     help="Leave these suites out."),
        click.option("--suite", "only", metavar="A,B", default="", shell_complete=suite_list,
                     help="Run only these suites."),
    ):  # fmt: skip
        function = option(function)
    return function


def suite_choice(only: str, without: str) -> dict[str, Any]:
    """Return what ``--suite`` and ``--not`` mean, as keywords of choose_suites."""
    return {
        "only": [name for name in only.split(",") if name],
        "without": [name for name in without.split(",") if name],
    }


def check_expression(expression: str) -> None:
    """Raise UsageError for a ``-k`` that pytest would refuse after hours of building."""
    if expression:
        from yoctovirt.smoke.runner import check_expression as check

        check(expression)


@dataclass(frozen=True)
class Checks:
    """Which checks to run, and how."""

    suites: dict[str, Any] = field(default_factory=dict)  #: keywords of choose_suites
    expression: str = ""
    jobs: int | None = None

    def keywords(self) -> dict[str, Any]:
        """Return the keywords of smoke_phase."""
        return {**self.suites, "expression": self.expression, "jobs": self.jobs}
