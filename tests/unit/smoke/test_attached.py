"""What a check keeps in the run record: the files, and the verdict that names them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from yoctovirt.base.secrets import MASK, Secret
from yoctovirt.smoke.attached import Attachments
from yoctovirt.smoke.verdicts import ATTACHED, VerdictWriter


def test_no_file_takes_the_place_of_another(tmp_path: Path) -> None:
    check = "acme::page[edge-1]"
    kept = Attachments(tmp_path, lambda: check)
    names = [kept.add("page.png", data) for data in (b"1", b"2")]
    assert names == ["attached/acme-page-edge-1-page.png", "attached/acme-page-edge-1-page-2.png"]
    assert [(tmp_path / name).read_bytes() for name in names] == [b"1", b"2"]
    assert kept.names == names
    kept.begin()
    assert kept.names == []
    other = Attachments(tmp_path, lambda: check)  # of another process
    assert other.add("page.png", b"3").endswith("page-3.png")


@pytest.mark.parametrize("name", ["../x.png", "/x.png", "a/b.png", "", ".x", "a\n"])
def test_a_name_leads_nowhere_else(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="no plain name"):
        Attachments(tmp_path, lambda: "acme::page").add(name, b"")
    assert list(tmp_path.iterdir()) == []


def test_without_a_record_nothing_is_kept() -> None:
    kept = Attachments(None, lambda: "acme::page")
    assert kept.add("page.png", b"1") == ""
    assert kept.names == []


def test_the_verdict_names_what_any_phase_kept(tmp_path: Path) -> None:
    writer = VerdictWriter(tmp_path)
    common: dict[str, Any] = {
        "nodeid": "test_acme.py::test_it", "location": ("test_acme.py", 1, "test_it"),
        "keywords": {}, "start": 1.0, "duration": 1.0, "outcome": "passed", "longrepr": None,
    }  # fmt: skip
    told: list[tuple[str, object]] = [(ATTACHED, ["a"])]
    for when, properties in (("setup", []), ("call", told), ("teardown", [(ATTACHED, ["a", "b"])])):
        report = pytest.TestReport(**common, when=when, user_properties=properties)  # type: ignore[arg-type]
        writer.add(report)
    (line,) = (tmp_path / "checks.jsonl").read_text().splitlines()
    assert json.loads(line)["attached"] == ["a", "b"]


def test_a_secret_stands_in_no_traceback(tmp_path: Path) -> None:
    """pytest shows variables where it is told to (--showlocals), and both sides of a comparison."""
    (tmp_path / "test_it.py").write_text(
        "from yoctovirt.base.secrets import Secret\n"
        "def test_it():\n"
        "    password = Secret(''.join(['se', 'same']))\n"
        "    given = [password]\n"
        "    assert len(password) == 6\n"
        "    assert given == []\n"
    )
    argv = [sys.executable, "-m", "pytest", "--showlocals", "-vv", "-p", "no:cacheprovider", "-c",
            "/dev/null", "test_it.py"]  # fmt: skip
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout
    assert "assert given == []" in done.stdout
    assert "sesame" not in done.stdout
    assert MASK in done.stdout
    assert f"{Secret('sesame')}" == "sesame"
