"""The nodes that are broken and repaired."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import Yoctovirt
from tests.sabotage.bench import Bench


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--sabotage-node",
        metavar="WORKSPACE:NODE[+NODE]",
        help="break this running node instead of booting one; rows of other roles are left out",
    )
    parser.addoption(
        "--sabotage-seen", metavar="FILE", help="write what was seen there, as a table in Markdown"
    )


@pytest.fixture(scope="session")
def bench(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bench]:
    given = request.config.getoption("--sabotage-node")
    workspace, _, name = (given or "").rpartition(":")
    folder = Path(workspace) if given else tmp_path_factory.mktemp("sabotage")
    bench = Bench(Yoctovirt(folder), given=name)
    try:
        yield bench
    finally:
        bench.close()
        seen = request.config.getoption("--sabotage-seen")
        if seen:
            Path(seen).write_text(bench.seen_table(), encoding="utf-8")
            Path(seen).with_suffix(".json").write_text(json.dumps(bench.seen, indent=1))
