"""Pipeline files: held to the services' published schemas, and to what their jobs need."""

from __future__ import annotations

import json
import re
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from click.testing import CliRunner

from tests.pipelines import scripts
from yoctovirt.cli import cli
from yoctovirt.errors import UsageError
from yoctovirt.smoke.catalog import all_suites

SCHEMAS = {"gitlab": "gitlab-ci", "github": "github-workflows"}
CALLS = {
    "one": (),
    "several": ("controller", "compute", "reference", "--test-runner", "kvm", "--kvm"),
    "matrix": ("docker-host", "--release", "scarthgap", "--release", "wrynose",
               "--machine", "qemux86-64", "--machine", "qemuarm64"),
    "container": ("quick", "--image", "registry.example.com/yocto:1", "--store", "/srv/my yocto",
                  "--kvm", "--build-runner", "big", "--hours", "30", "--suite", "base,docker"),
    "setup": ("quick", "--setup", "pip install 'yoctovirt'", "--setup", "echo \"it's\" \\'''"),
}  # fmt: skip

#: How a script limits itself: SIGTERM, and SIGKILL so long after it.
OWN_LIMIT = re.compile(r"timeout --preserve-status --kill-after=(?P<kill>\d+)m (?P<minutes>\d+)m")


def made(service: str, *arguments: str) -> str:
    done = CliRunner().invoke(cli, ["pipeline", service, *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def schema_problems(service: str, text: str) -> list[str]:
    """Return what the schema that SchemaStore publishes for *service* says of *text*."""
    file = files("check_jsonschema.builtin_schemas.vendor") / f"{SCHEMAS[service]}.json"
    schema = json.loads(file.read_text(encoding="utf-8"))
    data = yaml.safe_load(text)
    if True in data:  # 'on' is a truth in YAML 1.1, and a word for GitHub
        data["on"] = data.pop(True)
    found = jsonschema.validators.validator_for(schema)(schema).iter_errors(data)
    return [f"{list(one.absolute_path)}: {one.message[:200]}" for one in found]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("service", SCHEMAS)
def test_it_fits_the_schema_of_its_service(service: str, call: str) -> None:
    good = made(service, *CALLS[call])
    assert schema_problems(service, good) == []
    for old, new in {
        "gitlab": [("    when: always\n", "    when: sometimes\n"), ("  script:\n", "  scripts:\n"),
                   ("interruptible: true", "interruptible: maybe")],
        "github": [("    runs-on: ", "    runs-where: "), ("    steps:\n", "    step:\n"),
                   ("    - uses: ", "    - use: ")],
    }[service]:  # fmt: skip
        assert schema_problems(service, good.replace(old, new)), old


@pytest.mark.parametrize("call", CALLS)
def test_all_services_run_the_same(call: str) -> None:
    """So that running the scripts of one of them shows the others; only their limits differ."""
    found = {name: scripts(name, made(name, *CALLS[call])) for name in (*SCHEMAS, "jenkins")}
    jobs = {name: {job: OWN_LIMIT.sub("timeout", text).strip()
                   for job, text in one.items() if job != "update-pins"}
            for name, one in found.items()}  # fmt: skip
    assert jobs["gitlab"] == jobs["github"] == jobs["jenkins"]
    assert jobs["gitlab"]
    for one in found.values():
        commit = "commit -m 'Pins: to where their branches stand' -- layers-manifest"
        assert commit in one["update-pins"]
        for script in one.values():
            check = subprocess.run(
                ["bash", "-n"], input=script, capture_output=True, text=True, check=False
            )
            assert check.returncode == 0, check.stderr


def limits(service: str, *arguments: str) -> dict[str, tuple[int, int]]:
    """Return of each job that builds or tests: limit of the job, limit of its script; minutes."""
    text = made(service, *arguments)
    if service == "github":
        jobs = yaml.safe_load(text)["jobs"]
        whole = {name: job["timeout-minutes"] for name, job in jobs.items()}
    elif service == "gitlab":
        whole = {name: 60 * int(job["timeout"].removesuffix("h"))
                 for name, job in yaml.safe_load(text).items()
                 if isinstance(job, dict) and "timeout" in job}  # fmt: skip
    else:
        # What counts from the step on: an option of the stage would count the wait for an agent.
        step = r"'([^']+)'(?s:.*?)\n +steps \{\n +timeout\(time: (\d+), unit: 'HOURS'\) \{\n"
        stages = [re.match(step, stage) for stage in re.split(r"(?m)^ *stage\(", text)]
        whole = {one[1]: 60 * int(one[2]) for one in stages if one}
    found = {}
    for name, script in scripts(service, text).items():
        if name == "update-pins":
            continue
        (own,) = OWN_LIMIT.finditer(script)
        assert script[own.end() :].startswith(" yoctovirt ci "), "what writes the record"
        found[name] = (whole[name], int(own["minutes"]) + int(own["kill"]))
    return found


@pytest.mark.parametrize("call", [*CALLS, "short", "shortest"])
@pytest.mark.parametrize("service", [*SCHEMAS, "jenkins"])
def test_scripts_end_before_their_jobs_do(service: str, call: str) -> None:
    """Else the service kills the job, and its record is not closed: also by SIGKILL in time."""
    more = {"short": ("quick", "--hours", "5"), "shortest": ("quick", "--hours", "1")}
    found = limits(service, *{**CALLS, **more}[call])
    assert {name.split("-")[0] for name in found} == {"build", "test"}
    for name, (job, script) in found.items():
        assert 0 < script <= job - 20, name


@pytest.mark.parametrize(
    ("service", "arguments", "build", "test"),
    [
        ("github", (), 6, 4),  # hosted runners end a job after six hours, whatever its file says
        ("github", ("--hours", "30"), 6, 4),
        ("github", ("--hours", "5"), 5, 4),
        ("github", ("--build-runner", "big"), 12, 4),
        ("github", ("--build-runner", "big", "--hours", "30"), 30, 4),
        ("github", ("--test-runner", "kvm", "--hours", "30"), 6, 4),
        ("gitlab", (), 12, 4),
        ("gitlab", ("--hours", "3"), 3, 3),  # hosted runners of GitLab.com
        ("jenkins", (), 12, 4),
        ("jenkins", ("--hours", "30"), 30, 4),
    ],
)
def test_the_limits_of_the_jobs(
    service: str, arguments: tuple[str, ...], build: int, test: int
) -> None:
    found = limits(service, "reference", *arguments)
    assert found == {
        "build-reference-qemux86-64": (60 * build, 60 * build - 20),
        "test-reference-qemux86-64": (60 * test, 60 * test - 20),
    }


def test_a_matrix() -> None:
    data = yaml.safe_load(made("gitlab", *CALLS["matrix"]))
    builds = sorted(name for name in data if name.startswith("build-"))
    assert builds == [
        f"build-docker-host-{release}-{machine}"
        for release in ("scarthgap", "wrynose") for machine in ("qemuarm64", "qemux86-64")
    ]  # fmt: skip
    for name in builds:
        test = data[name.replace("build-", "test-", 1)]
        assert test["needs"] == [{"job": name, "artifacts": True}]
        assert f"bundles/{name.removeprefix('build-')}.tar.zst" in data[name]["script"][-2]
        assert data[name]["cache"]["key"].endswith(name.removeprefix("build-docker-host-"))


def test_each_test_job_gets_the_bundle_of_its_build() -> None:
    jobs: dict[str, Any] = yaml.safe_load(made("github", *CALLS["several"]))["jobs"]
    for name, job in jobs.items():
        if not name.startswith("test-"):
            continue
        (build,) = job["needs"]
        steps = jobs[build]["steps"]
        up = next(step for step in steps if "upload-artifact" in step.get("uses", ""))
        down = next(step for step in job["steps"] if "download-artifact" in step.get("uses", ""))
        assert down["with"]["name"] == up["with"]["name"]
        assert "bundles" in up["with"]["path"].split()


def test_runners_containers_and_the_store() -> None:
    data = yaml.safe_load(made("gitlab", *CALLS["container"]))
    build, test = data["build-quick-scarthgap-qemux86-64"], data["test-quick-scarthgap-qemux86-64"]
    assert data["default"]["image"] == "registry.example.com/yocto:1"
    assert (build["tags"], build["timeout"], "tags" in test) == (["big"], "30h", False)
    assert "cache" not in build
    exported = next(line for line in build["script"] if "DL_DIR" in line)
    folder = subprocess.run(
        ["bash", "-c", f'{exported}; printf %s "$SSTATE_DIR"'],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert folder.stdout == "/srv/my yocto/sstate-cache"
    asked = build["script"][build["script"].index(exported) - 1]
    away = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, check=False)
    assert away.returncode == 3
    assert away.stderr == "the store /srv/my yocto is not there: is it mounted?\n"
    mounted = asked.replace("/srv/my yocto", str(Path(__file__).parent))
    assert subprocess.run(["bash", "-c", mounted], check=False).returncode == 0
    assert test["script"][-1].endswith(" --suite base,docker")
    jobs = yaml.safe_load(made("github", *CALLS["container"]))["jobs"]
    assert jobs["test-quick-scarthgap-qemux86-64"]["container"]["options"] == "--device /dev/kvm"
    assert "options" not in jobs["build-quick-scarthgap-qemux86-64"]["container"]


def test_the_default_setup_brings_what_the_job_needs() -> None:
    """By apt, in a bare container of Debian; whoever has a set-up of their own sees to it."""
    found = scripts("gitlab", made("gitlab", *CALLS["matrix"]))
    assert all("scripts/host-setup layers" in one for name, one in found.items() if "build" in name)
    for name, one in found.items():
        arm = name.startswith("test-") and name.endswith("qemuarm64")
        assert ("scripts/host-setup arm64" in one) == arm
    reference = scripts("gitlab", made("gitlab", "reference"))
    assert "layers" not in reference["build-reference-qemux86-64"]
    for one in scripts("gitlab", made("gitlab", *CALLS["setup"])).values():
        assert "host-setup" not in one


def test_no_push_is_built_twice() -> None:
    """A push to the branch of a merge request is an event of both: hours of bitbake, two times."""
    rules = yaml.safe_load(made("gitlab", "quick"))["workflow"]["rules"]
    assert rules[0] == {"if": '$CI_PIPELINE_SOURCE == "merge_request_event"', "when": "never"}
    assert rules[1:] == [{"when": "always"}]
    data = yaml.safe_load(made("github", "quick"))
    assert data[True]["push"] is None, "each branch, that of the pins, too"
    of_others = "github.event.pull_request.head.repo.full_name != github.repository"
    for name, job in data["jobs"].items():
        if name == "update-pins":
            assert job["if"] == "github.event_name == 'schedule'"
        else:
            assert f"(github.event_name != 'pull_request' || {of_others})" in job["if"]


def test_the_pins_are_pushed_with_a_token_that_starts_a_pipeline() -> None:
    """What is pushed with GitHub's own token of a job starts none."""
    job = yaml.safe_load(made("github", "quick"))["jobs"]["update-pins"]
    token = "${{ secrets.YOCTOVIRT_PUSH_TOKEN || github.token }}"
    assert job["env"]["GH_TOKEN"] == token
    assert job["steps"][0]["with"]["token"] == token


# Jenkins: the sections that the documentation of the declarative pipeline allows, and where.
_SECTIONS = {
    "": {"pipeline"},
    "pipeline": {"agent", "options", "triggers", "stages", "environment", "post", "parameters",
                 "tools", "libraries"},
    "stages": {"stage"},
    "parallel": {"stage"},
    "stage": {"agent", "options", "environment", "when", "steps", "stages", "parallel", "post",
              "matrix", "tools", "input", "failFast"},
    "post": {"always", "changed", "fixed", "regression", "aborted", "failure", "success",
             "unstable", "unsuccessful", "cleanup"},
}  # fmt: skip


def jenkins_problems(text: str) -> list[str]:
    """Return what is not declarative syntax: sections in wrong places, braces, missing ones."""
    text = re.sub(r"'''.*?'''", "''", text, flags=re.DOTALL)
    text = re.sub(r'"(?:[^"\\]|\\.)*"', '""', text)
    text = re.sub(r"'((?:[^'\\]|\\.)*)'", lambda m: "'" + re.sub(r"[{}]", "", m[1]) + "'", text)
    text = re.sub(r"(?m)^//.*$", "", text)
    problems, stack, seen = [], [""], [set[str]()]
    for match in re.finditer(
        r"([A-Za-z]+)(?:\([^)]*\))?\s*\{|([A-Za-z]+) any\b|(\w+) none|\}", text
    ):
        name = match[1] or match[2] or match[3]
        if match[0] == "}":
            if len(stack) == 1:
                return ["a brace too many"]
            done, inside = stack.pop(), seen.pop()
            if done == "pipeline":
                problems += [f"no {one}" for one in ("agent", "stages") if one not in inside]
            if done == "stage" and not inside & {"steps", "parallel", "stages", "matrix"}:
                problems.append("a stage without steps")
            if done == "stage" and "agent" not in inside and "steps" in inside:
                problems.append("a stage with steps and no agent")
            continue
        allowed = _SECTIONS.get(stack[-1])
        if allowed is not None and name not in allowed:
            problems.append(f"{name} in {stack[-1] or 'the file'}")
        seen[-1].add(str(name))
        if match[1]:
            stack.append(match[1])
            seen.append(set())
    return problems + [f"{name} is not closed" for name in stack[1:]]


@pytest.mark.parametrize("call", CALLS)
def test_a_declarative_jenkinsfile(call: str) -> None:
    text = made("jenkins", *CALLS[call])
    assert jenkins_problems(text) == []
    assert jenkins_problems(text.replace("  agent none\n", "", 1)) == ["no agent"]
    assert "steps in stages" in jenkins_problems(text.replace("stages {", "stages { steps { }", 1))
    assert jenkins_problems(text.rstrip().removesuffix("}")) == ["pipeline is not closed"]
    names = re.findall(r"stage\('([^']+)'\)", text)
    assert len(set(names)) == len(names)
    for name in re.findall(r"unstash '([^']+)'", text):
        assert f"stash name: '{name}'" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("controler",), "there is no role 'controler'"),
        (("quick", "--release", "dunfell"), "made for release dunfell"),
        (("reference", "--machine", "qemuarm64"), "made for machine qemuarm64"),
        (("quick", "quick"), "is named twice"),
        (("quick", "--suite", "dockr"), "there is no smoke suite 'dockr'"),
        (("quick", "-o", "/nowhere/x"), "there is no folder /nowhere"),
        (("quick", "-o", "/dev/null"), "/dev/null is no regular file"),
        (("quick", "--store", "cache/yocto"), "--store cache/yocto: a folder of the build runners"),
    ],
)
def test_calls_that_make_no_sense(arguments: tuple[str, ...], words: str) -> None:
    with pytest.raises(UsageError, match=re.escape(words)):
        CliRunner().invoke(cli, ["pipeline", "gitlab", *arguments], catch_exceptions=False)
    assert "docker" in all_suites()


def test_it_is_written_whole(tmp_path: Path) -> None:
    path = tmp_path / "Jenkinsfile"
    done = CliRunner().invoke(cli, ["pipeline", "jenkins", "-o", str(path)])
    assert "2 jobs; jenkins looks for Jenkinsfile" in done.output
    without_head = re.sub(r"^// Written by.*\n", "", path.read_text())
    assert without_head == re.sub(r"^// Written by.*\n", "", made("jenkins"))
