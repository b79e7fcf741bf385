"""One of several nodes on its way: started in a thread, so that it can be given up."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import AbstractContextManager, suppress

from yoctovirt.base.process import CommandLog
from yoctovirt.base.screen import Screen
from yoctovirt.boot.launcher import BootRequest, Launch
from yoctovirt.boot.node import load_node
from yoctovirt.boot.ready import ready_node

#: Seconds between two looks at what has become of it.
TURN = 0.2


class PrefixedScreen(Screen):
    """A screen whose lines say which node they are of."""

    def __init__(self, screen: Screen, name: str) -> None:
        super().__init__(quiet=True)
        self._under, self._name = screen, name

    def line(self, text: str = "") -> None:
        """Print a line below the running step of all."""
        self._under.line(f"    [{self._name}] {text.strip()}")


class Start:
    """One node on its way, in a thread of its own."""

    def __init__(self, request: BootRequest, log: CommandLog, screen: Screen) -> None:
        self.request = request
        self.launch: Launch | None = None
        self.error: BaseException | None = None
        self._context: AbstractContextManager[Launch] = ready_node(request, log, screen)
        # Not Thread.join: interrupted by Ctrl-C it takes a thread that runs for one that ended.
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name=request.name)

    def begin(self) -> None:
        """Start it; this returns at once."""
        self._thread.start()

    def _run(self) -> None:
        try:
            self.launch = self._context.__enter__()
        except BaseException as error:
            self.error = error
        finally:
            self._over.set()

    @property
    def over(self) -> bool:
        """Whether the node is ready, or will not be."""
        return self._over.is_set()

    def wait(self, seconds: float) -> None:
        """Wait until it is over, *seconds* at most."""
        self._over.wait(seconds)

    def kill(self) -> None:
        """Have the guard stop QEMU, where it runs already; so the wait for it ends, too."""
        node = load_node(self.request.workspace, self.request.name)
        if not self.over and node is not None and node.state.guard_pid:
            with suppress(ProcessLookupError):
                os.kill(node.state.guard_pid, signal.SIGTERM)

    def cancel(self) -> None:
        """End a start that is under way, however far it is."""
        while self._thread.ident is not None and not self.over:
            self.kill()
            self.wait(TURN)

    def end(self) -> None:
        """Stop the node, unless it was detached."""
        if self.launch is not None:
            self._context.__exit__(None, None, None)
