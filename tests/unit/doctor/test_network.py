"""Who answers: real servers and proxies of the test on 127.0.0.1."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from yoctovirt.doctor import network


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        if path == "/slow":
            time.sleep(3)
        code = {"/absent.git/info/refs": 404, "/dead": 502, "/proxy": 407}.get(path, 200)
        self.send_response(code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return


@contextmanager
def serving() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with serving() as url:
        yield url


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


def test_a_server_that_answers(server: str) -> None:
    answer = network.ask(f"{server}/poky.git", 5)
    assert answer.kind == "yes"
    assert "GMT" in answer.date
    assert abs(answer.came - time.time()) < 60


@pytest.mark.parametrize(
    ("path", "kind"), [("/absent.git", "no"), ("/dead", "silent"), ("/proxy", "silent")]
)
def test_a_server_that_has_it_not(server: str, path: str, kind: str) -> None:
    assert network.ask(f"{server}{path}", 5).kind == kind


def test_nobody_there() -> None:
    number = closed_port()
    for scheme in ("http", "https", "git", "ssh"):
        answer = network.ask(f"{scheme}://127.0.0.1:{number}/x.git", 2)
        assert answer.kind == "silent"
        assert "refused" in answer.said.lower()


def test_git_and_ssh_are_asked_for_a_connection(server: str) -> None:
    assert network.ask(server.replace("http", "git") + "/x", 2).kind == "yes"
    assert network.ask(server.replace("http", "ssh") + "/x", 2).kind == "yes"


def test_all_at_once_with_one_deadline(server: str) -> None:
    urls = [f"{server}/slow", f"{server}/quick", f"http://127.0.0.1:{closed_port()}/"]
    start = time.monotonic()
    answers = network.ask_all(urls, 0.7)
    assert time.monotonic() - start < 2
    assert [answers[url].kind for url in urls] == ["silent", "yes", "silent"]
    said = answers[urls[0]].said  # whose deadline is first
    assert said in ("no answer within 1 s", "timed out")


def test_the_proxy_of_the_environment_is_used(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", server)  # which answers whatever it is asked
    assert network.ask("http://no-such-host.invalid/x", 5).kind == "yes"
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{closed_port()}")
    assert network.ask(f"{server}/x", 5).kind == "silent"


def statuses(environ: dict[str, str]) -> list[str]:
    return [one.status for one in network.proxies(environ, 1.0)]


def test_proxies(server: str) -> None:
    assert statuses({}) == ["ok"]
    assert statuses({"http_proxy": server, "https_proxy": server}) == ["ok", "ok"]
    assert statuses({"http_proxy": server}) == ["warning", "ok"]
    assert statuses({"https_proxy": server, "HTTPS_PROXY": "http://x:1"}) == ["warning", "ok"]
    assert statuses({"https_proxy": f"http://127.0.0.1:{closed_port()}"}) == ["error"]
    assert statuses({"https_proxy": server.removeprefix("http://")}) == ["error"]
    assert statuses({"https_proxy": "http://"}) == ["error"]
    assert statuses({"https_proxy": "http://h:port"}) == ["error"]


def test_a_password_is_not_shown() -> None:
    found = network.proxies({"https_proxy": f"http://u:geheim@127.0.0.1:{closed_port()}"}, 1.0)
    assert "geheim" not in str(found)
    assert "u:********@" in found[0].message


def answer(url: str, kind: str) -> network.Answer:
    return network.Answer(url, kind, "said")  # type: ignore[arg-type]


def test_repositories() -> None:
    answers = {url: answer(url, kind) for url, kind in (("a", "no"), ("b", "yes"), ("c", "silent"))}
    results = network.repositories(["poky"], {"oe": ["a", "b"], "virt": ["a", "c"]}, answers)
    assert [one.status for one in results] == ["ok", "ok", "error"]
    assert "virt" in results[2].message
    assert "a: said; c: said" in results[2].message
    assert "YOCTOVIRT_LAYER_MIRRORS" in results[2].remedy


def test_mirrors_and_sources() -> None:
    answers = {url: answer(url, kind) for url, kind in (("a", "no"), ("b", "silent"))}
    assert [one.status for one in network.mirrors(["a", "b"], answers)] == ["ok", "warning"]
    assert [one.status for one in network.sources(["a", "b"], answers)] == ["ok", "warning"]
    assert [one.status for one in network.sources([], answers)] == ["not checked"]
