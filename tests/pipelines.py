"""Pipeline files read back as their services read them; scripts of jobs run as they run them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.gitrepos import repository

ROOT = Path(__file__).parents[1]
#: Where the tool is installed already, as in a container of a team.
SETUP = f'export PATH="{Path(sys.executable).parent}:$PATH"'


def scripts(service: str, text: str) -> dict[str, str]:
    """Return the script of each job, as the service hands it to bash."""
    if service == "gitlab":
        return {
            name: "\n".join(job["script"])
            for name, job in yaml.safe_load(text).items()
            if isinstance(job, dict) and "script" in job
        }
    if service == "github":
        jobs: dict[str, Any] = yaml.safe_load(text)["jobs"]
        return {
            name: "\n".join(step["run"] for step in job["steps"] if "run" in step)
            for name, job in jobs.items()
        }
    found = {}
    for stage in re.split(r"(?m)^ *stage\(", text)[1:]:
        script = re.search(r"sh '''#!/bin/bash -e\n(.*?)\n *'''$", stage, re.DOTALL | re.MULTILINE)
        if script:
            name = re.match(r"'([^']+)'", stage)
            assert name
            lines = [line.strip() for line in script[1].splitlines()]
            found[name[1]] = "\n".join(lines).replace("\\'", "'").replace("\\\\", "\\")
    return found


def checkout(folder: Path) -> Path:
    """Make a repository of what is checked out here, as it is now, and return it."""
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "-co", "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=True,
    )  # fmt: skip
    for name in listed.stdout.decode().split("\0"):
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    repository(folder)
    return folder


def run(script: str, folder: Path, *, within: Sequence[str] = (), **env: str) -> str:
    """Run *script* as GitLab and GitHub do, *within* a command; return what it printed."""
    env = {**os.environ, "CI": "true", "YOCTOVIRT_WORKSPACE": f"{folder}/workspace", **env}
    done = subprocess.run(
        [*within, "bash", "-eo", "pipefail", "-c", script], cwd=folder, env=env, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    print(done.stdout)  # the log, as the service would show it
    assert done.returncode == 0, f"exit code {done.returncode}"
    return done.stdout


def pipeline(service: str, *options: str, setup: Sequence[str] = (SETUP,)) -> str:
    """Return the pipeline file of *service*; no *setup*: its default."""
    argv = [sys.executable, "-m", "yoctovirt", "pipeline", service, *options]
    argv += [word for line in setup for word in ("--setup", line)]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout
