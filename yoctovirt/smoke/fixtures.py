"""The fixtures of the plugin, for our suites and for tests of users."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from yoctovirt.smoke.checked import SmokeNode
from yoctovirt.smoke.session import PLUGIN


@pytest.fixture(scope="session")
def nodes(request: pytest.FixtureRequest) -> Iterator[dict[str, SmokeNode]]:
    """All nodes of the run, by name."""
    session: Any = request.config.pluginmanager.get_plugin(PLUGIN)
    yield session.smoke_nodes()
    session.close()


@pytest.fixture(scope="session")
def node(nodes: dict[str, SmokeNode]) -> SmokeNode:
    """Return the node of the run (the first where there are several)."""
    return next(iter(nodes.values()))


@pytest.fixture(scope="session")
def controller(nodes: dict[str, SmokeNode]) -> SmokeNode:
    """Return the node with the role controller."""
    return _with_role(nodes, "controller")


@pytest.fixture(scope="session")
def compute(nodes: dict[str, SmokeNode]) -> SmokeNode:
    """Return the node with the role compute."""
    return _with_role(nodes, "compute")


def _with_role(nodes: dict[str, SmokeNode], role: str) -> SmokeNode:
    for found in nodes.values():
        if found.role == role:
            return found
    pytest.fail(f"no node of this run has the role {role}: {', '.join(nodes)}", pytrace=False)
