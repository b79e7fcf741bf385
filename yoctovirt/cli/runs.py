"""``yoctovirt runs``: one module a verb, imported when it is called."""

from __future__ import annotations

import click

from yoctovirt.cli.lazy import LazyGroup

#: Verb -> its line in ``--help``; ``runs NAME`` is in the module ``yoctovirt.cli.runs_NAME``.
RUNS_VERBS = {
    "list": "List the runs of the workspace, newest last.",
    "show": "Say what came of a run, and what is wrong.",
    "compare": "Say what changed from one run to another.",
    "open": "Open the report of a run in the browser.",
    "report": "Draw one page of several runs, or one anew.",
    "prune": "Remove old run records.",
}


@click.group("runs", cls=LazyGroup, verbs=RUNS_VERBS, prefix="yoctovirt.cli.runs_")
def command() -> None:
    """Work on the run records of the workspace (yoctovirt runs VERB --help).

    A RUN is the id of a record, the begin of one, or the path of its folder.
    """
