"""The lab, started once for each module that wants it running."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.conftest import Yoctovirt
from tests.lab.host import why_not
from tests.lab.lab import Lab, open_lab


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--lab-screenshots", metavar="DIR", help="keep pictures of the dashboard in this folder"
    )
    parser.addoption("--lab-seen", metavar="FILE", help="write a table of the checks there")


@pytest.fixture(scope="session", autouse=True)
def needed() -> None:
    reason = why_not()
    if reason:
        pytest.skip(reason)


@dataclass
class Running:
    """The lab with all its nodes up, and a workspace that knows them."""

    lab: Lab
    yv: Yoctovirt
    seconds: float  #: from saved layers until all nodes answered


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    workspace: Path = tmp_path_factory.mktemp("lab")
    with open_lab() as lab:
        lab.build(lab.names)
        begun = time.monotonic()
        lab.start(lab.names)
        lab.write_workspace(workspace, lab.names)
        yield Running(lab, Yoctovirt(workspace), time.monotonic() - begun)
