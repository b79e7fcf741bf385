"""DL_DIR and SSTATE_DIR on volumes of their own, as CI services have them: full, or read-only."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.integration.conftest import Yoctovirt, wait_for
from tests.layers.conftest import Places
from tests.mounts import mounts, volume

pytestmark = [pytest.mark.layers, pytest.mark.timeout(2400), mounts]

FOLDERS = {"DL_DIR": "downloads", "SSTATE_DIR": "sstate-cache"}


def workspace(places: Places, name: str, quick: Yoctovirt) -> Yoctovirt:
    """Return a new workspace; what *quick* has fetched is at hand."""
    return places.workspace(name, DL_DIR=str(quick.workspace / FOLDERS["DL_DIR"]))


def build(yv: Yoctovirt, *more: str) -> str:
    """Build in *yv*, which fails by the host; return what was said."""
    done = yv.run("build", "quick", *more, timeout=1800)
    print(done.stderr)
    assert done.returncode == 3, done.stdout + done.stderr
    assert done.stderr.count("error: ") == 1
    assert yv.last_record()["result"] == "error"
    yv.assert_nothing_left()
    return done.stderr


def good(yv: Yoctovirt, quick: Yoctovirt) -> None:
    """With caches that are well the same call goes on; what was done is not lost."""
    yv.env.update({name: str(quick.workspace / folder) for name, folder in FOLDERS.items()})
    done = yv.run("build", "quick", timeout=1800)
    assert done.returncode == 0, done.stdout + done.stderr
    yv.assert_nothing_left()


@pytest.mark.parametrize("name", FOLDERS)
def test_full_and_read_only_before_the_build(quick: Yoctovirt, places: Places, name: str) -> None:
    """Not a minute of work is lost: bitbake is not started."""
    yv = workspace(places, f"beforehand-{name.lower()}", quick)
    yv.env[name] = f"{places.root}/cache/{name}"
    with volume(places.root / "cache", "size=20m"):
        said = build(yv)
    assert f"{name}: 20 MiB free at {places.root}/cache/{name}: it is full" in said
    with volume(places.root / "cache", "size=20m,ro"):
        said = build(yv, "--skip-preflight")
    where = f"{name} is {places.root}/cache/{name}, on a file system that is mounted read-only"
    assert where in said
    assert "-m kas build" not in said


@pytest.mark.parametrize(("name", "size"), [("DL_DIR", "20m"), ("SSTATE_DIR", "8m")])
def test_a_volume_that_the_build_fills(
    quick: Yoctovirt, places: Places, name: str, size: str
) -> None:
    """As where others fill it meanwhile: nothing is looked at beforehand."""
    yv = workspace(places, f"fills-{name.lower()}", quick)
    with volume(places.root / "small", f"size={size}") as small:
        yv.env[name] = str(small)
        said = build(yv, "--skip-preflight")
    # pzstd, which writes most of what comes into SSTATE_DIR, does not say why it could not.
    assert re.search("^error: (the disk became full|a disk could not be written) during the build$",
                     said, re.MULTILINE)  # fmt: skip
    (free,) = re.findall(rf"^ +{name}: (\d+ (?:B|KiB|MiB)) free at {small}$", said, re.MULTILINE)
    print(f"{name}: {free} left")
    assert re.search(r"^ +build directory: [\d.]+ GiB free at ", said, re.MULTILINE)
    causes = {failure["cause"] for failure in yv.last_record()["error"]["failures"]}
    assert causes & {"disk-full", "disk-write"}
    good(yv, quick)


def test_a_volume_that_becomes_read_only(quick: Yoctovirt, places: Places) -> None:
    """As the kernel does with a disk that has errors."""
    yv = workspace(places, "becomes-read-only", quick)
    with volume(places.root / "worn", "size=2g") as worn:
        yv.env["SSTATE_DIR"] = str(worn)
        call = yv.start("build", "quick")

        def tasks_run() -> bool:
            logs = yv.workspace.glob("runs/*/build.log")
            return any("Running task 2 of" in path.read_text(errors="replace") for path in logs)

        wait_for(tasks_run, 240, "bitbake runs tasks")
        remount = ["mount", "-o", "remount,ro", str(worn)]
        wait_for(lambda: not subprocess.run(remount, check=False).returncode, 60, "no file is open")
        said = call.communicate(timeout=1800)[0]
    print(said)
    assert call.returncode == 3, said
    yv.assert_nothing_left()
    assert "error: a file system of the build is mounted read-only" in said
    assert re.search(rf"SSTATE_DIR: .* free at {worn}, mounted read-only$", said, re.MULTILINE)
    good(yv, quick)
