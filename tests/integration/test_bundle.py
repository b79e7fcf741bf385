"""Bundles that are bad, and faults while they are made and unpacked; test_pipeline boots one."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import Yoctovirt, interrupt, wait_for

pytestmark = pytest.mark.node


@pytest.fixture(scope="module")
def bundle(reference: Yoctovirt, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "reference.tar.zst"
    done = reference.run("bundle", "reference", "-o", str(path))
    assert done.returncode == 0, done.stderr
    said = subprocess.run(["sha256sum", path], check=True, capture_output=True, text=True)
    assert f"sha256: {said.stdout.split()[0]}\n" in done.stdout
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    return path


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Yoctovirt]:
    """Return the workspace of a test machine: no cache, no build, no role file but ours."""
    yv = Yoctovirt(tmp_path / "elsewhere", {"YOCTOVIRT_CACHE_DIR": str(tmp_path / "no-cache")})
    yield yv
    yv.assert_nothing_left()


def damaged(bundle: Path, path: Path, at: float) -> Path:
    data = bytearray(bundle.read_bytes())
    data[int(len(data) * at)] ^= 0x40
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("fault", ["cut", "flipped"])
def test_a_bad_bundle_is_refused(
    bundle: Path, elsewhere: Yoctovirt, tmp_path: Path, fault: str
) -> None:
    bad = tmp_path / "bad.tar.zst"
    if fault == "cut":
        bad.write_bytes(bundle.read_bytes()[:-1_000_000])
    else:
        damaged(bundle, bad, 0.6)
    done = elsewhere.run("ci", "--from", str(bad))
    assert done.returncode == 3, done.stdout + done.stderr
    assert (
        f"error: the bundle {bad} was {'cut off' if fault == 'cut' else 'changed'}" in done.stderr
    )
    run = elsewhere.last_record()
    assert [(phase["name"], phase["status"]) for phase in run["phases"]] == [
        ("unpack", "error"), ("boot", "not run"), ("smoke", "not run"),
    ]  # fmt: skip
    assert not list((elsewhere.workspace / "bundles").glob("*/"))
    assert elsewhere.run("smoke", "--from", str(bad)).returncode == 3
    assert elsewhere.run("bundle", "--check", str(bad)).returncode == 3


def test_a_full_disk_under_a_bundle(reference: Yoctovirt, bundle: Path, tmp_path: Path) -> None:
    """Both ways: the file cannot be written, and it cannot be unpacked."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount")
    small = tmp_path / "small"
    small.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=100m", "tmpfs", str(small)], capture_output=True
    )
    if done.returncode:
        pytest.skip("mount is not allowed here")
    try:
        out = reference.run("bundle", "reference", "-o", str(small / "x"))
        assert out.returncode == 3, out.stdout + out.stderr
        assert f"the disk is full: could not write {small}/x" in out.stderr
        assert list(small.iterdir()) == []
        there = Yoctovirt(small / "workspace")
        out = there.run("ci", "--from", str(bundle))
        assert out.returncode == 3, out.stdout + out.stderr
        assert "the disk is full: reference.tar.zst needs" in out.stderr
        assert not list((small / "workspace" / "bundles").glob("*/"))
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_ctrl_c_while_packing_and_unpacking(
    reference: Yoctovirt, bundle: Path, elsewhere: Yoctovirt, tmp_path: Path
) -> None:
    target = tmp_path / "out.tar.zst"
    process = reference.start("bundle", "reference", "-o", str(target))
    wait_for(lambda: any(tmp_path.glob(".out.tar.zst.*.tmp")), 60, "the file is written")
    time.sleep(0.5)
    interrupt(process)
    assert not list(tmp_path.glob("*out.tar.zst*"))
    process = elsewhere.start("ci", "--from", str(bundle))
    unpacked = elsewhere.workspace / "bundles"
    wait_for(lambda: any(unpacked.glob(".*.tmp/deploy")), 60, "it is unpacked")
    interrupt(process)
    assert not list((elsewhere.workspace / "bundles").glob("*/"))
    run = json.loads(elsewhere.records()[-1].read_text())
    assert run["result"] == "interrupted"
    assert run["phases"][0]["status"] == "interrupted"


def test_calls_that_make_no_sense(bundle: Path, elsewhere: Yoctovirt) -> None:
    given = ("--from", str(bundle))
    for arguments, words in (
        (("ci", "quick", *given), "no bundle is of role quick; they are of: reference"),
        (("ci", *given, *given), "are both of role reference"),
        (("ci", *given, "--until", "build"), "--from builds nothing"),
        (("ci", *given, "--force"), "--from builds nothing"),
        (("boot", "quick", *given), "holds an image of role reference, not of quick"),
        (("boot", *given, "--deploy-dir", "/tmp"), "exclude each other"),
        (("ci", "--from", "/etc/hostname"), "is no bundle"),
        (("boot", "--from", "/nowhere"), "is no bundle: No such file"),
        (("bundle", "reference"), "name the file"),
    ):
        done = elsewhere.run(*arguments)
        assert done.returncode == 2, (arguments, done.stdout + done.stderr)
        assert words in done.stderr, arguments
    assert elsewhere.records() == []


def test_a_copied_folder_is_held_to_its_checksums(
    reference: Yoctovirt, elsewhere: Yoctovirt, tmp_path: Path
) -> None:
    deploy = (reference.workspace / "build-reference" / "deploy").resolve()
    copy = tmp_path / "copied"
    copy.mkdir()
    for path in deploy.iterdir():
        (copy / path.name).symlink_to(path)
    initrd = copy / "initrd"
    data = bytearray(initrd.read_bytes())
    data[len(data) // 2] ^= 1
    initrd.unlink()
    initrd.write_bytes(data)
    done = elsewhere.run("boot", "--deploy-dir", str(copy))
    assert done.returncode == 3, done.stdout + done.stderr
    assert f"{initrd} does not fit its checksum in {copy}/SHA256SUMS" in done.stderr
