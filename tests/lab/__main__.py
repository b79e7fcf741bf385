"""``python -m tests.lab WORKSPACE``: the lab by hand, until Ctrl-C."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

from tests.lab.host import why_not
from tests.lab.lab import open_lab
from tests.lab.store import LabError
from yoctovirt.errors import YoctovirtError


def main(workspace: Path, names: list[str]) -> int:
    """Start the nodes *names* (default: all) and describe them in *workspace*."""
    reason = why_not()
    if reason:
        print(reason, file=sys.stderr)
        return 3
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with open_lab() as lab:
        names = names or lab.names
        lab.build(names)
        begun = time.monotonic()
        lab.start(names)
        lab.write_workspace(workspace, names)
        print(f"{', '.join(names)}: up after {time.monotonic() - begun:.0f} s; Ctrl-C ends it")
        try:
            signal.pause()
        except KeyboardInterrupt:
            return 130
    return 0


def guarded(workspace: Path, names: list[str]) -> int:
    """Call :func:`main`; tell errors in a line, as yoctovirt does."""
    try:
        return main(workspace, names)
    except KeyboardInterrupt:
        return 130
    except (LabError, YoctovirtError) as error:
        print(error, file=sys.stderr)
        return 3


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python -m tests.lab WORKSPACE [NODE...]")
    sys.exit(guarded(Path(sys.argv[1]).absolute(), sys.argv[2:]))
