"""Cells of the matrix resolve: ``pins resolve`` on real layers, through kas and bitbake.

``YOCTOVIRT_RESOLVE_ALL=1`` takes the whole matrix (an hour on two cores); without it some
cells are resolved anew, one of each kind.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from typing import Any

import pytest

from tests.integration.conftest import Yoctovirt
from tests.layers.conftest import Places
from yoctovirt.config.cells import Cell
from yoctovirt.config.matrix import matrix
from yoctovirt.config.roles import load_role, role_files

pytestmark = [pytest.mark.layers, pytest.mark.timeout(3600)]

ROLES = [load_role(name) for name in role_files() if load_role(name).builder == "kas"]
MADE_FOR = [
    cell
    for role in ROLES
    for cell in matrix([role])
    if role.is_made_for(cell.release, cell.machine)
]
#: (cell, at least so many recipes, at least so many tasks)
SOME = [
    (Cell("quick", "kirkstone", "qemux86-64"), 10, 100),
    (Cell("quick", "wrynose", "qemux86-64"), 10, 100),
    (Cell("docker-host", "scarthgap", "qemux86-64"), 300, 4000),
    (Cell("kvm-host", "scarthgap", "qemux86-64"), 300, 4000),
    (Cell("virt-host", "scarthgap", "qemux86-64"), 400, 5000),
    (Cell("controller", "kirkstone", "qemux86-64"), 800, 10000),
    (Cell("compute", "kirkstone", "qemux86-64"), 650, 8500),
]


def resolve(yv: Yoctovirt, cell: Cell, *more: str) -> tuple[int, dict[str, Any], str]:
    """Resolve *cell* anew; return exit code, what is known of it then, and the screen."""
    done = yv.run(
        "pins", "resolve", "--role", cell.role, "--release", cell.release,
        "--machine", cell.machine, "--json", *more, timeout=3000,
    )  # fmt: skip
    return done.returncode, json.loads(done.stdout)[0] if done.stdout else {}, done.stderr


@pytest.fixture(scope="module")
def workspace(places: Places) -> Yoctovirt:
    """Return a workspace with copies of our roles: results stay there, not in the clone."""
    yv = places.workspace("resolve")
    inc = yv.workspace / "kas" / "inc"
    inc.mkdir(parents=True)
    (yv.workspace / "yoctovirt.yml").write_text("version: 1\n")
    for role in ROLES:
        for path in role.source.parent.glob(f"{role.name}.*"):
            shutil.copy(path, inc)
    return yv


@pytest.mark.parametrize(("cell", "recipes", "tasks"), SOME, ids=lambda value: str(value))
def test_a_cell_resolves(workspace: Yoctovirt, cell: Cell, recipes: int, tasks: int) -> None:
    """No unresolved item and no ERROR; at least as many recipes and tasks as a node has."""
    code, known, screen = resolve(workspace, cell, "--force")
    assert code == 0, screen
    assert known["state"] == "ok"
    figures = known["result"]["figures"]
    print(f"{cell.key}: {figures}")
    assert figures["recipes"] >= recipes
    assert figures["tasks"] >= tasks
    log = (workspace.workspace / known["result"]["log"]).read_text()
    assert "ERROR" not in log
    assert "PROVIDES" not in log


def test_a_second_call_is_immediate(workspace: Yoctovirt) -> None:
    cell = SOME[0][0]
    resolve(workspace, cell)
    start = time.monotonic()
    code, known, screen = resolve(workspace, cell)
    assert (code, known["state"], screen) == (0, "ok", "")
    assert time.monotonic() - start < 10


def test_a_role_on_layers_that_it_is_not_made_for(workspace: Yoctovirt) -> None:
    """The cell does not hold, bitbake's reason is kept, and who asks for it is told."""
    cell = Cell("quick", "scarthgap", "qemuarm64")
    code, known, screen = resolve(workspace, cell)
    assert code == 0, f"the role does not claim to hold there: {screen}"
    assert known["state"] == "fails"
    assert "PROVIDES" in known["reason"]
    asked = workspace.run("config", "quick", "--machine", "qemuarm64")
    assert asked.returncode == 2
    assert known["reason"] in asked.stderr


def test_the_shipped_results_are_of_these_pins() -> None:
    """What the package says of cells that roles are made for was found with what it ships."""
    from yoctovirt.config.resolved import Results

    results, by_name = Results(), {role.name: role for role in ROLES}
    featured = [cell for role in ROLES for cell in results.featured(role)]
    with_sbom = {cell.release for cell in featured if "sbom" in cell.features}
    assert with_sbom == {"kirkstone", "scarthgap", "wrynose"}
    cells = [*MADE_FOR, *featured]
    states = {cell.key: results.state(by_name[cell.role], cell).kind for cell in cells}
    bad = {key: kind for key, kind in states.items() if kind in ("stale", "fails")}
    assert not bad, f"run 'yoctovirt pins resolve --all' and commit the results: {bad}"


@pytest.mark.skipif(
    os.environ.get("YOCTOVIRT_RESOLVE_ALL") != "1", reason="an hour: YOCTOVIRT_RESOLVE_ALL=1"
)
@pytest.mark.timeout(4 * 3600)
def test_the_whole_matrix(workspace: Yoctovirt) -> None:
    done = workspace.run("pins", "resolve", "--all", "--json", timeout=4 * 3600)
    assert done.returncode == 0, done.stderr
    known = {(c["role"], c["release"], c["machine"]): c["state"] for c in json.loads(done.stdout)}
    wrong = [cell.key for cell in MADE_FOR if known[cell.role, cell.release, cell.machine] != "ok"]
    assert wrong == []
