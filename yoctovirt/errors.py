"""Failure classes and the one table that maps them to exit codes.

A part of yoctovirt never calls ``sys.exit``: it raises one of these, and the
command line turns it into two lines (what happened to what, and what to do
next) and an exit code.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

EXIT_OK = 0
EXIT_CHECKS_FAILED = 1
EXIT_USAGE = 2
EXIT_INFRASTRUCTURE = 3
EXIT_BUILD = 4
EXIT_BOOT = 5
EXIT_BUG = 70
EXIT_INTERRUPTED = 130

#: Which of several exit codes a run with several roles ends with: the first
#: of these that occurs. An interrupt and a bug say that the rest is unknown;
#: after them the earliest failing phase decides.
EXIT_PRECEDENCE = (
    EXIT_INTERRUPTED,
    EXIT_BUG,
    EXIT_USAGE,
    EXIT_INFRASTRUCTURE,
    EXIT_BUILD,
    EXIT_BOOT,
    EXIT_CHECKS_FAILED,
    EXIT_OK,
)


class YoctovirtError(Exception):
    """A failure that the user can act on.

    ``message`` says what happened and to what; ``hint`` says what to do next; ``details``
    has the same for machines, where there is more to say (run.json keeps it).
    """

    exit_code = EXIT_BUG

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details: dict[str, Any] = {}


class UsageError(YoctovirtError):
    """The call or a file that the user wrote is wrong; nothing was done."""

    exit_code = EXIT_USAGE


class InfrastructureError(YoctovirtError):
    """The host, the network or a mirror cannot do what is needed.

    *passing*: it may be over when one tries again (a server that does not answer). A full disk
    or a missing program is not.
    """

    exit_code = EXIT_INFRASTRUCTURE

    def __init__(self, message: str, hint: str = "", *, passing: bool = False) -> None:
        super().__init__(message, hint)
        self.passing = passing


class BuildError(YoctovirtError):
    """An image could not be built, or what was built is not usable."""

    exit_code = EXIT_BUILD


class BootError(YoctovirtError):
    """A node did not start, did not become ready, or went away."""

    exit_code = EXIT_BOOT


class ChecksFailedError(YoctovirtError):
    """The node is up, and at least one check of it failed."""

    exit_code = EXIT_CHECKS_FAILED


class InterruptedRunError(YoctovirtError):
    """Somebody asked for the end (Ctrl-C, SIGTERM)."""

    exit_code = EXIT_INTERRUPTED


def combined_exit_code(codes: Iterable[int]) -> int:
    """Return the exit code of a run whose parts ended with *codes*.

    The earliest failing phase decides (see :data:`EXIT_PRECEDENCE`); a code
    outside of the table counts as a bug.
    """
    seen = {code if code in EXIT_PRECEDENCE else EXIT_BUG for code in codes}
    for code in EXIT_PRECEDENCE:
        if code in seen:
            return code
    return EXIT_OK
