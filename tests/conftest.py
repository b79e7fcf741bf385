"""What all tests share."""

from __future__ import annotations

import os
import signal

import pytest

# A shell that starts us in the background lets us, and all that we start, inherit an ignored
# SIGINT. The tests press Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
# A time-out of CI, or of `timeout`, ends the tests in order: nodes that they left are stopped.
signal.signal(signal.SIGTERM, signal.default_int_handler)
# What the caller's site has, is not of the tests.
os.environ.pop("YOCTOVIRT_SITE", None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--must-run", action="store_true", help="fail where no test was run (all were skipped)"
    )


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A target that was called and ran no test has shown nothing."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not session.config.getoption("--must-run") or reporter is None:
        return
    ran = sum(len(reporter.stats.get(key, [])) for key in ("passed", "failed", "error"))
    if exitstatus in (0, 5) and ran == 0:
        reporter.write_line("no test was run: that is a failure of this target", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
