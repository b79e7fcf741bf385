"""Whether a daemon runs: that there is a process of its name says little of one that is stopped."""

from __future__ import annotations

from yoctovirt.smoke.checked import SmokeNode

#: The state is the first letter behind the name in brackets (proc(5)): T and t are processes that
#: were stopped, by SIGSTOP or a debugger; those that have ended, Z and X, count as none.
_SCRIPT = """
still=
for pid in $(pidof {names}); do
    case $(sed 's/^.*) \\(.\\) .*/\\1/' /proc/$pid/stat 2>/dev/null) in
    T|t) still="$still $pid" ;;
    Z|X|'') ;;
    *) exit 0 ;;
    esac
done
[ -z "$still" ] || echo "process$still stands still: it was stopped (SIGSTOP, a debugger)"
exit 1
"""


def why_none_runs(node: SmokeNode, *names: str) -> str:
    """Return '' where a daemon of one of *names* runs, else a word that says what is wrong."""
    seen = node.run(_SCRIPT.format(names=" ".join(names)))
    return "" if seen.ok else seen.output.strip() or "there is no such process"
