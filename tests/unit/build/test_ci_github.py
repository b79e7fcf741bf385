"""A red ``ci`` as GitHub runs it: what its log tells GitHub."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakebitbake import FakePoky, fake_poky
from tests.unit.report.test_annotate import obeyed


@pytest.fixture
def poky(tmp_path: Path) -> Iterator[FakePoky]:
    fake = fake_poky(tmp_path)
    yield fake
    assert fake.left() == [], "a process of the build was left behind"


def test_a_red_run(poky: FakePoky, tmp_path: Path) -> None:
    """The error of the run as an annotation, all groups closed, the token nowhere."""
    token, summary = "ghp-0123456789", tmp_path / "summary"
    poky.do("fail")
    kas = poky.workspace / "kas" / "inc" / "mine.yml"
    kas.write_text(kas.read_text() + f'local_conf_header:\n  x: |\n    M = "http://u:{token}@h/"\n')
    done = poky.call(
        "ci", "mine", GITHUB_ACTIONS="true", GITLAB_CI="", GITHUB_TOKEN=token,
        GITHUB_STEP_SUMMARY=str(summary), https_proxy=f"http://u:{token}@127.0.0.1:9/",
    )  # fmt: skip
    assert done.returncode == 4, done.stdout + done.stderr
    told = obeyed(done.stderr)
    names = [name for name, _, _ in told]
    assert names.count("group") == names.count("endgroup") > 0
    depth = 0
    for name in names:
        depth += {"group": 1, "endgroup": -1}.get(name, 0)
        assert depth in (0, 1), "GitHub knows no group in a group"
    errors = [(given, text) for name, given, text in told if name == "error"]
    assert [given["title"] for given, _ in errors] == ["mine: BuildError"]
    assert "busybox_1.36.1.bb:do_compile failed" in errors[0][1]
    assert names.index("error") > max(i for i, name in enumerate(names) if name == "endgroup")
    assert "build" in summary.read_text()
    assert token not in done.stdout + done.stderr + summary.read_text()


def test_a_green_run(poky: FakePoky, tmp_path: Path) -> None:
    summary = tmp_path / "summary"
    done = poky.call(
        "ci", "mine", "--until", "build", GITHUB_ACTIONS="true", GITLAB_CI="",
        GITHUB_STEP_SUMMARY=str(summary),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    names = [name for name, _, _ in obeyed(done.stderr)]
    assert names.count("group") == names.count("endgroup") > 0
    assert "error" not in names
    assert summary.exists()
