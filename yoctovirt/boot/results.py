"""What a command on a node gave, however it got there."""

from __future__ import annotations

from dataclasses import dataclass

from yoctovirt.errors import BootError


@dataclass(frozen=True)
class CommandResult:
    """The outcome of one command on a node."""

    command: str
    exit_status: int
    output: str  #: standard output and standard error, as they came
    duration: float  #: seconds
    transport: str  #: ``ssh`` or ``serial``

    @property
    def ok(self) -> bool:
        """Whether the exit status is 0."""
        return self.exit_status == 0


class NodeUnreachableError(BootError):
    """The node does not answer (any more) on its console or over SSH."""


class NodeRefusedError(NodeUnreachableError):
    """Somebody answers, and another attempt would end the same: a wrong key, a refused login."""


class NodeRestartedError(NodeUnreachableError):
    """The node answers, and is not what it was: it restarted, and nobody had announced that."""


class CommandTimeoutError(BootError):
    """A command did not end in time; ``transcript`` is what it printed until then."""

    def __init__(
        self, command: str, seconds: float, transport: str, transcript: str, said: str | None = None
    ) -> None:
        tail = transcript[-2000:].strip() or "(nothing)"
        meanwhile = f"\n{said}" if said else ""
        super().__init__(
            f"no end of the command within {seconds:.0f} s over {transport}: {command}\n"
            f"it printed: {tail}{meanwhile}",
            "look into console-<node>.log of the run; --timeout-scale helps a slow host",
        )
        self.command = command
        self.transcript = transcript
        self.said = said
