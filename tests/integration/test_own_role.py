"""docs/own-role.md followed: the role is built, boots, is green, and red without its daemon."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from tests.guides import commands, write_files
from tests.integration.conftest import Yoctovirt

PAGE = "own-role.md"


@pytest.mark.node
@pytest.mark.pipeline
@pytest.mark.timeout(1800)
def test_own_role_and_suite(tmp_path: Path) -> None:
    yv = Yoctovirt(tmp_path / "edge")
    write_files(PAGE, yv.workspace)
    calls = [shlex.split(line)[1:] for line in commands(PAGE)]
    upto = calls.index(["stop", "edge"]) + 1
    said = {}
    try:
        for words in calls[:upto]:
            done = yv.run(*words, timeout=1500)
            said[words[0]] = (done.returncode, done.stdout + done.stderr)
            if words[0] == "ci":
                assert "chrony" in [check["suite"] for check in yv.last_record()["checks"]]
    finally:
        yv.run("stop", "--all", "--now")
    codes = {verb: code for verb, (code, _) in said.items()}
    assert codes == {"ci": 0, "boot": 0, "ssh": 0, "smoke": 1, "stop": 0}, said
    assert "PASSED   chrony::can_be_steered" in said["ci"][1]
    assert "FAILED   chrony::tracking" in said["smoke"][1]
    assert "chronyd does not answer" in said["smoke"][1]
    yv.assert_nothing_left()
