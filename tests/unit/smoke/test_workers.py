"""Ctrl-C on checks that run side by side: each worker gets to the end of its clean-up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

CONFTEST = """
import os
from pathlib import Path
from yoctovirt.smoke.workers import Worker, Workers

def pytest_configure(config):
    here = Path(__file__).parent
    worker = hasattr(config, "workerinput")
    config.pluginmanager.register(Worker(here) if worker else Workers(here, 4.0))
"""
WAITS = """
import time
from pathlib import Path
import pytest

@pytest.fixture
def thing():
    Path("begun-{0}").touch()
    yield
    time.sleep(3)
    Path("undone-{0}").touch()

def test_waits(thing):
    time.sleep(120)
"""


def test_interrupt(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    for name in ("one", "two"):
        (tmp_path / f"test_{name}.py").write_text(WAITS.format(name))
    env = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    run = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-p", "xdist.plugin", "-n", "2", "--dist=loadfile",
         "-p", "no:cacheprovider"],
        cwd=tmp_path, env=env, stdout=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        end = time.monotonic() + 100
        while len(list(tmp_path.glob("begun-*"))) < 2 and time.monotonic() < end:
            time.sleep(0.1)
        assert len(list(tmp_path.glob(".worker-*"))) == 2
        # To the one process that was started, as the runner does it.
        run.send_signal(signal.SIGINT)
        assert run.wait(100) == 2
    finally:
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
    assert sorted(path.name for path in tmp_path.glob("undone-*")) == ["undone-one", "undone-two"]
    assert list(tmp_path.glob(".worker-*")) == []
