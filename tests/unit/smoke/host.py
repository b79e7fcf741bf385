"""This host's own shell in the place of a node."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from yoctovirt.boot.results import CommandResult


class Host:
    """What checks and their aids ask of a node, done here; OS_* of whoever tests stay outside."""

    name = "host"
    timeout_scale = 1.0

    def run(self, command: str, timeout: float = 60.0, via: str = "ssh") -> CommandResult:
        environment = {key: text for key, text in os.environ.items() if not key.startswith("OS_")}
        done = subprocess.run(
            ["sh", "-c", command], capture_output=True, text=True, timeout=timeout, env=environment
        )
        return CommandResult(command, done.returncode, done.stdout + done.stderr, 0.0, via)

    def check(self, command: str) -> str:
        done = self.run(command)
        assert done.ok, done.output
        return done.output

    def put(self, content: bytes, path: str) -> None:
        Path(path).write_bytes(content)
