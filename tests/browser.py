"""The browser of the suites, for tests of what a person sees."""

from __future__ import annotations

import os

import pytest

from yoctovirt.smoke.suites.aids.chromium import Browser, missing_browser, start_browser

__all__ = ["Browser", "require_browser", "start_browser"]


def require_browser() -> None:
    """Leave the test out where the machine has no browser, or fail it where it must have one."""
    reason = missing_browser()
    if not reason:
        return
    if os.environ.get("YOCTOVIRT_REQUIRE_BROWSER") == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
