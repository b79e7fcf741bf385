"""Commands in a subshell of a shell that is there: a fork, where a new shell is executed, too."""

from __future__ import annotations

import re

#: A shell reads a pipe byte by byte: a long command is better its argument.
_LONGEST = 4000
#: ``&`` that is no ``&&`` and no redirection: what goes on behind a command would write into the
#: output of the next. ``$$`` and its like tell of the shell, which is one for all commands.
_OTHER = re.compile(
    r"(?<![&<>])&(?![&>])|\$\{?(?:\$|!|0|-|PPID|BASHPID|SHLVL|_\b)|\b(?:coproc|disown|nohup)\b|\0"
)


def needs_its_own(command: str) -> bool:
    """Whether *command* could tell a subshell from a shell that was started for it alone."""
    return len(command) > _LONGEST or _OTHER.search(command) is not None


def in_subshell(word: str) -> str:
    """Return the line that runs *word*, a command as one word, without input.

    Its errors are in its output, and its exit status is in ``$?``.
    """
    return f"( eval {word} ) </dev/null 2>&1"
