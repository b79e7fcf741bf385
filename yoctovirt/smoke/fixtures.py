"""The fixtures of the plugin, for our suites and for tests of users."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from yoctovirt.smoke.checked import SmokeNode
from yoctovirt.smoke.cleanup import Undo
from yoctovirt.smoke.session import session_of


@pytest.fixture(scope="session")
def nodes(request: pytest.FixtureRequest) -> Iterator[dict[str, SmokeNode]]:
    """All nodes of the run, by name."""
    session = session_of(request.config)
    yield session.smoke_nodes()
    session.close()


@pytest.fixture(scope="session")
def node(request: pytest.FixtureRequest, nodes: dict[str, SmokeNode]) -> SmokeNode:
    """Return the node of the run; of a system one that promises what the check is about."""
    name = getattr(request, "param", None)
    return nodes[name] if name else next(iter(nodes.values()))


@pytest.fixture(scope="session")
def controller(nodes: dict[str, SmokeNode]) -> SmokeNode:
    """Return the node with the role controller."""
    return _with_role(nodes, "controller")


@pytest.fixture(scope="session")
def compute(nodes: dict[str, SmokeNode]) -> SmokeNode:
    """Return the node with the role compute."""
    return _with_role(nodes, "compute")


#: Waits for the init system as long as it starts something; says nothing of how that ended.
_STARTED = """
if [ -d /run/systemd/system ]; then
    systemctl is-system-running --wait
else
    turns=0
    while ps | grep -q '[/]etc/init.d/rc\\b' && [ $turns -lt 60 ]; do
        sleep 1
        turns=$((turns + 1))
    done
fi
"""


@pytest.fixture(scope="session")
def started(nodes: dict[str, SmokeNode]) -> None:
    """Wait until the init systems have started the daemons that are to be tested."""
    for one in nodes.values():
        one.run(_STARTED, timeout=120)


@pytest.fixture
def undo(node: SmokeNode) -> Iterator[Undo]:
    """Commands that run on the node when the check is over, however it ended."""
    steps = Undo(node)
    yield steps
    steps.now()


@pytest.fixture(scope="module")
def module_undo(node: SmokeNode) -> Iterator[Undo]:
    """Like ``undo``, at the end of the module: for what several checks share."""
    steps = Undo(node)
    yield steps
    steps.now()


def _with_role(nodes: dict[str, SmokeNode], role: str) -> SmokeNode:
    for found in nodes.values():
        if found.role == role:
            return found
    pytest.fail(f"no node of this run has the role {role}: {', '.join(nodes)}", pytrace=False)
