"""OpenStack's dashboard (horizon) as a person sees it: in a browser of this host.

The way there is a tunnel to the node's web server. The browser takes the address that the node
itself has for it, so that what leads to another page leads there; it reaches nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from yoctovirt.base.secrets import Secret
from yoctovirt.smoke.checked import SmokeNode
from yoctovirt.smoke.suites.aids.chromium import (
    Browser,
    Traffic,
    browser_here,
    complaints,
    first_line,
    need_browser,
    plain_looks,
    short_url,
    unstyled,
)
from yoctovirt.smoke.suites.aids.openstack import Cloud

#: Seconds for a page, before the node's factor: the first one after a start loads all of it.
PAGE = 60.0
_ALERTS = ".alert-danger, .alert-error"
#: Where the name of the one who is signed in stands: the first of these that there is. In the bar
#: as a whole stands the project's name, too.
_TOP = (".user-name", ".navbar", "header")
_FORM = "form[action*='auth/login']"
_ROW = """
for (const row of document.querySelectorAll('table tbody tr')) {
  const cells = [...row.cells].map(cell => cell.innerText.trim());
  if (row.offsetParent !== null && cells.includes(arguments[0])) {
    return cells.filter(Boolean).join(' ');
  }
}
return '';
"""


@dataclass(frozen=True)
class Login:
    """What one types at the login page, and the project that one comes to, by name or id."""

    user: str
    password: Secret
    domain: str
    project: str


def read_login(cloud: Cloud) -> Login:
    """Return the login of the user of *cloud*, from the openrc; its password is recorded nowhere.

    What an openrc prints itself, a warning, comes before.
    """
    lines = cloud.node.read_secret(
        f'. {cloud.openrc}\nprintf "%s\\n" "$OS_USERNAME" "$OS_PASSWORD" '
        '"${OS_USER_DOMAIN_NAME:-Default}" '
        '"${OS_PROJECT_NAME:-${OS_TENANT_NAME:-$OS_PROJECT_ID}}"'
    )[-4:]
    if len(lines) < 4 or not lines[0] or not lines[1]:
        pytest.fail(f"{cloud.openrc} sets no OS_USERNAME and OS_PASSWORD", pytrace=False)
    return Login(str(lines[0]), lines[1], str(lines[2]), str(lines[3]))


class Window:
    """A browser that has the dashboard at *root* open."""

    def __init__(
        self, browser: Browser, root: str, seconds: float, refused: Sequence[str] = ()
    ) -> None:
        self.browser = browser
        self._refused = refused
        self.root = root
        self._seconds = seconds
        self._traffic = Traffic(browser)
        self._plain = plain_looks(browser)
        browser.set_page_load_timeout(seconds)

    @property
    def said(self) -> str:
        """The page that is open, in one line."""
        alerts = "".join(f"; it says: {text}" for text in self._texts(_ALERTS)[:3])
        return f"{short_url(self.browser.current_url)}, titled '{self.browser.title}'{alerts}"

    def _texts(self, selector: str) -> list[str]:
        """Return what can be read in the elements that *selector* finds."""
        found = [one.text for one in self.browser.find_elements("css selector", selector)]
        return [" ".join(text.split())[:300] for text in found if text.strip()]

    def wait(self, condition: Callable[[Browser], Any], what: str) -> Any:
        """Return what *condition* gives as soon as it is true; fail the check with *what*."""
        from selenium.common.exceptions import StaleElementReferenceException, TimeoutException
        from selenium.webdriver.support.wait import WebDriverWait

        ignored = [StaleElementReferenceException]
        try:
            return WebDriverWait(self.browser, self._seconds, 0.2, ignored).until(condition)
        except TimeoutException:
            pytest.fail(f"{what} within {self._seconds:.0f} s: {self.said}", pytrace=False)

    def open(self, path: str) -> None:
        """Open the page at *path* below the root; fail the check where none comes."""
        before = len(self._traffic.read())
        self.browser.get(self.root + path)
        self._came(before, "there is no page")

    def _came(self, before: int, what: str) -> None:
        """Fail the check with *what* unless the last page that was asked for has come.

        Where nobody answers, the browser shows a page of its own, which is no error of selenium's.
        """
        pages = [one for one in self._traffic.read()[before:] if one.kind == "Document"]
        if pages and not 200 <= pages[-1].status < 400:
            why = "".join(f"; {one}" for one in self._refused[-1:])
            title = self.browser.title
            pytest.fail(f"{what}: {pages[-1].said}, titled '{title}'{why}", pytrace=False)

    def look(self) -> None:
        """Fail the check unless the page that is open has all its parts, and is shown with them."""
        url = short_url(self.browser.current_url)
        if broken := self._traffic.broken:
            pytest.fail(
                f"{url} is without style sheets or scripts of its own: " + "\n".join(broken),
                pytrace=False,
            )
        if why := unstyled(self.browser, self._plain):
            pytest.fail(f"{url} is not shown in its style: {why}", pytrace=False)
        if said := complaints(self.browser):
            pytest.fail(f"{url}: the browser complains: " + "\n".join(said), pytrace=False)

    def login(self, login: Login, path: str) -> None:
        """Log in at the login page, on the way to *path* below the root."""
        wanted = urlsplit(self.root + path).path
        self.open(f"auth/login/?next={quote(wanted)}")
        forms = self.browser.find_elements("css selector", _FORM)
        assert forms, f"there is no login page: {self.said}"
        self.look()
        self._type(forms[0], login)
        before = len(self._traffic.read())
        forms[0].find_element("css selector", "[type=submit]").click()
        self.wait(lambda _: _is_gone(forms[0]) and self._complete(), "no page after the login")
        self._came(before, f"{login.user} cannot log in")
        if self.browser.find_elements("css selector", _FORM):
            accepted = any(
                one.method == "POST" and 300 <= one.status < 400
                for one in self._traffic.read()[before:]
            )
            if accepted:
                said = "the login is accepted, and the session is lost"
                pytest.fail(f"{said}: {self.said}", pytrace=False)
            pytest.fail(f"{login.user} cannot log in: {self.said}", pytrace=False)

    def _type(self, form: Any, login: Login) -> None:
        typed = {"username": login.user, "domain": login.domain, "password": login.password}
        for name, text in typed.items():
            fields = form.find_elements("name", name)
            if name == "domain" and not (fields and fields[0].is_displayed()):
                continue  # there is one domain, and nobody is asked
            assert fields, f"the login page asks for no {name}: {self.said}"
            if name == "password":
                kind = fields[0].get_attribute("type")
                assert kind == "password", f"what one types as a password can be read ({kind})"
            fields[0].send_keys(text)

    def _complete(self) -> bool:
        return str(self.browser.execute_script("return document.readyState")) == "complete"

    def shows_user(self, name: str) -> bool:
        """Whether *name* can be read in the bar at the top."""
        word = re.compile(rf"(?<!\S){re.escape(name)}(?!\S)")
        texts = next(filter(None, map(self._texts, _TOP)), [])
        return any(word.search(text) for text in texts)

    def row(self, cell: str) -> str:
        """Return what can be read in the first row of a table that has *cell*; '': none."""
        return str(self.browser.execute_script(_ROW, cell))


def _is_gone(element: Any) -> bool:
    from selenium.common.exceptions import StaleElementReferenceException

    try:
        element.is_enabled()
    except StaleElementReferenceException:
        return True
    return False


@contextmanager
def open_window(node: SmokeNode, root: str, picture: str) -> Iterator[Window]:
    """Yield a Window of the dashboard at *root*, an address that the node has for it.

    What it shows in the end, or where the check fails, is kept in the record as *picture*.
    """
    need_browser()
    there = urlsplit(root)
    host, port = there.hostname or "", there.port or {"https": 443}.get(there.scheme, 80)
    with node.tunnel(port, host) as tunnel:
        rules = f"MAP {host}:{port} 127.0.0.1:{tunnel.port}, MAP * ~NOTFOUND"
        flags = (f"--host-resolver-rules={rules}", "--ignore-certificate-errors")
        with browser_here(*flags) as browser, _told(root):
            window = Window(browser, root, PAGE * node.timeout_scale, tunnel.refused)
            try:
                yield window
            finally:
                _keep(browser, node, picture)


def _broken() -> tuple[type[Exception], ...]:
    """Return what selenium raises: of the browser, and of a driver that is gone."""
    from selenium.common.exceptions import WebDriverException
    from urllib3.exceptions import HTTPError

    return WebDriverException, HTTPError


def _keep(browser: Browser, node: SmokeNode, name: str) -> None:
    with suppress(*_broken()):  # a browser that broke has nothing to show
        node.attach(name, browser.get_screenshot_as_png())


@contextmanager
def _told(root: str) -> Iterator[None]:
    """Say in a line what selenium cannot do."""
    try:
        yield
    except _broken() as error:
        pytest.fail(f"the browser at {root}: {first_line(error)}", pytrace=False)
