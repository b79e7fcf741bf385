"""Real kas, bitbake and runqemu on real layers.

The layers come from ``YOCTOVIRT_LAYER_MIRRORS``, or from their public URLs where those
can be reached; otherwise these tests are skipped with that reason (and ``make
test-layers``, which ran nothing then, fails).
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.integration.conftest import Yoctovirt
from yoctovirt.config.layers import mirror_list

#: User that bitbake runs as where the tests run as root.
BUILD_USER = os.environ.get("YOCTOVIRT_BUILD_USER", "yoctovirt-build")


def why_no_layers() -> str | None:
    """Return why the layers cannot be had, None where they can."""
    if mirror_list():
        return None
    probe = ["git", "ls-remote", "--exit-code", "https://git.yoctoproject.org/poky", "scarthgap"]
    env = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
    try:
        done = subprocess.run(
            probe, env=env, capture_output=True, text=True, timeout=60, check=False
        )
    except subprocess.TimeoutExpired:
        return "the public layer hosts do not answer, and YOCTOVIRT_LAYER_MIRRORS is not set"
    if done.returncode:
        return (
            "the public layer hosts cannot be reached, and YOCTOVIRT_LAYER_MIRRORS is not set: "
            + done.stderr.strip().splitlines()[-1]
        )
    return None


def why_no_builder() -> str | None:
    if os.geteuid() == 0:
        try:
            pwd.getpwnam(BUILD_USER)
        except KeyError:
            return f"as root these tests need the user {BUILD_USER} (scripts/host-setup layers)"
    return None


@pytest.fixture(scope="session", autouse=True)
def needed() -> None:
    reason = why_no_layers() or why_no_builder()
    if reason:
        pytest.skip(reason)


@dataclass
class Places:
    """Workspaces that the build user may enter, removed at the end."""

    root: Path
    made: list[Yoctovirt] = field(default_factory=list)

    def workspace(self, name: str, **env: str) -> Yoctovirt:
        yv = Yoctovirt(self.root / name, {"YOCTOVIRT_BUILD_USER": BUILD_USER, **env})
        self.made.append(yv)
        return yv


@pytest.fixture(scope="session")
def places() -> Iterator[Places]:
    root = Path(tempfile.mkdtemp(prefix="yoctovirt-layers-", dir="/var/tmp"))
    root.chmod(0o755)
    made = Places(root)
    yield made
    for yv in made.made:
        if yv.workspace.exists():
            yv.run("stop", "--all", "--now")
            yv.assert_nothing_left()
    shutil.rmtree(root)


@pytest.fixture(scope="session")
def quick(places: Places) -> Yoctovirt:
    """Return a workspace in which the role quick is built from nothing."""
    yv = places.workspace("first")
    done = yv.run("build", "quick", timeout=1800)
    print(done.stderr, file=sys.stderr)
    assert done.returncode == 0, done.stderr
    return yv
