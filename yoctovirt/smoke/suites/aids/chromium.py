"""A real browser of this host, without a window: Chromium or Chrome, driven by selenium.

Both are this host's, not the node's: where one is missing there is nothing to be said of the node.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from yoctovirt.smoke.notrun import not_run

#: Chromium may run as root, in a container, and asks nobody but for the page that it is to open.
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
DRIVERS = ("chromedriver",)
#: Of the window, and so of a picture of it, in pixels.
WIDTH, HEIGHT = 1200, 720
#: What a page is without: it is shown, but not as it is meant.
_PARTS = ("Document", "Stylesheet", "Script")

#: selenium's driver. It is an extra, which is not there to be imported where it is not used.
Browser = Any


def missing_browser() -> str:
    """Return what this host lacks for a browser, and how it comes there; '' where it has all."""
    try:
        import selenium.webdriver  # noqa: F401 - whether it can be
    except ImportError:
        return "the Python of yoctovirt has no selenium: pip install selenium"
    for names in (BROWSERS, DRIVERS):
        if not _found(names):
            return f"this host has no {names[0]}: apt-get install chromium chromium-driver"
    return ""


def _found(names: tuple[str, ...]) -> str:
    return next(filter(None, map(shutil.which, names)), "")


def start_browser(profile: Path, *flags: str, javascript: bool = True) -> Browser:
    """Return a browser with a profile of its own, without a proxy; the caller ends it (``quit``).

    Raises selenium's WebDriverException where it does not start.
    """
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = _found(BROWSERS)
    for flag in (*FLAGS, *flags, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    if not javascript:
        prefs = {"profile.managed_default_content_settings.javascript": 2}
        options.add_experimental_option("prefs", prefs)
    with _no_proxy():
        return webdriver.Chrome(options=options, service=webdriver.ChromeService(_found(DRIVERS)))


@contextmanager
def _no_proxy() -> Iterator[None]:
    """Have selenium talk to its driver, on this host, without the proxy of a company."""
    kept = os.environ.get("no_proxy")
    os.environ["no_proxy"] = "*"
    try:
        yield
    finally:
        if kept is None:
            del os.environ["no_proxy"]
        else:
            os.environ["no_proxy"] = kept


def need_browser() -> None:
    """End the check as not run where this host has no browser."""
    if missing := missing_browser():
        not_run(missing)


@contextmanager
def browser_here(*flags: str) -> Iterator[Browser]:
    """Yield a browser, which is ended behind the block; :func:`need_browser` comes before.

    One that does not start says nothing of the node, either: the check is not run.
    """
    from selenium.common.exceptions import WebDriverException

    with TemporaryDirectory(prefix="yoctovirt-browser-", ignore_cleanup_errors=True) as folder:
        try:
            browser = start_browser(Path(folder), "--no-proxy-server", *flags)
        except WebDriverException as error:
            not_run(f"this host's browser does not start: {first_line(error)}")
        try:
            metrics = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
            yield browser
        finally:
            browser.quit()


def first_line(error: Exception) -> str:
    """Return what selenium says of an error, without the trace of the browser's own code."""
    text = str(getattr(error, "msg", None) or error or type(error).__name__)
    return text.strip().partition("\n")[0].removeprefix("Message: ")


def short_url(url: str) -> str:
    """Return *url* without what is asked for behind its path: that may be somebody's secret."""
    return re.split(r"[?#]", url, maxsplit=1)[0]


@dataclass(frozen=True)
class Asked:
    """What the browser has asked for; *status* is 0 where no answer came."""

    url: str
    kind: str  #: as the browser calls it: Document, Stylesheet, Script, Image, …
    method: str
    status: int
    why: str = ""
    mime: str = ""

    @property
    def said(self) -> str:
        """It in one line."""
        taken = f", of type {self.mime}" if self.status < 400 and not self.taken else ""
        return f"{short_url(self.url)}: {self.status or self.why or 'no answer'}{taken}"

    @property
    def taken(self) -> bool:
        """Whether a style sheet is called one: a browser takes no other."""
        return self.kind != "Stylesheet" or self.mime in ("text/css", "")


class Traffic:
    """All that a browser asks for."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._open: dict[str, tuple[str, str]] = {}
        self._seen: list[Asked] = []

    def read(self) -> list[Asked]:
        """Return what was answered, or was not, since the browser was started."""
        for entry in self._browser.get_log("performance"):
            told = json.loads(entry["message"])["message"]
            if told["method"].startswith("Network."):
                self._note(told["method"].removeprefix("Network."), told["params"])
        return [one for one in self._seen if one.url.startswith("http")]

    def _note(self, event: str, params: dict[str, Any]) -> None:
        number, kind = str(params.get("requestId")), str(params.get("type", ""))
        if event == "requestWillBeSent":
            if "redirectResponse" in params and number in self._open:
                self._end(number, kind, int(params["redirectResponse"]["status"]))
            request = params["request"]
            self._open[number] = (request["url"], request["method"])
        elif event == "responseReceived" and number in self._open:
            answer = params["response"]
            self._end(number, kind, int(answer["status"]), mime=str(answer.get("mimeType", "")))
        elif event == "loadingFailed" and number in self._open and not params.get("canceled"):
            why = params.get("blockedReason") or params.get("errorText", "")
            self._end(number, kind, 0, str(why))

    def _end(self, number: str, kind: str, status: int, why: str = "", mime: str = "") -> None:
        url, method = self._open.pop(number)
        self._seen.append(Asked(url, kind, method, status, why, mime))

    @property
    def broken(self) -> list[str]:
        """Pages, style sheets and scripts that did not come, or not as what they are."""
        return [
            one.said
            for one in self.read()
            if one.kind in _PARTS and not (200 <= one.status < 400 and one.taken)
        ]


#: Of each style sheet of a page: where it is, and how many rules of it are in force; -1: it is not.
#: One of another place than the page does not say.
_SHEETS = """
return [...document.querySelectorAll('link[rel~=stylesheet]')].map(link => {
  let rules = link.sheet ? 1 : -1;
  try { rules = link.sheet.cssRules.length } catch (error) { }
  return [link.href, rules];
})
"""
#: What nearly every style sheet sets, and a browser has a value of its own for.
_LOOKS = """
const looks = getComputedStyle(document.body);
return [looks.fontFamily, looks.fontSize, looks.lineHeight, looks.margin, looks.backgroundColor];
"""


def plain_looks(browser: Browser) -> list[str]:
    """Return how this browser shows a page that has no style."""
    browser.get("about:blank")
    return list(browser.execute_script(_LOOKS))


def unstyled(browser: Browser, plain: list[str]) -> str:
    """Return why the page that is open is not shown in its style; '' where it is.

    *plain* comes from :func:`plain_looks`.
    """
    sheets = browser.execute_script(_SHEETS)
    lost = [short_url(url) for url, rules in sheets if rules < 0]
    if lost:
        return "the browser does not take " + ", ".join(lost)
    if not any(rules for _, rules in sheets):
        return "no style sheet has a rule"
    if list(browser.execute_script(_LOOKS)) == plain:
        return "it looks as a page without style sheets does"
    return ""


def complaints(browser: Browser) -> list[str]:
    """Return the errors that stand in the browser's console since the last call."""
    return [
        re.sub(r"\?\S*", "", str(entry["message"]))[:400]
        for entry in browser.get_log("browser")
        if entry["level"] == "SEVERE"
    ]
