"""Waiting until the init of a node has started what it was to start, and what of it failed."""

from __future__ import annotations

import codecs
import fnmatch
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from yoctovirt.base.screen import Screen, human_seconds
from yoctovirt.boot.results import CommandTimeoutError, NodeUnreachableError
from yoctovirt.errors import BootError

if TYPE_CHECKING:
    from yoctovirt.boot.node import Node

#: Seconds, before scaling, from SSH to an init that has settled: first boots that initialise
#: databases take minutes.
SETTLE_SECONDS = 300.0
#: Seconds until it is told for what is waited, and between two such lines in a log.
_PATIENCE, _PERIOD = 8.0, 20.0
#: What is told of a turn at most.
_NAMED = 6
#: systemd: the state that ``--wait`` (systemd 240) waits for; older ones are asked again and
#: again. Meanwhile the jobs that run. Any other init: the scripts that the rc script of sysvinit
#: and BusyBox has not come behind; their names are arguments of the shells that run them.
#: Nothing that stays in the background may hold our output open.
_SCRIPT = r"""
if [ -d /run/systemd/system ]; then
    echo "yv-init systemd"
    jobs() {
        systemctl list-jobs --plain --no-legend 2>/dev/null |
            sed -n 's/^ *[0-9][0-9]* *\([^ ]*\) .* running *$/yv-job \1/p'
        echo yv-turn
    }
    (while sleep 8 >/dev/null 2>&1; do jobs; done) &
    ticker=$!
    while :; do
        state=$(systemctl is-system-running --wait 2>/dev/null)
        [ -n "$state" ] || state=$(systemctl is-system-running 2>/dev/null)
        case $state in initializing | starting) sleep 2 ;; *) break ;; esac
    done
    kill $ticker
    systemctl list-units --state=failed --plain --no-legend --full |
        sed -n 's/^ *\([^ ][^ ]*\).*/yv-failed \1/p'
else
    read -r init </proc/1/comm
    echo "yv-init $init"
    scripts() {
        cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\000' '\n' |
            grep -xE '/etc/(init\.d/rcS?|rcS|rc[S0-9]\.d/S[0-9]+.*)'
    }
    turns=0
    while left=$(scripts); do
        case $turns in *[05]) echo "$left" | sed 's/^/yv-job /'; echo yv-turn ;; esac
        turns=$((turns + 1))
        sleep 1
    done
    state=running
fi
echo "yv-state $state"
"""


@dataclass
class Progress:
    """What the script on the node has told so far."""

    init: str = ""  #: ``systemd``, or the name of process 1
    state: str = ""  #: systemd's own word; ``running`` for others; empty until it has settled
    failed: list[str] = field(default_factory=list)
    running: list[str] = field(default_factory=list)  #: jobs of the last turn

    def __post_init__(self) -> None:
        """Set up what is no field."""
        self._text = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""
        self._turn: list[str] = []

    def feed(self, data: bytes) -> None:
        """Take what came next."""
        *lines, self._rest = (self._rest + self._text.decode(data)).split("\n")
        for line in lines:
            word, _, value = line.strip().partition(" ")
            if word == "yv-init":
                self.init = value
            elif word == "yv-state":
                self.state = value
            elif word == "yv-failed":
                self.failed.append(value)
            elif word == "yv-job" and value not in self._turn:
                self._turn.append(value)
            elif word == "yv-turn":
                self.running, self._turn = self._turn, []

    def busy(self) -> str:
        """Return what is still under way, in words."""
        if not self.running:
            return "no job of it runs that could be named"
        more = len(self.running) - _NAMED
        return ", ".join(self.running[:_NAMED]) + (f" and {more} more" if more > 0 else "")


class Teller:
    """Tells for what is waited, once it takes long: live on a terminal, now and then in a log."""

    def __init__(self, screen: Screen, clock: float) -> None:
        self._screen, self._start = screen, clock
        self._told, self._next = "", _PATIENCE

    def tell(self, progress: Progress, now: float) -> None:
        """Look at *progress* at the time *now* (seconds of the same clock)."""
        age = now - self._start
        if not progress.running or age < _PATIENCE:
            return
        busy = progress.busy()
        self._screen.status(f"init still starts: {busy}")
        if not self._screen.live and age >= self._next and (busy != self._told or age >= 60):
            self._screen.note(f"init still starts after {human_seconds(age)}: {busy}")
            self._told, self._next = busy, age + _PERIOD


def settle(node: Node, screen: Screen, limit: float | None = None) -> None:
    """Wait until the init of *node* has settled, and note in its state how.

    *limit* is in seconds, not scaled; by default :data:`SETTLE_SECONDS`, scaled. What failed
    is told as a warning: the smoke suite base judges it. Raises BootError with what still
    runs where the limit is over, NodeUnreachableError where the node is gone.
    """
    scale = node.state.timeout_scale
    seconds = limit or SETTLE_SECONDS * scale
    progress = Progress()
    teller = Teller(screen, time.monotonic())

    def follow(data: bytes) -> None:
        progress.feed(data)
        teller.tell(progress, time.monotonic())

    try:
        node.ssh.run(_SCRIPT, seconds / scale, follow)
    except CommandTimeoutError as error:
        said = f"\n{error.said}" if error.said else ""
        times = "" if limit or scale == 1 else f" ({SETTLE_SECONDS:.0f} s, times {scale:g})"
        raise BootError(
            f"init ({progress.init or 'it did not tell which'}) of node {node.name} has not "
            f"settled within {seconds:.0f} s{times} after SSH: {progress.busy()}{said}",
            "--settle-timeout gives it longer; --no-settle does not wait for it",
        ) from error
    except NodeUnreachableError as error:
        error.message = error.message.replace(_SCRIPT, "(init was waited for)")
        error.args = (error.message,)
        raise
    if not progress.state:
        raise BootError(
            f"the init of node {node.name} cannot be asked whether it has settled: "
            f"{progress.init or 'nothing was told'}",
            "--no-settle does not ask",
        )
    node.state.settled = {
        "init": progress.init,
        "state": progress.state,
        "failed_units": progress.failed,
    }
    node.save()
    screen.status("")
    warning = complaint(node)
    if warning:
        screen.note(f"warning: {warning}")


def complaint(node: Node) -> str:
    """Return what a user should know of how the init of *node* has settled; '' if all is well."""
    allowed = node.state.allowed_failed_units
    failed: list[str] = node.state.settled.get("failed_units", [])
    bad = [unit for unit in failed if not any(fnmatch.fnmatch(unit, one) for one in allowed)]
    if bad:
        more = f" and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
        return f"failed units of {node.name}: {', '.join(bad[:_NAMED])}{more}"
    state = node.state.settled.get("state", "running")
    if state not in ("running", "degraded"):
        return f"systemd of {node.name} says {state!r}"
    return ""
