"""``yoctovirt pins``: one module a verb, imported when it is called."""

from __future__ import annotations

import click

from yoctovirt.cli.lazy import LazyGroup

#: Verb -> its line in ``--help``; ``pins NAME`` is in the module ``yoctovirt.cli.pins_NAME``.
PINS_VERBS = {
    "show": "List the releases and the commits that they pin.",
    "check": "Do the pinned layers fit together? Without bitbake, in a second.",
    "resolve": "Ask bitbake whether roles resolve on the pinned layers; keep the result.",
    "update": "Move pins along their branches, and say which commits that brings.",
    "export": "Write the pins of a release as a kas lock file.",
}


@click.group("pins", cls=LazyGroup, verbs=PINS_VERBS, prefix="yoctovirt.cli.pins_")
def command() -> None:
    """Work on the pinned layers of the releases (yoctovirt pins VERB --help)."""
