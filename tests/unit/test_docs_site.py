"""The user guide: the reference is what the parser says, and no link leads nowhere."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from yoctovirt.cli import VERBS

ROOT = Path(__file__).resolve().parents[2]


def test_the_reference_is_what_the_parser_says() -> None:
    argv = [sys.executable, "scripts/reference.py", "--check"]
    done = subprocess.run(argv, cwd=ROOT, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    text = (ROOT / "docs" / "reference.md").read_text()
    assert "\b" not in text
    for verb in VERBS:
        assert f"\n## yoctovirt {verb}\n" in text


def test_a_reference_that_is_not_is_refused(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "reference.py", tmp_path / "scripts")
    text = (ROOT / "docs" / "reference.md").read_text()
    (tmp_path / "docs" / "reference.md").write_text(text.replace("--offline", "--online", 1))
    argv = [sys.executable, "scripts/reference.py", "--check"]
    done = subprocess.run(argv, cwd=tmp_path, text=True, capture_output=True, check=False)
    assert done.returncode == 1
    assert "make reference" in done.stderr


def build(source: Path, target: Path) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(target)]
    return subprocess.run(argv, cwd=source, text=True, capture_output=True, check=False)


def test_the_guide_is_built_and_its_links_lead_somewhere(tmp_path: Path) -> None:
    done = build(ROOT, tmp_path / "site")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "site" / "reference.html").read_text()
    assert "yoctovirt runs compare" in page


@pytest.mark.parametrize("link", ["[x](none.md)", "[x](concepts.md#no-such-head)", "[x](/x.md)"])
def test_a_link_that_leads_nowhere_is_refused(tmp_path: Path, link: str) -> None:
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    with (tmp_path / "docs" / "index.md").open("a") as page:
        page.write(f"\n{link}\n")
    done = build(tmp_path, tmp_path / "site")
    assert done.returncode != 0
    assert "index.md" in done.stderr
