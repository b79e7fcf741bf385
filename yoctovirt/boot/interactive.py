"""The terminal of the user on the serial console of a node."""

from __future__ import annotations

import os
import select
import sys
import termios
import tty

from pexpect.exceptions import EOF, TIMEOUT

from yoctovirt.boot.console import Console
from yoctovirt.boot.logs import NodeLog, pieces, tail_offset

#: Ctrl-], as in telnet and ``virsh console``.
ESCAPE = b"\x1d"


def attach(console: Console, name: str) -> None:
    """Connect standard input and output with *console* until Ctrl-] or the end of either.

    Where standard input is no terminal its lines are passed on, and its end ends the session.
    """
    source = sys.stdin.fileno()
    terminal = sys.stdin.isatty()
    saved = termios.tcgetattr(source) if terminal else None
    sys.stderr.write(f"console of {name}; leave it with Ctrl-]\n")
    sys.stderr.flush()
    try:
        if terminal:
            tty.setraw(source)
        _pump(console, source)
    finally:
        if saved is not None:
            termios.tcsetattr(source, termios.TCSADRAIN, saved)
        sys.stderr.write("\n")


def _pump(console: Console, source: int) -> None:
    while True:
        try:
            text = console.read_nonblocking(65536, timeout=0.02)
            os.write(sys.stdout.fileno(), text.encode())
        except TIMEOUT:
            pass
        except EOF:
            return
        if select.select([source], [], [], 0)[0]:
            typed = os.read(source, 4096)
            if not typed or ESCAPE in typed:
                return
            console.send(typed.decode(errors="replace"))


def look_on(log: NodeLog, title: str) -> None:
    """Show what comes on a console that somebody else uses, until Ctrl-] or the node's end."""
    source = sys.stdin.fileno()
    saved = termios.tcgetattr(source) if sys.stdin.isatty() else None
    sys.stderr.write(f"{title}; leave it with Ctrl-]\n")
    sys.stderr.flush()
    try:
        if saved is not None:
            tty.setraw(source)
        for data in pieces(log, tail_offset(log.path, 10), True, lambda: _leaves(source, saved)):
            os.write(sys.stdout.fileno(), data)
    finally:
        if saved is not None:
            termios.tcsetattr(source, termios.TCSADRAIN, saved)
        sys.stderr.write("\n")


def _leaves(source: int, saved: object) -> bool:
    """Whether Ctrl-] was pressed; other keys go nowhere."""
    if saved is None or not select.select([source], [], [], 0)[0]:
        return False
    typed = os.read(source, 4096)
    return not typed or ESCAPE in typed
