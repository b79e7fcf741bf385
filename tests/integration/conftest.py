"""Real nodes for the integration tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.runschema import run_problems

#: Factor for waiting limits: these tests share their machine with others.
PATIENCE = 4.0


def wait_for(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """Return what *condition* gives as soon as it is true; fail after *seconds*."""
    end = time.monotonic() + seconds * PATIENCE
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    pytest.fail(f"not within {seconds * PATIENCE:.0f} s: {what}")


class Yoctovirt:
    """The command line, called as a user calls it, in a workspace of its own."""

    def __init__(self, workspace: Path, env: dict[str, str] | None = None) -> None:
        self.workspace = workspace
        self.env = {**os.environ, **(env or {})}

    def argv(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "yoctovirt", "--workspace", str(self.workspace), *arguments]

    def run(self, *arguments: str, timeout: float = 600) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.argv(*arguments), env=self.env, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a call in a session of its own: a signal to it hits nothing else."""
        return subprocess.Popen(
            self.argv(*arguments), env=self.env, stdin=subprocess.DEVNULL, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    def records(self) -> list[Path]:
        return sorted((self.workspace / "runs").glob("*/run.json"))

    def last_record(self) -> dict[str, Any]:
        newest = max(self.records(), key=lambda path: path.stat().st_mtime_ns)
        data: dict[str, Any] = json.loads(newest.read_text())
        assert run_problems(data) == []
        return {**data, "path": newest.parent}

    def has_verdicts(self) -> bool:
        """Return whether the first verdict stands in a record."""
        return any(path.stat().st_size for path in self.workspace.glob("runs/*/checks.jsonl"))

    def processes(self) -> list[str]:
        """Return the command lines of all processes that have to do with the workspace."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                cwd = str((entry / "cwd").readlink())
            except (OSError, UnicodeDecodeError):
                continue
            inside = cwd.startswith(str(self.workspace / "nodes")) or str(self.workspace) in line
            if inside and entry.name != str(os.getpid()):
                found.append(f"{entry.name} {line}")
        return found

    def assert_nothing_left(self) -> None:
        """No process, no folder of a node, nothing mounted."""
        wait_for(lambda: not self.processes(), 5, "all processes gone")
        nodes = self.workspace / "nodes"
        left = [path.name for path in nodes.iterdir() if path.is_dir()] if nodes.is_dir() else []
        assert left == [], f"folders of nodes left behind: {left}"
        assert str(self.workspace) not in Path("/proc/self/mounts").read_text()


def interrupt(process: subprocess.Popen[str], seconds: float = 40) -> str:
    """Press Ctrl-C and return the output; the exit status must be 130."""
    process.send_signal(signal.SIGINT)
    try:
        output, _ = process.communicate(timeout=seconds * PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    assert process.returncode == 130, f"exit status {process.returncode}:\n{output}"
    return output


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Yoctovirt:
    """Return a workspace in which the role reference is built."""
    yv = Yoctovirt(tmp_path_factory.mktemp("reference"))
    done = yv.run("build", "reference", timeout=1500)
    assert done.returncode == 0, done.stderr
    return yv


@pytest.fixture(scope="session")
def node(reference: Yoctovirt) -> Iterator[Yoctovirt]:
    """Return that workspace with a node ``shared`` running in it."""
    done = reference.run("boot", "reference", "--name", "shared", "--detach")
    assert done.returncode == 0, done.stdout + done.stderr
    yield reference
    reference.run("stop", "--all", "--now")


@pytest.fixture
def fresh(tmp_path: Path, reference: Yoctovirt) -> Iterator[Yoctovirt]:
    """Return a new workspace, the image taken from the cache; nothing may be left in it."""
    yv = Yoctovirt(tmp_path / "workspace")
    done = yv.run("build", "reference")
    assert done.returncode == 0, done.stderr
    yield yv
    yv.assert_nothing_left()
