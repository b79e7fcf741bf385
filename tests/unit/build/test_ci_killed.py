"""A CI service ends a job while it builds: by SIGTERM, and by SIGKILL."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fakebitbake import FakePoky, fake_poky
from tests.runschema import run_problems
from yoctovirt.base.files import is_locked
from yoctovirt.config.cells import Cell
from yoctovirt.config.roles import load_role
from yoctovirt.pipeline.jobs import Choices, jobs_of

SECONDS = 120.0


@pytest.fixture
def poky(tmp_path: Path) -> Iterator[FakePoky]:
    fake = fake_poky(tmp_path)
    yield fake
    assert fake.left() == [], "a process of the build was left behind"


def wait_for(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def building(poky: FakePoky) -> subprocess.Popen[str]:
    """Start ``ci`` and return it when bitbake runs."""
    poky.do("wait")
    process = subprocess.Popen(
        poky.argv("ci", "mine"), env=os.environ, stdin=subprocess.DEVNULL, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    wait_for((poky.control / "waiting").exists, "bitbake runs")
    return process


def test_sigterm(poky: FakePoky) -> None:
    """The tasks come to their end, and all reports are there."""
    process = building(poky)
    (poky.control / "finish").touch()
    process.terminate()
    said, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 130, said
    run = json.loads((poky.record() / "run.json").read_text())
    assert run_problems(run) == []
    assert (run["result"], run["exit_code"]) == ("interrupted", 130)
    assert [(phase["name"], phase["status"]) for phase in run["phases"]] == [
        ("build", "interrupted"), ("boot", "not run"), ("smoke", "not run"),
    ]  # fmt: skip
    assert (poky.record() / "report.html").stat().st_size > 1000
    suite = ET.parse(poky.record() / "junit.xml").getroot()
    assert int(suite.get("errors") or 0) > 0, "a run that was cut short is not green"
    assert (poky.control / "hits").read_text() == "1", "bitbake was asked, not killed"


def test_the_limit_of_a_generated_job(poky: FakePoky) -> None:
    """As its script has it: the end comes before the service's own, and all reports are there."""
    script = jobs_of([(load_role("quick"), Cell("quick", "scarthgap", "qemux86-64", ()))],
                     Choices(hours=30), "github")[0].script  # fmt: skip
    (line,) = [line for line in script if " ci quick " in line]
    limit = line[: line.index("yoctovirt")].split()
    assert limit[-1] == "330m", "a hosted runner has six hours, whatever was asked for"
    poky.do("wait")
    (poky.control / "finish").touch()
    done = subprocess.run(
        [*limit[:-1], "8s", *poky.argv("ci", "mine")], stdin=subprocess.DEVNULL, text=True,
        capture_output=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 130, done.stdout + done.stderr
    run = json.loads((poky.record() / "run.json").read_text())
    assert (run["result"], run["phases"][0]["status"]) == ("interrupted", "interrupted")
    assert {"junit.xml", "report.html"} <= {path.name for path in poky.record().iterdir()}


def test_sigkill(poky: FakePoky) -> None:
    """What was done stands in the record; the next call is not hindered."""
    process = building(poky)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=SECONDS)
    run = json.loads((poky.record() / "run.json").read_text())
    assert run_problems(run) == []
    assert run["result"] == "running"
    assert [(phase["name"], phase["status"]) for phase in run["phases"]] == [("build", "running")]
    assert " -m kas build " in (poky.record() / "commands.log").read_text()
    (row,) = json.loads(poky.call("runs", "list", "--json").stdout)
    assert row["result"] == "killed"
    wait_for(lambda: not poky.left(), "nothing is left of the build")
    wait_for(lambda: not is_locked(poky.workspace / ".build-mine.lock"), "the lock is free")
    poky.do("build")
    again = poky.call("ci", "mine", "--until", "build")
    assert again.returncode == 0, again.stdout + again.stderr
