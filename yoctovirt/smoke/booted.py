"""Nodes that a pytest run boots for itself (``--yv-boot``): once, in its main process."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from yoctovirt.base.process import CommandLog
from yoctovirt.base.screen import Screen
from yoctovirt.boot.launcher import BootRequest
from yoctovirt.boot.qemuargs import BootOptions
from yoctovirt.boot.ready import ready_node
from yoctovirt.build.builders import what_was_built
from yoctovirt.config.roles import load_role
from yoctovirt.config.workspace import find_workspace
from yoctovirt.errors import YoctovirtError


class BootedNodes:
    """Boots roles when pytest is configured, stops them when it ends, however it ends."""

    def __init__(self, config: pytest.Config) -> None:
        self._stack = ExitStack()
        named = config.getoption("yv_workspace")
        names = []
        try:
            workspace = find_workspace(Path(named) if named else None)
            for role_name in config.getoption("yv_boot"):
                role = load_role(role_name, workspace.path)
                name = f"pytest-{os.getpid()}-{role_name}"
                run = workspace.runs / name
                run.mkdir(parents=True, exist_ok=True)
                built = what_was_built(role, workspace)
                request = BootRequest(
                    workspace, built.deploy, role, name, BootOptions(), run, built.runqemu
                )
                log = CommandLog(run / "commands.log")
                starting = ready_node(request, log, Screen(quiet=True))
                self._stack.enter_context(starting)
                names.append(name)
        except YoctovirtError as error:
            self._stack.close()
            raise pytest.UsageError(f"{error.message} ({error.hint})") from error
        except BaseException:
            self._stack.close()
            raise
        config.option.yv_node = [*config.getoption("yv_node"), *names]
        self._config = config

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell a worker of xdist, which has the command line only, how the nodes are called."""
        node.workerinput["yv_node"] = self._config.getoption("yv_node")

    def pytest_unconfigure(self) -> None:
        """Stop the nodes."""
        self._stack.close()
