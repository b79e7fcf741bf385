"""The programs that the suite tempest brings to a node, run here with tests of our own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from yoctovirt.smoke.suites.aids.tempest import _CONFIGURE, _RUN

TESTS = """
import time, unittest
class Good(unittest.TestCase):
    def test_passes(self): pass
    def test_fails(self): self.fail("the service said no")
    @unittest.skip("cinder is not available")
    def test_skipped(self): pass
class NoSetUp(unittest.TestCase):
    @classmethod
    def setUpClass(cls): raise RuntimeError("no credentials")
    def test_one(self): pass
    def test_two(self): pass
class Unavailable(unittest.TestCase):
    @classmethod
    def setUpClass(cls): raise unittest.SkipTest("swift is not available")
    def test_one(self): pass
class Slow(unittest.TestCase):
    @classmethod
    def tearDownClass(cls): open("cleaned", "w").close()
    def test_sleeps(self):
        open("begun", "w").close()
        time.sleep(60)
"""


def run(folder: Path, *names: str) -> dict[str, dict[str, str]]:
    (folder / "ours.py").write_text(TESTS)
    subprocess.run(
        [sys.executable, "-c", _RUN, "results", *names], cwd=folder, check=True, timeout=60,
        env={**os.environ, "PYTHONPATH": str(folder)},
    )  # fmt: skip
    lines = (folder / "results").read_text().splitlines()
    told = {line["name"]: line for line in map(json.loads, lines)}
    assert len(lines) == len(told) == len(names)
    return told


def test_each_test_has_a_line_with_what_it_came_to(tmp_path: Path) -> None:
    told = run(tmp_path, "ours.Good.test_passes", "ours.Good.test_fails", "ours.Good.test_skipped")
    outcomes = {name.rpartition(".")[2]: line["outcome"] for name, line in told.items()}
    assert outcomes == {"test_passes": "passed", "test_fails": "failed", "test_skipped": "skipped"}
    assert "the service said no" in told["ours.Good.test_fails"]["text"]
    assert told["ours.Good.test_skipped"]["text"] == "cinder is not available"


def test_what_a_class_cannot_set_up_all_its_tests_lack(tmp_path: Path) -> None:
    told = run(tmp_path, "ours.NoSetUp.test_one", "ours.Good.test_passes", "ours.NoSetUp.test_two",
               "ours.Unavailable.test_one")  # fmt: skip
    assert told["ours.Good.test_passes"]["outcome"] == "passed"
    for name in ("ours.NoSetUp.test_one", "ours.NoSetUp.test_two"):
        assert told[name]["outcome"] == "failed"
        assert "no credentials" in told[name]["text"]
    assert told["ours.Unavailable.test_one"]["outcome"] == "skipped"
    assert told["ours.Unavailable.test_one"]["text"] == "swift is not available"


def test_a_test_that_is_not_there_hides_no_other(tmp_path: Path) -> None:
    told = run(tmp_path, "ours.Good.test_gone", "ours.Good.test_passes", "ours.Gone.test_one",
               "nowhere.Good.test_one")  # fmt: skip
    assert told["ours.Good.test_passes"]["outcome"] == "passed"
    assert told["ours.Good.test_gone"]["outcome"] == "absent"
    assert told["ours.Gone.test_one"]["outcome"] == "absent"
    # A module that cannot be loaded is a tempest that does not work.
    assert told["nowhere.Good.test_one"]["outcome"] == "failed"


def test_ended_early_it_cleans_up(tmp_path: Path) -> None:
    (tmp_path / "ours.py").write_text(TESTS)
    running = subprocess.Popen(
        [sys.executable, "-c", _RUN, "results", "ours.Slow.test_sleeps"], cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    try:
        while not (tmp_path / "begun").exists():
            assert running.poll() is None
            time.sleep(0.05)
        running.send_signal(signal.SIGTERM)
        assert running.wait(20) == 1
    finally:
        running.kill()
    assert (tmp_path / "cleaned").exists()


@pytest.mark.parametrize("end", ["", "/", "/v3", "/v2.0/"])
def test_credentials_come_from_the_environment_into_a_file_of_root(
    tmp_path: Path, end: str
) -> None:
    path = tmp_path / "tempest.conf"
    environment = {"OS_PASSWORD": "pa$$word", "OS_AUTH_URL": f"http://controller:5000{end}",
                   "OS_USERNAME": "admin", "OS_PROJECT_NAME": "admin"}  # fmt: skip
    subprocess.run(
        [sys.executable, "-c", _CONFIGURE, str(path)], check=True, text=True, timeout=30,
        input="a = @PASSWORD@\nb = @URL@\nc = @REGION@ @DOMAIN@ @USER@\n", env=environment,
    )  # fmt: skip
    said = path.read_text().splitlines()
    assert said == [
        "a = pa$$$$word",
        "b = http://controller:5000/v3",
        "c = RegionOne Default admin",
    ]
    assert path.stat().st_mode & 0o777 == 0o600
