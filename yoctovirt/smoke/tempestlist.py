"""Which of OpenStack's own tests the suite ``tempest`` runs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from yoctovirt.errors import UsageError

#: Says it to the pytest that runs the suites: ``smoke``, or the path of a list.
VARIABLE = "YOCTOVIRT_TEMPEST"
#: Those that tempest itself marks as smoke tests: ``tempest run --smoke --list-tests``.
SMOKE = Path(__file__).with_name("tempest-smoke.txt")
#: Most names begin so: the names of the checks leave it out.
COMMON = "tempest.api."


def chosen_tests(
    default: Sequence[str], environ: Mapping[str, str] = os.environ
) -> tuple[str, ...]:
    """Return the tests that :data:`VARIABLE` asks for, or *default*, without :data:`COMMON`.

    Raises UsageError where that is no list.
    """
    said = environ.get(VARIABLE)
    return read_list(SMOKE if said == "smoke" else Path(said)) if said else tuple(default)


def read_list(path: Path) -> tuple[str, ...]:
    """Return the names in *path*: one in a line, each once; ``#`` begins a remark.

    What stands behind a name in brackets or parentheses, as in the lists that tempest and stestr
    write, does not count. Raises UsageError where it cannot be read, has a line that is no name
    of a test, or none at all.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path} is no list of tests: {error}", "name a file, or 'smoke' for tempest's own list"
        ) from error
    found: dict[str, None] = {}
    for number, line in enumerate(lines, 1):
        name = line.partition("#")[0].strip()
        if not name:
            continue
        name = name.partition("[")[0].partition("(")[0]
        if name.count(".") < 2 or not all(part.isidentifier() for part in name.split(".")):
            raise UsageError(
                f"{path}:{number}: {line.strip()!r} is no name of a test",
                "one in a line: tempest.api.network.test_ports.PortsTestJSON.test_show_port",
            )
        found[name.removeprefix(COMMON)] = None
    if not found:
        raise UsageError(f"{path} names no test", "one in a line")
    return tuple(found)


def full_name(name: str) -> str:
    """Return the name by which tempest knows the test *name* of a check."""
    # Plugins of tempest are packages of that word: heat_tempest_plugin.
    return name if "tempest" in name.partition(".")[0] else COMMON + name
