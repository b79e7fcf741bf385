"""What the node says of a subsystem whose check has failed: journal, kernel log, configuration."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterable
from pathlib import Path

from yoctovirt.boot.node import Node
from yoctovirt.boot.results import CommandTimeoutError
from yoctovirt.errors import YoctovirtError
from yoctovirt.smoke.attached import file_name
from yoctovirt.smoke.suitefile import Suite

FOLDER = "evidence"
#: Seconds for all of it, before the accelerator's factor.
_TIMEOUT = 30.0
#: Seconds for one command that a suite names, before the factor: one that hangs leaves time for
#: the others.
_COMMAND = 5.0
#: Checks of one suite that fail within so many seconds share one file.
_FRESH = 10.0

_SCRIPT = """
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
section() { printf '\\n===== %s\\n' "$*"; }
bounded() {
    if command -v timeout >/dev/null; then timeout @SECONDS@ sh -c "$1"; else sh -c "$1"; fi
    [ $? -ne 124 ] || echo "[ended after @SECONDS@ s]"
}
if [ -d /run/systemd/system ]; then
    for unit in @UNITS@; do
        section "unit $unit"
        systemctl status --no-pager -n 0 "$unit"
        journalctl --no-pager -b -n 150 -u "$unit"
    done
    section 'failed units'
    systemctl list-units --state=failed --no-legend --plain --no-pager
else
    for log in /var/log/messages /var/log/syslog; do
        [ -f "$log" ] && { section "$log"; tail -n 150 "$log"; }
    done
fi
section dmesg
dmesg | tail -n 80
section memory, disk, processes
free; df -P; ps
@COMMANDS@
true
"""


def evidence_script(suite: Suite | None, scale: float = 1.0) -> str:
    """Return the script that prints what is to be kept; *scale* is the accelerator's factor."""
    units = " ".join(map(shlex.quote, suite.units)) if suite else ""
    more = suite.diagnostics if suite else ()
    quoted = [shlex.quote(line) for line in more]
    commands = "\n".join(f"section {line}\nbounded {line}" for line in quoted)
    script = _SCRIPT.replace("@UNITS@", units).replace("@COMMANDS@", commands)
    return script.replace("@SECONDS@", str(max(1, round(_COMMAND * scale))))


class Evidence:
    """Files in the run record, one a failed check."""

    def __init__(self, results: Path | None) -> None:
        self._results = results
        self._last: dict[str, tuple[float, str]] = {}

    def fetch(self, nodes: Iterable[Node], suite: Suite | None, check: str) -> str | None:
        """Ask *nodes* and return the file, relative to the run record; None without a record."""
        if self._results is None:
            return None
        key = suite.name if suite else ""
        when, name = self._last.get(key, (0.0, ""))
        if name and time.monotonic() - when < _FRESH:
            return name
        name = f"{FOLDER}/{file_name(check)}.log"
        text = ""
        for node in nodes:
            script = evidence_script(suite, node.state.timeout_scale)
            text += f"########## {node.name}\n{_ask(node, script)}\n"
        path = self._results / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
        self._last[key] = (time.monotonic(), name)
        return name


def _ask(node: Node, script: str) -> str:
    try:
        return node.run(script, _TIMEOUT).output
    except CommandTimeoutError as error:
        return f"{error.transcript}\n[cut short: {error.message.splitlines()[0]}]"
    except YoctovirtError as error:
        return f"[could not be fetched: {error.message}]"
