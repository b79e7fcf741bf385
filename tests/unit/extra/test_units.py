"""systemd's own check of every unit of our layers, and what belongs to each unit."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

LAYERS = Path(__file__).parents[3] / "recipes-extra"
UNITS = sorted(LAYERS.rglob("*.service"))
#: What units of ours are ordered against or pulled in by: systemd's own, always there.
TARGETS = ("basic", "multi-user", "network", "shutdown", "sysinit")


def programs(unit: str) -> list[str]:
    """Return the programs of Exec...= lines, without systemd's prefixes."""
    return re.findall(r"^Exec\w+=[-+!@:]*(\S+)", unit, re.MULTILINE)


def verify(root: Path, units: list[Path], *, stub: bool = True) -> str:
    """Return what systemd-analyze finds wrong with *units* in a scratch root.

    Programs that the test machine does not have are there as stubs, so that all else counts.
    """
    folder = root / "usr/lib/systemd/system"
    folder.mkdir(parents=True)
    for name in TARGETS:
        (folder / f"{name}.target").write_text(f"[Unit]\nDescription={name}\n")
    for path in units:
        shutil.copy(path, folder)
        for program in programs(path.read_text()) if stub else []:
            file = root / program.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("#!/bin/sh\n")
            file.chmod(0o755)
    done = subprocess.run(
        ["systemd-analyze", f"--root={root}", "--man=no", "verify", *(one.name for one in units)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr


@pytest.fixture(autouse=True)
def _systemd() -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze on this machine")


def test_systemd_accepts_all_units_together(tmp_path: Path) -> None:
    assert len(UNITS) >= 14
    assert verify(tmp_path, UNITS) == ""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("ExecStart=/usr/bin/gunicorn", "ExecStart=gunicornn", "gunicornn"),
        ("Type=notify", "Type=notice", "notice"),
        ("Restart=on-failure", "Restrat=on-failure", "Restrat"),
        ("Requires=placement-init.service", "Requires=placement-begin.service", "placement-begin"),
        ("[Service]", "[Servise]", "Servise"),
        ("RestartSec=5", "RestartSec=soon", "soon"),
    ],
)
def test_a_broken_unit_is_found(tmp_path: Path, old: str, new: str, said: str) -> None:
    """The counter-proof: the same check on the same units, one of them broken."""
    units = {path.name: path for path in UNITS}
    broken = tmp_path / "placement-api.service"
    text = units["placement-api.service"].read_text()
    assert old in text
    broken.write_text(text.replace(old, new))
    units[broken.name] = broken
    assert said in verify(tmp_path / "root", list(units.values()))


def test_a_missing_program_is_found(tmp_path: Path) -> None:
    said = verify(tmp_path, UNITS, stub=False)
    assert "/usr/bin/gunicorn is not executable" in said


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_a_unit_is_shipped_with_all_that_it_starts(unit: Path) -> None:
    """The recipe beside it fetches, installs and enables it; our scripts in it exist."""
    recipes = [
        path
        for path in (*unit.parent.parent.glob("*.bb"), *unit.parent.parent.glob("*.bbappend"))
        if f"file://{unit.name}" in path.read_text()
    ]
    assert len(recipes) == 1, f"{unit.name}: in SRC_URI of {recipes}"
    text = recipes[0].read_text()
    enabled = re.findall(r'^SYSTEMD_SERVICE\S* = "([^"]*)"', text, re.MULTILINE)
    assert unit.name in " ".join(enabled).split()
    for program in programs(unit.read_text()):
        if program.startswith("/usr/libexec/yoctovirt/"):
            assert list(LAYERS.rglob(Path(program).name)), f"{program} is not in our layers"


def test_services_in_front_wait_for_what_sets_them_up() -> None:
    """Each API unit requires its set-up unit and comes after it; a name alone orders nothing."""
    found = 0
    for path in UNITS:
        text = path.read_text()
        for needed in re.findall(r"^Requires=(\S+)", text, re.MULTILINE):
            after = " ".join(re.findall(r"^After=(.*)", text, re.MULTILINE)).split()
            assert needed in after, path.name
            found += 1
    assert found >= 5
