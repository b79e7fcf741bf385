"""Whether a daemon runs: that there is a process of its name says little of one that is stopped."""

from __future__ import annotations

from yoctovirt.smoke.checked import SmokeNode

#: The state is the first letter behind the name in brackets (proc(5)): T and t are processes that
#: were stopped, by SIGSTOP or a debugger; those that have ended, Z and X, count as none.
_SCRIPT = """
still=
for pid in $({find}); do
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
    return _why_none(node, f"pidof {' '.join(names)}")


def why_no_process(node: SmokeNode, word: str) -> str:
    """Like :func:`why_none_runs`, for processes with *word* in their command line.

    That is how those are found that are called by the name of their interpreter.
    """
    # The first letter in brackets, so that the shell that looks is not found.
    return _why_none(node, f"pgrep -f '[{word[0]}]{word[1:]}'")


def _why_none(node: SmokeNode, find: str) -> str:
    seen = node.run(_SCRIPT.format(find=find))
    return "" if seen.ok else seen.output.strip() or "there is no such process"
