"""The OpenStack roles resolve: ``bitbake -g`` on real layers, through kas."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import yaml

from tests.layers.conftest import BUILD_USER, Places
from yoctovirt.base.process import CommandLog
from yoctovirt.base.screen import Screen
from yoctovirt.build.kas.user import choose_build_user
from yoctovirt.config.kasfile import kas_environment
from yoctovirt.config.layers import Checkout, pins_of

pytestmark = [pytest.mark.layers, pytest.mark.timeout(2400)]


@pytest.mark.parametrize(
    ("role", "recipes", "tasks"), [("controller", 800, 10000), ("compute", 650, 8500)]
)
def test_openstack_role_resolves(places: Places, role: str, recipes: int, tasks: int) -> None:
    """No unresolved item and no ERROR; at least as many recipes and tasks as a whole node has."""
    yv = places.workspace("openstack")
    yv.workspace.mkdir(exist_ok=True)
    source = yv.workspace / f"{role}.yml"
    done = yv.run("config", role, "-o", str(source))
    assert done.returncode == 0, done.stderr
    config = yaml.safe_load(source.read_text())
    layers = yv.workspace / "layers"
    warnings = Checkout(layers, CommandLog(), Screen(quiet=True)).all(pins_of(config))
    assert warnings == []
    user = choose_build_user(BUILD_USER)
    user.take([yv.workspace], CommandLog())
    gitconfig = yv.workspace / "gitconfig"
    gitconfig.write_text("[safe]\n\tdirectory = *\n")
    build = yv.workspace / f"build-{role}"
    env = {
        **kas_environment(user.home), "KAS_WORK_DIR": str(layers), "KAS_BUILD_DIR": str(build),
        "GITCONFIG_FILE": str(gitconfig), "BB_NO_NETWORK": "1",
    }  # fmt: skip
    argv = [sys.executable, "-m", "kas", "shell", str(source), "-c",
            f"bitbake -g {config['target']}"]  # fmt: skip
    run = subprocess.run(user.argv(argv), env=env, capture_output=True, text=True, check=False)
    output = run.stdout + run.stderr
    assert run.returncode == 0, output[-4000:]
    assert not re.findall(r"Nothing R?PROVIDES.*", output)
    assert not re.findall(r"ERROR: .*", output)
    graph = (build / "task-depends.dot").read_text()
    found = len((build / "pn-buildlist").read_text().split()), graph.count("[label=")
    print(f"{role}: {found[0]} recipes, {found[1]} tasks, {graph.count('->')} edges")
    assert found[0] > recipes
    assert found[1] > tasks
