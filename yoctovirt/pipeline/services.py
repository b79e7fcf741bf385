"""The jobs in the form of a CI service: .gitlab-ci.yml, a GitHub workflow, a Jenkinsfile."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from typing import Any

from yoctovirt.pipeline.jobs import (
    BRANCH,
    BUNDLES,
    CACHES,
    LOCKS,
    WORKSPACE,
    Choices,
    Job,
    pins_job,
)

#: Where each service looks for its file.
FILES = {
    "gitlab": ".gitlab-ci.yml",
    "github": ".github/workflows/yoctovirt.yml",
    "jenkins": "Jenkinsfile",
}
_HEAD = """\
Written by: {call}
Build, boot and test jobs for each role, release and machine; docs/ci.md says what they need
(runners, disk, sizes of caches and artifacts) and how to change them."""
_TITLE = "Pins: to where their branches stand"


def pipeline_text(service: str, jobs: Sequence[Job], choices: Choices, call: str) -> str:
    """Return the file of *service* with *jobs*; *call* is the command that wrote it."""
    head = _HEAD.format(call=call)
    if service == "jenkins":
        return (
            "\n".join(f"// {line}" for line in head.splitlines()) + "\n" + _jenkins(jobs, choices)
        )
    data = _gitlab(jobs, choices) if service == "gitlab" else _github(jobs, choices)
    return "\n".join(f"# {line}" for line in head.splitlines()) + "\n\n" + _yaml(data)


def _yaml(data: dict[str, Any]) -> str:
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        style = "|" if "\n" in value else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    parts = [
        yaml.dump({key: value}, Dumper=Dumper, sort_keys=False, width=1000, allow_unicode=True)
        for key, value in data.items()
    ]
    # 'on' is a string for GitHub, and a truth for YAML 1.1: both understand it unquoted.
    return "\n".join(parts).replace("'on':", "on:", 1)


# GitLab -------------------------------------------------------------------------


def _gitlab(jobs: Sequence[Job], choices: Choices) -> dict[str, Any]:
    scheduled = '$CI_PIPELINE_SOURCE == "schedule" && $YOCTOVIRT_PINS == "update"'
    found: dict[str, Any] = {
        "stages": ["build", "test", "pins"],
        # The pipeline of the branch is the merge request's: without this GitLab starts both.
        "workflow": {
            "rules": [
                {"if": '$CI_PIPELINE_SOURCE == "merge_request_event"', "when": "never"},
                {"when": "always"},
            ]
        },
        "variables": {"YOCTOVIRT_WORKSPACE": f"$CI_PROJECT_DIR/{WORKSPACE}"},
        "default": {
            **({"image": choices.image} if choices.image else {}),
            # A runner that dies is no failure of a build.
            "retry": {"max": 1, "when": ["runner_system_failure"]},
            "interruptible": True,
        },
    }
    for job in jobs:
        entry: dict[str, Any] = {"stage": job.kind}
        runner = choices.build_runner if job.kind == "build" else choices.test_runner
        if runner:
            entry["tags"] = [runner]
        entry["rules"] = [{"if": scheduled, "when": "never"}, {"when": "on_success"}]
        entry["timeout"] = f"{choices.hours_of(job.kind)}h"
        entry["needs"] = [{"job": job.needs, "artifacts": True}] if job.needs else []
        if job.kind == "build" and not choices.store:
            entry["cache"] = {
                "key": job.cache_key,
                "paths": [f"{WORKSPACE}/{name}/" for name in CACHES],
                "when": "always",
            }
        entry["script"] = list(job.script)
        entry["artifacts"] = {
            "when": "always",
            "paths": [f"{path}/" for path in job.artifacts],
            "expire_in": "2 weeks",
            "reports": {"junit": [f"{WORKSPACE}/runs/*/junit.xml"]},
        }
        found[job.name] = entry
    publish = (
        f"git push --force -o merge_request.create -o merge_request.title={shlex.quote(_TITLE)} "
        '-o merge_request.target="$CI_DEFAULT_BRANCH" '
        # CI_PROJECT_URL has port and folder of a server of one's own, CI_SERVER_HOST has not.
        '"${CI_SERVER_PROTOCOL}://oauth2:${YOCTOVIRT_PUSH_TOKEN}@${CI_PROJECT_URL#*://}.git" '
        f"{BRANCH}",
    )
    pins = pins_job(choices, publish)
    found[pins.name] = {
        "stage": "pins",
        "rules": [{"if": scheduled}],
        "needs": [],
        "variables": {"GIT_DEPTH": "0"},
        "script": list(pins.script),
    }
    return found


# GitHub -------------------------------------------------------------------------

#: Each push is built once: a pull request only where its push was to another repository.
_ONCE = (
    "github.event_name != 'schedule' && (github.event_name != 'pull_request' || "
    "github.event.pull_request.head.repo.full_name != github.repository)"
)
#: What the token of a job pushes starts no workflow: its pins would be merged untested.
_PUSHER = "${{ secrets.YOCTOVIRT_PUSH_TOKEN || github.token }}"


def _github(jobs: Sequence[Job], choices: Choices) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": "yoctovirt",
        "on": {
            "push": None,
            "pull_request": None,
            "workflow_dispatch": None,
            "schedule": [{"cron": choices.schedule}],
        },
        "permissions": {"contents": "read"},
        "defaults": {"run": {"shell": "bash"}},
        "env": {"YOCTOVIRT_WORKSPACE": f"${{{{ github.workspace }}}}/{WORKSPACE}"},
    }
    entries = {job.name: _github_job(job, choices) for job in jobs}
    pins = pins_job(
        choices,
        (
            f"git push --force origin {BRANCH}",
            f"gh pr view {BRANCH} --json state --jq .state | grep -qx OPEN || "
            f"gh pr create --head {BRANCH} --title {shlex.quote(_TITLE)} --body 'By yoctovirt.'",
        ),
    )
    entries[pins.name] = {
        "if": "github.event_name == 'schedule'",
        "runs-on": choices.test_runner or "ubuntu-24.04",
        "timeout-minutes": 60,
        "permissions": {"contents": "write", "pull-requests": "write"},
        "env": {"GH_TOKEN": _PUSHER},
        "steps": [
            {"uses": "actions/checkout@v4", "with": {"fetch-depth": 0, "token": _PUSHER}},
            _run("Update the pins", pins),
        ],
    }
    return {**found, "jobs": entries}


def _run(title: str, job: Job) -> dict[str, Any]:
    return {"name": title, "run": "\n".join(job.script) + "\n"}


def _github_job(job: Job, choices: Choices) -> dict[str, Any]:
    runner = choices.build_runner if job.kind == "build" else choices.test_runner
    entry: dict[str, Any] = {
        "if": _ONCE,
        "runs-on": runner or "ubuntu-24.04",
        # Hosted runners end a job after six hours.
        "timeout-minutes": 60 * choices.hours_of(job.kind) if runner else 360,
    }
    if job.needs:
        entry["needs"] = [job.needs]
    if choices.image:
        entry["container"] = {"image": choices.image}
        if choices.kvm and job.kind == "test":
            entry["container"]["options"] = "--device /dev/kvm"
    steps: list[dict[str, Any]] = [{"uses": "actions/checkout@v4"}]
    if job.kind == "build" and not choices.store:
        steps.append(
            {
                "uses": "actions/cache@v4",
                "with": {
                    "path": "\n".join(f"{WORKSPACE}/{name}" for name in CACHES) + "\n",
                    "key": f"{job.cache_key}-${{{{ github.run_id }}}}",
                    "restore-keys": f"{job.cache_key}-",
                },
            }
        )
    if job.needs:
        steps.append({"uses": "actions/download-artifact@v4", "with": {"name": job.needs}})
    steps.append(_run(f"{job.kind.capitalize()} {job.name.partition('-')[2]}", job))
    steps.append(
        {
            "if": "always()",
            "uses": "actions/upload-artifact@v4",
            "with": {
                "name": job.name,
                "path": "\n".join(job.artifacts) + "\n",
                "retention-days": 14,
                "compression-level": 0 if job.kind == "build" else 6,
            },
        }
    )
    entry["steps"] = steps
    return entry


# Jenkins ------------------------------------------------------------------------


def _jenkins(jobs: Sequence[Job], choices: Choices) -> str:
    lines = [
        "pipeline {",
        "  agent none",
        "  options {",
        "    skipDefaultCheckout()",
        "    buildDiscarder(logRotator(numToKeepStr: '20', artifactNumToKeepStr: '5'))",
        "  }",
        "  triggers {",
        f"    cron({_groovy(choices.schedule)})",
        "  }",
        "  stages {",
    ]
    for kind, title in (("build", "Build"), ("test", "Test")):
        lines += [f"    stage('{title}') {{", "      when { not { triggeredBy 'TimerTrigger' } }",
                  "      parallel {"]  # fmt: skip
        for job in jobs:
            if job.kind == kind:
                lines += [f"        {line}" for line in _jenkins_stage(job, choices)]
        lines += ["      }", "    }"]
    pins = pins_job(choices, (f"git push --force origin {BRANCH}",))
    lines += [f"    {line}" for line in _jenkins_stage(pins, choices)]
    return "\n".join([*lines, "  }", "}"]) + "\n"


def _jenkins_stage(job: Job, choices: Choices) -> list[str]:
    runner = choices.build_runner if job.kind == "build" else choices.test_runner
    hours = choices.hours_of(job.kind)
    lines = [
        f"stage({_groovy(job.name)}) {{",
        *(["  when { triggeredBy 'TimerTrigger' }"] if job.kind == "pins" else []),
        *(f"  {line}" for line in _agent(runner, choices, job)),
        f"  options {{ timeout(time: {hours}, unit: 'HOURS') }}",
        "  environment {",
        f'    YOCTOVIRT_WORKSPACE = "${{env.WORKSPACE}}/{WORKSPACE}"',
        "  }",
        "  steps {",
        # The folder of an agent stays from build to build, and so do the caches in it.
        f"    sh 'rm -rf {WORKSPACE}/runs {BUNDLES} {LOCKS}'",
        "    checkout scm",
        *([f"    unstash {_groovy(job.needs)}"] if job.needs else []),
        "    sh '''#!/bin/bash -e",
        *(f"    {_in_triple_quotes(line)}" for line in job.script),
        "    '''",
        *([f"    stash name: {_groovy(job.name)}, includes: 'bundles/**'"]
          if job.kind == "build" else []),
        "  }",
    ]  # fmt: skip
    if job.kind != "pins":
        kept = ",".join(f"{path}/**" for path in job.artifacts)
        lines += [
            "  post {",
            "    always {",
            f"      junit allowEmptyResults: true, testResults: '{WORKSPACE}/runs/*/junit.xml'",
            f"      archiveArtifacts allowEmptyArchive: true, artifacts: {_groovy(kept)}",
            "    }",
            "  }",
        ]
    return [*lines, "}"]


def _agent(runner: str | None, choices: Choices, job: Job) -> list[str]:
    label = f"label {_groovy(runner)}" if runner else ""
    if choices.image is None:
        return [f"agent {{ {label} }}" if runner else "agent any"]
    device = "--device /dev/kvm" if choices.kvm and job.kind == "test" else ""
    args = [f"args {_groovy(device)}"] if device else []
    inner = "; ".join([f"image {_groovy(choices.image)}", *([label] if label else []), *args])
    return [f"agent {{ docker {{ {inner} }} }}"]


def _groovy(text: str) -> str:
    """Return *text* as a string of Groovy in which nothing is replaced."""
    return "'" + json.dumps(text)[1:-1].replace('\\"', '"').replace("'", "\\'") + "'"


def _in_triple_quotes(line: str) -> str:
    """Return *line* of a script as it stands in a string of Groovy of several lines."""
    return line.replace("\\", "\\\\").replace("'''", "\\'\\'\\'")
