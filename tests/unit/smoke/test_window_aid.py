"""The dashboard in a real browser: a small one of ours, behind a real SSH server."""

from __future__ import annotations

import http.server
import os
import signal
import urllib.parse
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from tests.browser import require_browser
from tests.httpserver import serving
from tests.unit.boot.sshd import Place
from yoctovirt.base.secrets import Secret
from yoctovirt.boot.tunnel import Tunnel, open_tunnel
from yoctovirt.smoke.checked import SmokeNode
from yoctovirt.smoke.notrun import NotRunError
from yoctovirt.smoke.suites.aids import chromium
from yoctovirt.smoke.suites.aids.window import Login, open_window

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

PASSWORD = "sesame-and-more"
LOGIN = Login("admin", Secret(PASSWORD), "Default", "the project")
HEAD = """<!DOCTYPE html><html><head><title>{title}</title>
<link rel="icon" href="data:,"><link rel="stylesheet" href="/horizon/static/a.css?v=1">
<script src="/horizon/static/a.js"></script></head><body>"""
FORM = """<form action="/horizon/auth/login/" method="post"><input name="username">
<input name="password" type="{kind}"><input type="hidden" name="next" value="{to}">
<button type="submit">Sign In</button></form>"""
PROJECTS = """<nav class="navbar">admin <span class="user-name">{user}</span></nav>
<table id="tenants"><tbody><tr><td>other</td><td>id-1</td></tr>
<tr><td> the project </td><td>id-2</td></tr>
<tr style="display: none"><td>hidden</td></tr></tbody></table>"""
WRONG = '<div class="alert alert-danger">Invalid credentials.</div>'
STYLE = "body { margin: 0; font-family: monospace } nav { background: #ccc }"


@dataclass
class Behaviour:
    """How the dashboard is."""

    style: tuple[int, str, str] = (200, "text/css", STYLE)
    script: str = "document.documentElement.dataset.ran = 1"
    cookie: str = "session=s1; Path=/"
    kind: str = "password"
    user: str = "admin"
    status: int = 302  #: to the right password
    to: str = ""  #: where a login leads to
    asked: list[str] = field(default_factory=list)


@contextmanager
def dashboard(like: Behaviour) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self, status: int, text: str, kind: str = "text/html", **more: str) -> None:
            self.send_response(status)
            headers = {"Content-Type": kind, "Content-Length": str(len(text)), **more}
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(text.encode())

        def login(self, to: str, said: str = "") -> str:
            title = HEAD.format(title="Login")
            return f"{title}{said}{FORM.format(kind=like.kind, to=to)}"

        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            like.asked.append(path)
            if path == "/horizon/static/a.css":
                status, kind, text = like.style
                self.answer(status, text, kind)
            elif path == "/horizon/static/a.js":
                self.answer(200, like.script, "text/javascript")
            elif path == "/horizon/auth/login/":
                (to,) = urllib.parse.parse_qs(query).get("next", ["/horizon/"])
                self.answer(200, self.login(to))
            elif "session=s1" not in (self.headers["Cookie"] or ""):
                self.answer(302, "", Location=f"/horizon/auth/login/?next={path}")
            else:
                self.answer(200, HEAD.format(title="Projects") + PROJECTS.format(user=like.user))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            sent = {key: value[0] for key, value in urllib.parse.parse_qs(body).items()}
            if (sent["username"], sent["password"]) == ("admin", PASSWORD):
                self.answer(
                    like.status, "", Location=like.to or sent["next"], Set_Cookie=like.cookie
                )
            else:
                self.answer(200, self.login(sent["next"], WRONG))

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with serving(Handler) as port:
        yield f"http://127.0.0.1:{port}/horizon/"


class Here:
    """A node as far as a window needs one: its tunnel is real, what is attached is kept."""

    timeout_scale = 1.0

    def __init__(self, place: Place) -> None:
        self.place = place
        self.kept: dict[str, bytes] = {}
        self.ports: list[int] = []

    def tunnel(self, port: int, host: str) -> AbstractContextManager[Tunnel]:
        self.ports.append(port)
        return open_tunnel(self.place.shell, port, host)

    def attach(self, name: str, data: bytes) -> str:
        self.kept[name] = data
        return name


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Here]:
    require_browser()
    place = Place(tmp_path, "/bin/sh", 10)
    yield Here(place)
    place.close()


def visit(here: Here, like: Behaviour, login: Login = LOGIN) -> str:
    """Do what the check does; return the project's row."""
    with (
        dashboard(like) as root,
        open_window(cast(SmokeNode, here), root, "seen.png") as window,
    ):
        window.login(login, "identity/")
        assert window.shows_user("admin"), f"nobody is logged in: {window.said}"
        row: str = window.wait(lambda _: window.row("the project"), "no project")
        assert window.row("hidden") == ""
        assert window.row("project") == ""
        window.look()
        assert window.browser.current_url == f"{root}identity/"
        return row


def failure(here: Here, like: Behaviour, login: Login = LOGIN) -> str:
    """Return what the check says of a dashboard that is not right; a picture is kept."""
    with pytest.raises((pytest.fail.Exception, AssertionError)) as caught:
        visit(here, like, login)
    said = str(caught.value)
    assert here.kept["seen.png"].startswith(b"\x89PNG")
    assert PASSWORD not in said
    assert "sesame" not in repr(caught.value)
    return said


def test_a_dashboard_that_is_right(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # nobody is there
    like = Behaviour()
    assert visit(here, like) == "the project id-2"
    picture = here.kept["seen.png"]
    assert picture.startswith(b"\x89PNG")
    assert [int.from_bytes(picture[place : place + 4], "big") for place in (16, 20)] == [1200, 720]
    assert {"/horizon/static/a.css", "/horizon/static/a.js"} <= set(like.asked)


def test_style_sheets_are_not_there(here: Here) -> None:
    said = failure(here, Behaviour(style=(404, "text/html", "no")))
    assert "auth/login/ is without style sheets or scripts of its own: http://127.0.0.1:" in said
    assert said.endswith("/horizon/static/a.css: 404")


def test_the_browser_does_not_take_a_style_sheet(here: Here) -> None:
    """It is served, with 200: only a browser sees that it is of no use."""
    said = failure(here, Behaviour(style=(200, "text/plain", STYLE)))
    assert "auth/login/ is without style sheets or scripts of its own: http://127.0.0.1:" in said
    assert said.endswith("/horizon/static/a.css: 200, of type text/plain")


@pytest.mark.parametrize(
    ("style", "why"),
    [("", "no style sheet has a rule"), (".x { color: red }", "looks as a page without style")],
)
def test_a_style_sheet_says_nothing(here: Here, style: str, why: str) -> None:
    assert why in failure(here, Behaviour(style=(200, "text/css", style)))


def test_a_script_breaks(here: Here) -> None:
    said = failure(here, Behaviour(script="no_such_thing()"))
    assert "the browser complains" in said
    assert "no_such_thing is not defined" in said


def test_the_session_is_lost(here: Here) -> None:
    said = failure(here, Behaviour(cookie="session=s1; Path=/elsewhere"))
    assert "the login is accepted, and the session is lost: http://127.0.0.1:" in said
    assert "titled 'Login'" in said


def test_a_cookie_for_https_only_is_no_lost_session(here: Here) -> None:
    """What docs/smoke.md says of the check's limits: at loopback Chromium sends it back."""
    assert visit(here, Behaviour(cookie="session=s1; Path=/; Secure")) == "the project id-2"


def test_a_login_breaks(here: Here) -> None:
    said = failure(here, Behaviour(status=500))
    assert said.startswith("admin cannot log in: http://127.0.0.1:")
    assert "/horizon/auth/login/: 500, titled '" in said


def test_a_wrong_password(here: Here) -> None:
    said = failure(here, Behaviour(), Login("admin", Secret("other"), "Default", ""))
    assert said.startswith("admin cannot log in: http://127.0.0.1:")
    assert said.endswith("it says: Invalid credentials.")


def test_a_password_that_can_be_read(here: Here) -> None:
    """It is not typed: the picture would show it."""
    assert "can be read (text)" in failure(here, Behaviour(kind="text"))


def test_somebody_else(here: Here) -> None:
    assert "nobody is logged in" in failure(here, Behaviour(user="administrator"))


def test_a_login_leads_elsewhere(here: Here) -> None:
    """The browser reaches nothing but the dashboard."""
    said = failure(here, Behaviour(to="http://example.invalid/"))
    assert said.startswith("admin cannot log in: http://example.invalid/: net::ERR_NAME_NOT")


def test_the_node_takes_no_further_connection(here: Here) -> None:
    """Why the tunnel did not do it is told with what the browser says."""

    def late() -> None:
        with (
            dashboard(Behaviour()) as root,
            open_window(cast(SmokeNode, here), root, "seen.png") as window,
        ):
            here.place.server.forwards = False
            window.open("settings/")

    with pytest.raises(pytest.fail.Exception) as caught:
        late()
    said = str(caught.value)
    assert said.startswith("there is no page: http://127.0.0.1:")
    assert "net::ERR_" in said
    assert "SSH server makes no connection" in said
    assert "\n" not in said


def test_a_browser_that_breaks_is_told_in_a_line(here: Here) -> None:
    def broken() -> None:
        with (
            dashboard(Behaviour()) as root,
            open_window(cast(SmokeNode, here), root, "seen.png") as window,
        ):
            window.browser.execute_script("this is no script")

    with pytest.raises(pytest.fail.Exception, match=r"^the browser at http://\S+: ") as caught:
        broken()
    assert "\n" not in str(caught.value)
    assert here.kept["seen.png"].startswith(b"\x89PNG")


def test_a_driver_that_is_gone(here: Here) -> None:
    def killed() -> None:
        with (
            dashboard(Behaviour()) as root,
            open_window(cast(SmokeNode, here), root, "seen.png") as window,
        ):
            window.open("settings/")
            driver = window.browser.service.process
            browsers = _children(driver.pid)
            assert browsers
            driver.kill()
            try:
                window.look()
            finally:
                for pid in browsers:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)

    with pytest.raises(pytest.fail.Exception, match=r"^the browser at http://\S+: "):
        killed()
    assert here.kept == {}


def _children(pid: int) -> list[int]:
    """Return what any thread of *pid* has started."""
    listed = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    return [int(child) for child in " ".join(listed).split()]


def test_nothing_of_it_is_left(here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    failure(here, Behaviour(kind="text"))
    assert list((tmp_path / "tmp").iterdir()) == []
    left = [
        path.parent.name
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if str(tmp_path).encode() in _read(path)
    ]
    assert left == []


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


@pytest.mark.parametrize(
    ("names", "why"),
    [("BROWSERS", "this host has no nowhere"), ("DRIVERS", "this host has no nowhere")],
)
def test_without_a_browser_it_is_not_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, names: str, why: str
) -> None:
    monkeypatch.setattr(chromium, names, ("nowhere",))
    place = Place(tmp_path, "/bin/sh", 10)
    with (
        pytest.raises(NotRunError, match=why),
        open_window(cast(SmokeNode, Here(place)), "http://127.0.0.1:1/", "x.png"),
    ):
        pytest.fail("there is a browser")
    place.close()


def test_without_selenium_it_is_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "selenium.webdriver", None)
    assert "pip install selenium" in chromium.missing_browser()


def test_a_browser_that_does_not_start_is_not_run(
    here: Here, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "broken-browser"
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setattr(chromium, "BROWSERS", (str(broken),))
    with (
        dashboard(Behaviour()) as root,
        pytest.raises(NotRunError, match="browser does not start: "),
        open_window(cast(SmokeNode, here), root, "x.png"),
    ):
        pytest.fail("there is a browser")
