"""The pytest plugin of yoctovirt: fixtures ``node``, ``nodes``, ``controller``, ``compute``.

It is loaded in every pytest run of a Python that has yoctovirt, so it imports
nothing and does nothing unless ``--yv-node`` names a running node (``yoctovirt boot
ROLE --detach``), or ``--yv-boot`` a built role whose node is booted for this run, in
the main process: with pytest-xdist all workers use that one node.
"""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add our options."""
    group = parser.getgroup("yoctovirt", "smoke tests on a yoctovirt node")
    group.addoption(
        "--yv-node",
        action="append",
        default=[],
        metavar="NAME",
        help="a running node (yoctovirt nodes); may be given several times",
    )
    group.addoption(
        "--yv-peer",
        action="append",
        default=[],
        metavar="NAME",
        help="a running node that is there beside those of --yv-node, and not itself tested",
    )
    group.addoption(
        "--yv-boot",
        action="append",
        default=[],
        metavar="ROLE",
        help="boot the node of a built role for this run; may be given several times",
    )
    group.addoption(
        "--yv-workspace",
        metavar="DIR",
        help="the workspace of the node (default: upwards from the current folder)",
    )
    group.addoption(
        "--yv-check",
        action="append",
        default=[],
        metavar="ID",
        help="run only this check (suite::check); may be given several times",
    )
    group.addoption(
        "--yv-results",
        metavar="DIR",
        help="write checks.jsonl and node-commands.jsonl there",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Bring the fixtures in where there is a node, booting it where that was asked for."""
    worker = getattr(config, "workerinput", None)
    if worker is not None:
        config.option.yv_node = worker.get("yv_node", config.getoption("yv_node"))
    elif config.getoption("yv_boot"):
        from yoctovirt.smoke.booted import BootedNodes

        config.pluginmanager.register(BootedNodes(config), "yoctovirt-booted")
    from yoctovirt.smoke.marks import MARKS

    for mark in MARKS:
        config.addinivalue_line("markers", mark)
    if config.getoption("yv_node"):
        from yoctovirt.smoke import fixtures
        from yoctovirt.smoke.session import PLUGIN, SmokeSession

        config.pluginmanager.register(SmokeSession(config), PLUGIN)
        config.pluginmanager.register(fixtures, "yoctovirt-fixtures")
