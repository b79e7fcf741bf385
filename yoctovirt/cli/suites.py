"""Options of the verbs that run smoke suites."""

from __future__ import annotations

import os
from pathlib import Path

import click


def _add_suites(_ctx: click.Context, _option: click.Parameter, value: tuple[str, ...]) -> None:
    """Have the folders looked into by all that this call does, in us and in what we start."""
    if value:
        before = os.environ.get("YOCTOVIRT_SUITES", "")
        folders = [*map(os.path.abspath, value), *([before] if before else [])]
        os.environ["YOCTOVIRT_SUITES"] = os.pathsep.join(folders)


def _choose_tempest(_ctx: click.Context, _option: click.Parameter, value: str | None) -> None:
    """Have the suite tempest run another list than its own, in the pytest that we start."""
    if value is not None:
        from yoctovirt.smoke.tempestlist import VARIABLE, chosen_tests

        os.environ[VARIABLE] = said = value if value == "smoke" else str(Path(value).absolute())
        chosen_tests((), {VARIABLE: said})  # refuses what is no list, before anything begins


#: For verbs that run smoke suites. Options without values of their own, as --offline.
suites_option = click.option(
    "--suites",
    multiple=True,
    metavar="DIR",
    expose_value=False,
    callback=_add_suites,
    help="A folder with suites of yours, test_<suite>.py; may be given several times.",
)
jobs_option = click.option(
    "-j",
    "--jobs",
    type=click.IntRange(1, 32),
    metavar="N",
    help="How many modules of checks run side by side (default: by the node's CPUs; 1: none).",
)
tempest_option = click.option(
    "--tempest",
    metavar="smoke|FILE",
    expose_value=False,
    callback=_choose_tempest,
    help="What the suite tempest runs: tempest's own smoke tests, or those named in FILE.",
)
