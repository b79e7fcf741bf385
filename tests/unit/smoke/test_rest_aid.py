"""The programs of aids/rest.py, run here against a small keystone and service of our own."""

from __future__ import annotations

import http.server
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.httpserver import serving
from tests.unit.smoke.host import Host
from yoctovirt.smoke.suites.aids.openstack import Cloud
from yoctovirt.smoke.suites.aids.rest import Rest

TOKEN, PROJECT = "t0ken", "0123abcd"


class Handler(http.server.BaseHTTPRequestHandler):
    """Keystone at /v3; a service at /store/PROJECT that looks at token and project."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.path != "/v3/auth/tokens":
            return self._answer(404, {})
        host = self.headers["Host"]
        endpoint = {"interface": "public", "region": "RegionOne", "region_id": "RegionOne",
                    "url": f"http://{host}/store/{PROJECT}"}  # fmt: skip
        keystone = {**endpoint, "url": f"http://{host}/v3"}
        catalog = [{"type": "object-store", "name": "swift", "endpoints": [endpoint]},
                   {"type": "identity", "name": "keystone", "endpoints": [keystone]}]  # fmt: skip
        token = {"catalog": catalog, "project": {"id": PROJECT}, "user": {"id": "u"}}
        return self._answer(201, {"token": token}, {"X-Subject-Token": TOKEN})

    def do_GET(self) -> None:
        if self.path == "/healthcheck":
            return self._answer(200 if "X-Auth-Token" not in self.headers else 400, {})
        if self.headers.get("X-Auth-Token") != TOKEN:
            return self._answer(401, {})
        if not self.path.startswith(f"/store/{PROJECT}/") and self.path != f"/store/{PROJECT}":
            return self._answer(403, {})
        if self.path.endswith("/strict") and self.headers.get("X-Project-Id") != PROJECT:
            return self._answer(406, {})
        return self._answer(200, {"secret": "never shown"})

    def _answer(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        told = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(told)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(told)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    with serving(Handler) as port:
        yield port


def open_rest(tmp_path: Path, port: int, end: str) -> Rest:
    openrc = tmp_path / "openrc"
    openrc.write_text(
        f"export OS_AUTH_URL=http://127.0.0.1:{port}{end} OS_USERNAME=admin OS_PASSWORD=secret "
        "OS_PROJECT_NAME=admin\n"
    )
    node: Any = Host()
    rest = Rest(Cloud(node, str(openrc), client=False), str(tmp_path / "rest"))
    rest.install()
    return rest


@pytest.mark.parametrize("end", ["", "/", "/v3", "/v3/", "/v2.0", "/v2.0/"])
def test_any_url_of_an_openrc_leads_to_version_3(tmp_path: Path, port: int, end: str) -> None:
    answer = open_rest(tmp_path, port, end).call("GET", "object-store", "/list")
    assert (answer.status, answer.body) == (200, {"secret": "never shown"})


def test_who_asks_decides_on_the_status(tmp_path: Path, port: int) -> None:
    rest = open_rest(tmp_path, port, "/v3")
    asked = {
        ("nobody", ""): "401",
        ("liar", ""): "401",
        ("user", ""): "200",
        ("user", "other"): "403",
        ("nobody", "SERVER/healthcheck"): "200",
        ("user", "/strict"): "406",
    }
    for (who, path), wanted in asked.items():
        assert rest.status(who, "object-store", path) == wanted, (who, path)
    headers = {"X-Project-Id": "@PROJECT@"}
    assert rest.status("user", "object-store", "/strict", headers) == "200"


def test_no_answer_is_told_with_its_reason(tmp_path: Path, port: int) -> None:
    rest = open_rest(tmp_path, port, "")
    rest.call("GET", "object-store", "")
    session = Path(rest.folder) / "session"
    kept = json.loads(session.read_text())
    kept["catalog"]["object-store"] = "http://127.0.0.1:1/store"
    session.write_text(json.dumps(kept))
    assert rest.status("user", "object-store", "").startswith("no answer: [Errno 111]")
