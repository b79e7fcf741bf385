"""Pins: a world of layers, copied for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.pins.world import World


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World.make(tmp_path_factory.mktemp("world") / "world")


@pytest.fixture
def world(template: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    for name in ("YOCTOVIRT_LAYER_MIRRORS", "YOCTOVIRT_OFFLINE", "YOCTOVIRT_WORKSPACE"):
        monkeypatch.delenv(name, raising=False)
    return template.copy(tmp_path / "world")
