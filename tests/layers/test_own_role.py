"""docs/own-role.md: the role of bitbake that a reader writes resolves on real layers, as written.

Its image is not built: hours. ``tests/integration/test_own_role.py`` boots the other role.
"""

from __future__ import annotations

import json
import shlex

import pytest

from tests.guides import commands, write_files
from tests.integration.conftest import Yoctovirt
from tests.layers.conftest import Places
from yoctovirt.config.cells import Cell
from yoctovirt.config.resolved import Results
from yoctovirt.config.roles import load_role

pytestmark = [pytest.mark.layers, pytest.mark.timeout(3600)]

PAGE = "own-role.md"
KEY = "edge-host/scarthgap/qemux86-64"
#: What the guide's own lines bring, beside what is docker-host's.
OWN = {"chrony", "lxc"}


@pytest.fixture(scope="module")
def folder(places: Places) -> Yoctovirt:
    """Return a folder with the files of the guide; nobody has made it a workspace."""
    yv = places.workspace("own-role")
    yv.workspace.mkdir()
    write_files(PAGE, yv.workspace)
    return yv


def shown(verb: str) -> list[str]:
    """Return the words of the guide's call of *verb* for the role of bitbake."""
    (found,) = [
        words
        for words in (shlex.split(line)[1:] for line in commands(PAGE))
        if " ".join(words).startswith(verb) and "edge-host" in words
    ]
    return found


def recipes(yv: Yoctovirt) -> set[str]:
    """Return the recipes that bitbake would build for the image."""
    return set((yv.workspace / "resolve" / "scarthgap" / "pn-buildlist").read_text().split())


def test_it_resolves(folder: Yoctovirt) -> None:
    done = folder.run(*shown("pins resolve"), timeout=3000)
    assert done.returncode == 0, done.stdout + done.stderr
    stored = json.loads((folder.workspace / "resolved.json").read_text())["cells"]
    assert set(stored) == {KEY}, "what the role is made for, and no other release or machine"
    assert stored[KEY]["verdict"] == "ok"
    figures = stored[KEY]["figures"]
    print(f"{KEY}: {figures}, {stored[KEY]['seconds']} s")
    assert done.stdout.split()[:3] == [KEY, "ok", str(figures["recipes"])]
    assert figures["tasks"] >= 4000
    cell = Cell("docker-host", "scarthgap", "qemux86-64", ())
    plain = Results().state(load_role(cell.role), cell)
    assert plain.kind == "ok"
    assert plain.entry is not None
    assert figures["recipes"] > plain.entry["figures"]["recipes"] >= 300, "what its own lines add"
    assert {*OWN, "docker-moby"} <= recipes(folder)
    dry = folder.run(*shown("build"))
    assert dry.returncode == 0, dry.stdout + dry.stderr


def test_a_package_that_no_layer_has(folder: Yoctovirt) -> None:
    """bitbake's words, at once for whoever builds; and it goes on when the name is mended."""
    source = folder.workspace / "kas" / "inc" / "edge-host.yml"
    good = source.read_text()
    assert " chronyc" in good
    source.write_text(good.replace(" chronyc", " chronyd"))
    done = folder.run(*shown("pins resolve"), timeout=3000)
    assert done.returncode == 4, done.stdout + done.stderr
    assert done.stdout.split()[:2] == [KEY, "fails"]
    assert "Nothing RPROVIDES 'chronyd' (but " in done.stdout
    assert "docker-host-image" in done.stdout, "the recipe that asks for it"
    assert f"do not resolve: {KEY}" in done.stderr
    for words in (shown("config"), shown("build"), shown("ci")):
        refused = folder.run(*words)
        assert refused.returncode == 2, refused.stdout + refused.stderr
        assert "Nothing RPROVIDES 'chronyd'" in refused.stderr
    source.write_text(good)
    assert folder.run(*shown("config")).returncode == 0, "what was changed is not refused"
