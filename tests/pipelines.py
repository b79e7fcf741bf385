"""Pipeline files read back as their services read them: the script of each job."""

from __future__ import annotations

import re
from typing import Any

import yaml


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
