"""The scripts of a pipeline, run in order and exactly as they are written."""

from __future__ import annotations

import json
import os
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import yaml

from tests.gitrepos import commit, git, repository
from tests.integration.conftest import Yoctovirt
from tests.pipelines import checkout, pipeline, run, scripts
from tests.runschema import run_problems

pytestmark = pytest.mark.node


@pytest.mark.pipeline
@pytest.mark.timeout(1800)
def test_build_and_test_jobs_of_gitlab(reference: Yoctovirt, tmp_path: Path) -> None:
    """What the one leaves as artifacts is all that the other one has, beside its own checkout.

    With the default set-up, too: each job makes its virtual environment.
    """
    text = pipeline("gitlab", "reference", "--suite", "base", "--kvm", setup=())
    data, script = yaml.safe_load(text), scripts("gitlab", text)
    build, test = "build-reference-qemux86-64", "test-reference-qemux86-64"
    here, there = checkout(tmp_path / "build"), checkout(tmp_path / "test")
    said = run(script[build], here, GITLAB_CI="true", CI_PROJECT_DIR=str(here))
    assert "plan:    build\n" in said
    assert said.count("section_start:") == said.count("section_end:") > 0
    for path in data[build]["artifacts"]["paths"]:
        shutil.copytree(here / path, there / path)
    shutil.rmtree(here)
    said = run(script[test], there, GITLAB_CI="true", YOCTOVIRT_CACHE_DIR=str(tmp_path / "none"))
    assert "plan:    unpack, boot, smoke\n" in said
    (pattern,) = data[test]["artifacts"]["reports"]["junit"]
    verdicts = [ET.parse(path).getroot() for path in there.glob(pattern)]
    assert {root.get("errors") for root in verdicts} == {"0"}
    runs = [json.loads(path.read_text()) for path in there.glob("workspace/runs/*/run.json")]
    for one in runs:
        assert run_problems(one) == []
    (tested,) = [one for one in runs if one["until"] is None]
    assert (tested["result"], tested["phases"][0]["name"]) == ("passed", "unpack")
    assert len(tested["checks"]) >= 10
    assert tested["role"] == "reference"
    assert "docker" in tested["nodes"][0]["promises"], "the bundle says what the role promises"
    assert tested["pins"]["packages"]["docker.io"]
    assert f"{there}/workspace/bundles" in tested["image"]["deploy_dir"]
    assert not list(there.glob("workspace/build-*"))


@pytest.fixture
def layers(tmp_path: Path) -> Path:
    """Make a checkout with one release of one repository, whose branch has moved on."""
    core = tmp_path / "core"
    conf = """\
BBPATH .= ":${LAYERDIR}"
BBFILE_COLLECTIONS += "core"
BBFILE_PATTERN_core = "^${LAYERDIR}/"
LAYERSERIES_CORENAMES = "scarthgap"
"""
    first = repository(core, **{"meta__conf__layer.conf": conf})
    folder = checkout(tmp_path / "checkout")
    manifest = folder / "layers-manifest"
    for path in manifest.glob("*"):
        if not path.name.startswith("scarthgap"):
            path.unlink()
    text = (
        "header:\n  version: 19\n\nrepos:\n  poky:\n"
        f"    url: file://{core}\n    branch: main\n    commit: {first}\n    layers:\n      meta:\n"
    )
    (manifest / "scarthgap.yml").write_text(text)
    commit(folder, "one release", README="a pipeline")
    commit(core, "newer", README="newer")
    return folder


#: Stands for GitHub's program: it knows the flags of its manual that we use, and no others, and
#: one pull request for the branch, whose state is in a file.
GH = """\
#!/bin/bash
echo "$GH_TOKEN $*" >> {folder}/calls
case "$*" in
"pr view yoctovirt/pins --json state --jq .state")
    cat {folder}/state 2> /dev/null || {{ echo 'no pull requests found' >&2; exit 1; }} ;;
"pr create --head yoctovirt/pins --title Pins: to where their branches stand --body By yoctovirt.")
    [ "$(cat {folder}/state 2> /dev/null)" != OPEN ] || {{ echo 'already exists' >&2; exit 1; }}
    echo OPEN > {folder}/state ;;
*)  echo "unknown command $*" >&2; exit 2 ;;
esac
"""


def test_pins_are_updated_as_a_merge_request(layers: Path, tmp_path: Path) -> None:
    origin = tmp_path / "origin.git"
    git(layers, "clone", "-q", "--bare", str(layers), str(origin))
    git(origin, "config", "receive.advertisePushOptions", "true")
    git(layers, "remote", "add", "origin", str(origin))
    options = tmp_path / "options"
    hook = origin / "hooks" / "pre-receive"
    hook.write_text(f"#!/bin/sh\nenv | grep ^GIT_PUSH_OPTION_ >> {options} || true\n")
    hook.chmod(0o755)
    config = tmp_path / "gitconfig"
    url = "https://oauth2:secret-1234@gitlab.invalid:8443/git/team/hosts.git"
    config.write_text(f'[safe]\n\tdirectory = *\n[url "{origin}"]\n\tinsteadOf = {url}\n')
    env = {
        "GIT_CONFIG_GLOBAL": str(config), "PYTHONPATH": str(layers), "CI_DEFAULT_BRANCH": "main",
        "YOCTOVIRT_PUSH_TOKEN": "secret-1234", "CI_SERVER_PROTOCOL": "https",
        "CI_PROJECT_URL": "https://gitlab.invalid:8443/git/team/hosts",
        "YOCTOVIRT_LAYER_MIRRORS": "", "GH_TOKEN": "secret-5678",
    }  # fmt: skip
    github = tmp_path / "github"
    github.mkdir()
    (github / "gh").write_text(GH.format(folder=github))
    (github / "gh").chmod(0o755)
    env["PATH"] = f"{github}:{os.environ['PATH']}"
    for service in ("gitlab", "jenkins", "github"):
        script = scripts(service, pipeline(service))["update-pins"]
        said = run(script, layers, **env)
        newest = git(tmp_path / "core", "rev-parse", "HEAD")
        assert f"-> {newest[:12]}" in said
        pushed = git(origin, "show", "yoctovirt/pins:layers-manifest/scarthgap.yml")
        assert f"commit: {newest}" in pushed
        assert git(origin, "diff", "--name-only", "main", "yoctovirt/pins") == (
            "layers-manifest/scarthgap.yml"
        )
        git(layers, "checkout", "-q", "main")
        if service == "gitlab":
            given = options.read_text()
            assert "=merge_request.create\n" in given
            assert "=merge_request.target=main\n" in given
            assert "=merge_request.title=Pins: to where their branches stand\n" in given
        commit(tmp_path / "core", "newest", README=service)
    # At GitHub: one pull request, which the next push moves; and a new one after its merge.
    created = "secret-5678 pr create"
    assert (github / "calls").read_text().count(created) == 1
    run(script, layers, **env)
    assert (github / "calls").read_text().count(created) == 1
    (github / "state").write_text("MERGED\n")
    git(layers, "checkout", "-q", "main")
    run(script, layers, **env)
    assert (github / "calls").read_text().count(created) == 2
    git(layers, "checkout", "-q", "-B", "main", "yoctovirt/pins")
    said = run(script, layers, **env)
    assert "no pin has moved" in said
