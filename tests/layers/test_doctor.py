"""What is stored of each release is what its own metadata demands."""

from __future__ import annotations

import pytest

from yoctovirt.base.process import CommandLog
from yoctovirt.base.screen import Screen
from yoctovirt.config.layers import Checkout
from yoctovirt.config.selection import load_releases
from yoctovirt.doctor import sanity
from yoctovirt.pins.git import git_settings
from yoctovirt.pins.places import Places
from yoctovirt.pins.sources import mirror_list

pytestmark = [pytest.mark.layers, pytest.mark.timeout(1800)]
RELEASES = {release.name: release for release in load_releases()}


@pytest.mark.parametrize("name", RELEASES)
def test_demands(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    release = RELEASES[name]
    pin = release.pin(release.info.core)
    with git_settings() as git, Places(git, mirror_list()) as places:
        stores = places.find(pin, name).stores
        if stores:
            found = sanity.from_files(lambda path: stores[0].text(pin.commit, path), "mirror")
        else:
            folder = tmp_path_factory.mktemp(name)
            Checkout(folder, CommandLog(), Screen()).all([pin])
            found = sanity.from_checkout(folder / pin.name)
    assert found is not None
    stored = sanity.stored(name)
    assert stored is not None
    assert found.as_json() == stored.as_json()
