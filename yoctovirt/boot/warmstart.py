"""One node by ``--warm``: resumed from the state that was kept, or booted and its state kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from yoctovirt.base.process import CommandLog
from yoctovirt.base.screen import Screen
from yoctovirt.boot.launcher import BootRequest, Launch
from yoctovirt.boot.ready import ready_node
from yoctovirt.boot.warm import Warm, with_generation
from yoctovirt.boot.warmsave import keep
from yoctovirt.errors import BootError


@contextmanager
def started_node(request: BootRequest, log: CommandLog, screen: Screen) -> Iterator[Launch]:
    """Start the node of *request* and yield it when it answers; warm where that is asked for.

    Raises what :func:`ready_node` raises.
    """
    if not request.options.warm:
        with ready_node(request, log, screen) as launch:
            yield launch
        return
    request = with_generation(request)
    warm = Warm([request], {})
    entry = warm.find(screen)
    if entry is not None:
        resumed = ready_node(replace(request, resume=entry.resumes()[request.name]), log, screen)
        try:
            launch = resumed.__enter__()
        except BootError as error:
            screen.note(refusal(error))
            entry.drop()
        else:
            screen.note(freshness(launch))
            try:
                yield launch
            finally:
                resumed.__exit__(None, None, None)
            return
    with ready_node(request, log, screen) as launch:
        keep(warm, {request.name: launch}, screen)
        yield launch


def refusal(error: BootError) -> str:
    """Return why there is a cold boot although a state was kept."""
    return (
        f"cold boot: the warm state cannot be resumed, and is dropped "
        f"({error.message.splitlines()[0]})"
    )


def freshness(launch: Launch) -> str:
    """Return in words that a node was resumed, and what became of its random numbers."""
    words = {
        "forked": "its kernel drew new random numbers at the resume",
        "reseeded": "its random numbers are reseeded",
        "later": "its kernel has a new seed, and draws from it within minutes",
    }
    random = launch.node.state.random
    return f"resumed from its warm state; clock set, {words.get(random, random)}"
