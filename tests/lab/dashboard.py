"""The lab's instances in a real browser: what the suite's own check does not look at."""

from __future__ import annotations

from pathlib import Path

from tests.integration.conftest import PATIENCE
from yoctovirt.smoke.suites.aids.chromium import browser_here
from yoctovirt.smoke.suites.aids.window import PAGE, Login, Window

INSTANCES = "project/instances/"


def see_instance(root: str, login: Login, name: str, picture: Path) -> str:
    """Return what the page of the instances says of the server *name*; keep a *picture* of it.

    Without a tunnel: the host reaches the lab, and the dashboard has an address of its own.
    """
    path = f"//table[@id='instances']//tr[td[contains(., '{name}')]]"
    with browser_here() as browser:
        window = Window(browser, root, PAGE * PATIENCE)
        window.login(login, INSTANCES)
        (row,) = window.wait(lambda one: one.find_elements("xpath", path), f"no server {name}")
        window.look()
        assert browser.save_screenshot(str(picture))
        return str(row.text)
