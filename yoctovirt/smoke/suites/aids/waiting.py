"""Lines for the shell of a node: to wait there, to end a program, to open a device."""

from __future__ import annotations

from yoctovirt.boot.results import CommandResult
from yoctovirt.smoke.checked import SmokeNode

#: BusyBox knows fractions of a second only where it was built so.
_NAP = "sleep 0.2 2>/dev/null || sleep 1"

#: Opens the device ``{0}``; where there is none it makes no file of that name, as ``<>`` would.
OPEN = "{{ [ -c {0} ] || {{ echo 'no device {0}'; false; }}; }} && (: <>{0}) 2>&1"


def until(node: SmokeNode, condition: str, seconds: int) -> CommandResult:
    """Run the shell command *condition* on the node until it succeeds, at most *seconds* long.

    The result is that of its last run. *seconds* are the node's and not scaled: give what an
    emulated node needs.
    """
    return node.run(
        f"end=$(($(date +%s) + {seconds}))\n"
        f"while :; do\n"
        f"  said=$({condition}\n) && status=0 || status=$?\n"
        f'  if [ $status = 0 ] || [ "$(date +%s)" -ge $end ]; then break; fi\n'
        f"  {_NAP}\n"
        f"done\n"
        f'[ -z "$said" ] || printf "%s\\n" "$said"\n'
        f"exit $status",
        timeout=seconds + 30,
    )


def bounded(node: SmokeNode, argv: str, seconds: int, stdin: str = "") -> CommandResult:
    """Run a program on the node that is killed after *seconds*; its status is then 137.

    *argv* is a line for the shell, of one program; *stdin* (printable) is given to it. For
    nodes whose BusyBox has no ``timeout``. *seconds* are the node's and not scaled.
    """
    script = f"""
work=$(mktemp -d)
printf %s '{stdin}' >$work/in
( sh -c 'echo $$ >"$0"; exec "$@"' $work/pid {argv} <$work/in >$work/out 2>&1
  echo $? >$work/status ) &
end=$(($(date +%s) + {seconds}))
while [ ! -s $work/status ] && [ "$(date +%s)" -lt $end ]; do {_NAP}; done
[ -s $work/status ] || kill -9 $(cat $work/pid)
wait
cat $work/out
status=$(cat $work/status)
rm -rf $work
exit $status
"""
    return node.run(script, timeout=seconds + 30)
