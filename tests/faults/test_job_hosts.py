"""Faults of the machine that a CI job runs on: no layer host, a cache that takes nothing."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import Yoctovirt
from tests.layers.conftest import BUILD_USER, why_no_builder

pytestmark = pytest.mark.faults


def test_the_hosts_of_the_layers_cannot_be_reached(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """In a network namespace without any interface: each place is named, nothing is half done."""
    reason = why_no_builder()
    if reason:
        pytest.skip(reason)
    if subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode:
        pytest.skip("a network namespace cannot be made here")
    yv = Yoctovirt(
        tmp_path_factory.mktemp("no-hosts") / "workspace",
        {"YOCTOVIRT_LAYER_MIRRORS": "", "YOCTOVIRT_BUILD_USER": BUILD_USER},
    )
    begun = time.monotonic()
    ci = yv.argv("ci", "quick", "--until", "build", "--retry", "1", "--retry-wait", "0.1")
    done = subprocess.run(
        ["unshare", "-n", *ci, "--skip-preflight"],
        env=yv.env, capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == 3, done.stdout + done.stderr
    assert "is found nowhere; tried:\n  https://git.yoctoproject.org/poky: " in done.stderr
    assert "Could not resolve host: git.yoctoproject.org" in done.stderr
    assert "set YOCTOVIRT_LAYER_MIRRORS" in done.stderr
    run = yv.last_record()
    assert [(phase["name"], phase["status"]) for phase in run["phases"]] == [("build", "error")]
    assert [one["attempt"] for one in run["retries"]] == [1]
    assert (run["path"] / "junit.xml").is_file()
    assert not list((yv.workspace / "layers").glob("*/*/.git")), "no half checkout"
    yv.assert_nothing_left()
    print(f"told after {time.monotonic() - begun:.0f} s")


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("only root may mount")
    folder = tmp_path / "cache"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mount is not allowed here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("options", [(), ("--skip-preflight",)])
def test_a_cache_of_images_that_is_read_only(
    tmp_path: Path, read_only: Path, options: tuple[str, ...]
) -> None:
    """Before the build, and where nobody has looked: the folder, and that it is read-only."""
    yv = Yoctovirt(tmp_path / "workspace", {"YOCTOVIRT_CACHE_DIR": str(read_only)})
    done = yv.run("ci", "reference", *options)
    assert done.returncode == 3, done.stdout + done.stderr
    assert str(read_only) in done.stderr
    assert "Read-only file system" in done.stderr
    run = yv.last_record()
    assert [(phase["name"], phase["status"]) for phase in run["phases"]] == [
        ("build", "error"), ("boot", "not run"), ("smoke", "not run"),
    ]  # fmt: skip
    yv.assert_nothing_left()
