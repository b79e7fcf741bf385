"""What a check has made on a node goes when the check is over, however it ended."""

from __future__ import annotations

from typing import Protocol

import pytest

from yoctovirt.boot.results import CommandResult, NodeUnreachableError
from yoctovirt.errors import YoctovirtError


class _Runs(Protocol):
    @property
    def name(self) -> str: ...

    def run(self, command: str, timeout: float = ..., via: str = ...) -> CommandResult: ...


class Undo:
    """Commands that undo what a check does, run in reverse order when it is over.

    Register a command before the step that it undoes: a step that fails half way is
    undone, too. It must therefore exit with 0 where there is nothing to undo.
    """

    def __init__(self, node: _Runs) -> None:
        self._node = node
        self._steps: list[tuple[_Runs, str, float]] = []

    def __call__(self, command: str, timeout: float = 60.0, node: _Runs | None = None) -> None:
        """Run *command* on *node* (the check's) at the end; *timeout* as for ``node.run``."""
        self._steps.append((node or self._node, command, timeout))

    def now(self) -> None:
        """Undo all now. Fails the check with every command that did not exit with 0."""
        failed = []
        while self._steps:
            node, command, timeout = self._steps.pop()
            try:
                result = node.run(command, timeout)
            except NodeUnreachableError:
                raise
            except (YoctovirtError, AssertionError) as error:
                failed.append(f"on {node.name}: {error}")
                continue
            if not result.ok:
                failed.append(
                    f"on {node.name} `{command}` exited with {result.exit_status}\n"
                    f"{result.output.strip()[-500:] or '(no output)'}"
                )
        if failed:
            pytest.fail("the clean-up failed: " + "\n".join(failed), pytrace=False)
