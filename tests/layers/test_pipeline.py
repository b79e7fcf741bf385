"""The scripts of a pipeline for the role quick, in order and exactly as they are written."""

from __future__ import annotations

import json
import os
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import yaml

from tests.integration.conftest import Yoctovirt
from tests.layers.conftest import Places
from tests.pipelines import checkout, pipeline, run, scripts
from tests.runschema import run_problems

pytestmark = [pytest.mark.layers, pytest.mark.timeout(3000)]

#: As root the script makes a user: in an /etc and a /home that nobody else sees, as a container's.
APART = """\
for name in etc home; do
    mkdir -p "$1/$name/upper" "$1/$name/work"
    mount -t overlay -o "lowerdir=/$name,upperdir=$1/$name/upper,workdir=$1/$name/work" none /$name
done
shift
exec "$@"
"""


def within(folder: Path) -> list[str]:
    """Return the command that runs another one, as root, like in a container of its own."""
    if os.geteuid() != 0:
        return []
    return ["unshare", "--mount", "sh", "-ec", APART, "sh", str(folder)]


def test_build_and_test_jobs(places: Places) -> None:
    root = places.root / "pipeline"
    root.mkdir()
    text = pipeline("gitlab", "quick", "--suite", "base,docker", setup=())
    data, script = yaml.safe_load(text), scripts("gitlab", text)
    build, test = "build-quick-scarthgap-qemux86-64", "test-quick-scarthgap-qemux86-64"
    here, there = checkout(root / "build"), checkout(root / "test")
    for folder in (here, there):
        places.made.append(Yoctovirt(folder / "workspace"))
    own = within(root / "apart")
    said = run(script[build], here, within=own, GITLAB_CI="true")
    assert "plan:    build\n" in said
    assert (root / "apart" / "home" / "upper" / "builder").is_dir() == (os.geteuid() == 0)
    lock = yaml.safe_load((here / "locks" / "scarthgap.lock.yml").read_text())
    assert len(lock["overrides"]["repos"]["poky"]["commit"]) == 40
    (built,) = [json.loads(path.read_text()) for path in here.glob("workspace/runs/*/run.json")]
    assert run_problems(built) == []
    assert (built["until"], built["result"]) == ("build", "passed")
    for path in data[build]["artifacts"]["paths"]:
        shutil.copytree(here / path, there / path)
    # The next build takes from what the service keeps.
    assert {path.rstrip("/") for path in data[build]["cache"]["paths"]} == {
        "workspace/downloads", "workspace/sstate-cache", "workspace/hashserv"
    }  # fmt: skip
    assert all((here / path).is_dir() for path in data[build]["cache"]["paths"])
    shutil.rmtree(here / "workspace")
    said = run(script[test], there, within=own, GITLAB_CI="true", YOCTOVIRT_LAYER_MIRRORS="")
    assert "plan:    unpack, boot, smoke\n" in said
    (pattern,) = data[test]["artifacts"]["reports"]["junit"]
    assert {ET.parse(path).getroot().get("errors") for path in there.glob(pattern)} == {"0"}
    runs = [json.loads(path.read_text()) for path in there.glob("workspace/runs/*/run.json")]
    (tested,) = [one for one in runs if one["until"] is None]
    assert run_problems(tested) == []
    assert (tested["result"], tested["phases"][0]["name"]) == ("passed", "unpack")
    assert {check["suite"] for check in tested["checks"]} == {"base", "docker"}
    assert tested["pins"]["layers"]["poky"] == built["pins"]["layers"]["poky"]
    assert tested["nodes"][0]["command"][0].startswith(f"{there}/workspace/bundles")
    assert not (there / "workspace" / "layers").exists()
