"""The lab's dashboard in a real browser, as a person uses it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from tests.browser import Browser
from tests.integration.conftest import PATIENCE

#: Seconds for a page, before PATIENCE: the first one after a start loads all of the dashboard.
PAGE = 60.0
#: Of the picture, in pixels.
WIDTH, HEIGHT = 1200, 640


def _wait(browser: Browser, condition: Callable[[Browser], object], what: str) -> None:
    WebDriverWait(browser, PAGE * PATIENCE).until(condition, what)


def log_in(browser: Browser, root: str, user: str, password: str) -> None:
    """Log in at the login page to which *root* leads; returns when another page is there."""
    browser.get(root)
    assert "/auth/login/" in browser.current_url
    browser.find_element(By.NAME, "username").send_keys(user)
    browser.find_element(By.NAME, "password").send_keys(password)
    browser.find_element(By.CSS_SELECTOR, "form [type=submit]").click()
    _wait(browser, lambda one: "/auth/login/" not in one.current_url, "no login")


def see_instance(browser: Browser, root: str, name: str, picture: Path) -> str:
    """Return what the page of the instances says of the server *name*; keep a *picture* of it."""
    metrics = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(f"{root}project/instances/")
    path = f"//table[@id='instances']//tr[td[contains(., '{name}')]]"
    _wait(browser, lambda one: one.find_elements(By.XPATH, path), f"no server {name}")
    assert browser.save_screenshot(str(picture))
    return str(browser.find_element(By.XPATH, path).text)
