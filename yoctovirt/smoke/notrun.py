"""A check that a node cannot be put to: listed as not run with the reason, never as passed."""

from __future__ import annotations

from typing import NoReturn


class NotRunError(Exception):
    """The node cannot be put to the check; its text is the reason."""


def not_run(reason: str) -> NoReturn:
    """End the check: *reason* says what keeps this node from being put to it.

    For what cannot be there, such as a CPU that can do it or the units of an init without units.
    What a role promises and the image lacks is a failure.
    """
    raise NotRunError(reason)
