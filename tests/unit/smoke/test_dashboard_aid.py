"""The browser that the suite horizon brings to a node, run here on a small dashboard of ours."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from yoctovirt.smoke.suites.aids.dashboard import _PROGRAM

#: As horizon's page of the instances has it: a table in what pops up, and a script, in a row.
INSTANCES = """<title>Instances</title><a href="{root}auth/logout/">Out</a>
<table id="instances"><tr><th>Name</th></tr>
<tr data-object-id="id-1"><td>one</td><td><a href="#" data-content="<table class='table'>
<tr><th>ID</th><td>7</td></tr></table>">tiny</a>
<script>$(function () {{ if (1 < 2) {{ "Error" }} }});</script>
<table><tr><td>inner</td></tr></table></td><td>Active</td></tr>
<tr data-object-id="id-2"><td>two</td><td>Error</td></tr></table>"""
LOGIN = """<title>Login</title><link rel="stylesheet" href="{root}static/a.css">
<noscript><div class="alert alert-danger">No scripts.</div></noscript>
<form action="{root}auth/login/" method="post"><input name="token" value="t1">
<input name="username"><input name="password" type="password"></form>"""
WRONG = '<div class="alert alert-danger"><p>Invalid &amp; refused.</p></div>'


@contextmanager
def serving(root: str) -> Iterator[int]:
    """Have a dashboard below *root*; 404 elsewhere. Yields its port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self, status: int, text: str, **headers: str) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(text.encode())

        def do_GET(self) -> None:
            known = "session=s1" in (self.headers["Cookie"] or "")
            path, _, query = self.path.partition("?next=")
            if path == f"{root}auth/login/":
                hidden = f'<input type="hidden" name="next" value="{query}">' if query else ""
                self.answer(200, LOGIN.format(root=root).replace("</form>", f"{hidden}</form>"))
            elif not self.path.startswith(root):
                self.answer(404, "<title>Not here</title>")
            elif not known:
                self.answer(302, "", Location=f"{root}auth/login/")
            else:
                self.answer(200, INSTANCES.format(root=root))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            sent = {key: value[0] for key, value in urllib.parse.parse_qs(body).items()}
            to = sent.pop("next", root)
            if sent == {"token": "t1", "username": "admin", "password": "right"}:
                self.answer(302, "", Location=to, Set_Cookie="session=s1; Path=/")
            else:
                self.answer(200, LOGIN.format(root=root) + WRONG)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def browse(folder: Path, *arguments: str, password: str = "right") -> tuple[list[Any], list[str]]:
    """Return the pages that the browser saw, and its other words."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(folder / "jar"), "20", *arguments],
        env={**os.environ, "OS_USERNAME": "admin", "OS_PASSWORD": password},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    pages = [json.loads(line) for line in lines if line.startswith("{")]
    return pages, [line for line in lines if not line.startswith("{")]


def test_it_is_looked_for_in_each_place_and_said_where_it_is(tmp_path: Path) -> None:
    with serving("/") as own, serving("/horizon/") as apache:
        pages, words = browse(tmp_path, "find", f":{own}", f":{apache}/horizon")
        assert words == [f"the dashboard is at http://127.0.0.1:{own}/"]
        pages, words = browse(tmp_path, "find", f":{apache}", f":{apache}/horizon")
    assert words[0] == f"no dashboard at http://127.0.0.1:{apache}/"
    assert words[-1] == f"the dashboard is at http://127.0.0.1:{apache}/horizon/"
    assert [pages[0]["status"], pages[-1]["status"]] == [404, 200]
    assert pages[-1]["files"] == [f"http://127.0.0.1:{apache}/horizon/static/a.css"]


def test_it_is_nowhere(tmp_path: Path) -> None:
    with serving("/elsewhere/") as port:
        pages, words = browse(tmp_path, "find", f":{port}", f":{port}/horizon")
    assert not [page for page in pages if page.get("login_form")]
    assert {page["status"] for page in pages} <= {404, 0}
    assert len(words) == len(pages) >= 2
    assert all(line.startswith("no dashboard at ") for line in words)


def test_a_login_lasts_and_a_wrong_one_says_why(tmp_path: Path) -> None:
    with serving("/horizon/") as port:
        root = f"http://127.0.0.1:{port}/horizon/"
        (page,), _ = browse(tmp_path, "login", root, "settings/", password="wrong")
        assert (page["login_form"], page["signed_in"]) == (True, False)
        assert page["alerts"] == ["Invalid & refused."]
        (page,), _ = browse(tmp_path, "get", "1", root)
        assert page["login_form"]
        assert page["alerts"] == []
        assert page["steps"] == [f"{root}auth/login/"]
        (page,), _ = browse(tmp_path, "login", root, "settings/")
        assert page["signed_in"]
        assert page["url"] == f"{root}settings/"
        pages, _ = browse(tmp_path, "each", f"{root}a", f"{root}b")
        assert [page["signed_in"] for page in pages] == [True, True]


def test_a_row_is_what_a_person_reads_in_it(tmp_path: Path) -> None:
    with serving("/horizon/") as port:
        root = f"http://127.0.0.1:{port}/horizon/"
        browse(tmp_path, "login", root, "")
        (page,), _ = browse(tmp_path, "get", "1", root, "id-1", "id-2", "id-3")
    assert page["rows"] == {"id-1": "one tiny inner Active", "id-2": "two Error", "id-3": ""}
    assert page["objects"] == 2


@pytest.mark.parametrize("verb", ["find", "login"])
def test_nobody_listens(tmp_path: Path, verb: str) -> None:
    with serving("/") as port:
        pass
    given = [f":{port}"] if verb == "find" else [f"http://127.0.0.1:{port}/", "settings/"]
    pages, _ = browse(tmp_path, verb, *given)
    assert pages
    assert {page["status"] for page in pages} == {0}
    assert all("refused" in page["why"] for page in pages[:1])
