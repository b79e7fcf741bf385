"""``ci --retry``: what the network broke is tried again, and nothing else; all of it is counted."""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.fakebitbake import FakePoky, fake_poky
from tests.gitrepos import git
from tests.runschema import run_problems
from yoctovirt.base.passing import is_passing


@pytest.fixture
def poky(tmp_path: Path) -> Iterator[FakePoky]:
    fake = fake_poky(tmp_path)
    yield fake
    assert fake.left() == [], "a process of the build was left behind"


class _Flaky(SimpleHTTPRequestHandler):
    """Serve files, after as many answers of 503 as *down* says."""

    down = 0

    def do_GET(self) -> None:
        if type(self).down > 0:
            type(self).down -= 1
            self.send_error(503)
        else:
            super().do_GET()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@pytest.fixture
def server(poky: FakePoky) -> Iterator[type[_Flaky]]:
    """Let the layers come from a git server over HTTP that can be down."""
    source = Path(poky.url.removeprefix("file://"))
    git(source, "update-server-info")
    kind = type("Flaky", (_Flaky,), {"down": 0})
    handler = functools.partial(kind, directory=str(source.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        file = poky.workspace / "kas" / "inc" / "mine.yml"
        url = f"http://127.0.0.1:{http.server_port}/{source.name}/.git"
        file.write_text(file.read_text().replace(poky.url, url))
        yield kind
        http.shutdown()
        thread.join()


def ci(poky: FakePoky, *options: str) -> tuple[int, dict[str, Any], str]:
    done = poky.call("ci", "mine", "--until", "build", "--retry-wait", "0.1", *options)
    run: dict[str, Any] = json.loads((poky.record() / "run.json").read_text())
    assert done.returncode == run["exit_code"]
    assert run_problems(run) == []
    return done.returncode, run, done.stdout + done.stderr


def statuses(run: dict[str, Any]) -> list[tuple[str, str]]:
    return [(phase["name"], phase["status"]) for phase in run["phases"]]


def test_a_git_server_that_comes_back(poky: FakePoky, server: type[_Flaky]) -> None:
    server.down = 3
    code, run, said = ci(poky, "--retry", "2")
    assert code == 0, said
    assert statuses(run) == [("build", "ok")]
    assert 1 <= len(run["retries"]) <= 2
    first = run["retries"][0]
    assert (first["phase"], first["attempt"], first["class"]) == (
        "build", 1, "InfrastructureError",
    )  # fmt: skip
    assert "is found nowhere" in first["message"]
    assert "attempt 1 of 3" in said
    assert f"retries: {len(run['retries'])} (build; see run.json)" in said
    junit = (poky.record() / "junit.xml").read_text()
    assert 'errors="0"' in junit


def test_without_the_option_nothing_is_tried_again(poky: FakePoky, server: type[_Flaky]) -> None:
    server.down = 1000
    code, run, said = ci(poky)
    assert code == 3, said
    assert run["retries"] == []
    assert statuses(run) == [("build", "error")]


def test_a_git_server_that_stays_away(poky: FakePoky, server: type[_Flaky]) -> None:
    server.down = 1000
    code, run, said = ci(poky, "--retry", "2")
    assert code == 3, said
    assert [entry["attempt"] for entry in run["retries"]] == [1, 2]
    assert [entry["wait"] for entry in run["retries"]] == [0.1, 0.2]
    assert statuses(run) == [("build", "error")]


def test_a_source_whose_server_refused(poky: FakePoky) -> None:
    poky.do("refused")
    (poky.control / "down").write_text("2")
    code, run, said = ci(poky, "--retry", "3")
    assert code == 0, said
    assert len(run["retries"]) == 2
    assert "did not answer" in run["retries"][1]["message"]


def test_a_source_whose_server_refused_is_of_the_network(poky: FakePoky) -> None:
    poky.do("refused")
    code, run, _ = ci(poky)
    assert code == 3
    assert run["error"]["failures"][0]["cause"] == "fetch"


@pytest.mark.parametrize(("fault", "code"), [("absent", 4), ("fail", 4)])
def test_what_stays_is_never_tried_again(poky: FakePoky, fault: str, code: int) -> None:
    poky.do(fault)
    got, run, said = ci(poky, "--retry", "3")
    assert got == code, said
    assert run["retries"] == []
    calls = (poky.record() / "commands.log").read_text().count(" -m kas build ")
    assert calls == 1


def test_a_call_that_is_wrong_is_not_tried_again(poky: FakePoky) -> None:
    file = poky.workspace / "kas" / "inc" / "mine.yml"
    file.write_text(file.read_text().replace(poky.commit, "f" * 40))
    code, run, _ = ci(poky, "--retry", "2")
    assert code == 3
    assert run["retries"] == [], "the server answered, and does not have the commit"


@pytest.mark.parametrize(
    "said",
    [
        "fatal: unable to access 'http://h/': Failed to connect to h port 80: Connection refused",
        "fatal: unable to access 'http://h/': The requested URL returned error: 503",
        "fatal: unable to access 'https://h/': Could not resolve host: h",
        "Resolving h... failed: Temporary failure in name resolution.",
        "2026-11-21 07:38:33 ERROR 502: Bad Gateway.",
        "error: RPC failed; curl 56 GnuTLS recv error (-54): Error in the pull function.",
        "fatal: early EOF",
        "E: Failed to fetch http://h/x.deb  503  Service Unavailable [IP: 10.0.0.1 80]",
        "Err:1 http://h bookworm InRelease: Could not connect to h:80, connection timed out",
        "E: Temporary failure resolving 'deb.h'",
    ],
)
def test_what_may_pass(said: str) -> None:
    assert is_passing(said)


@pytest.mark.parametrize(
    "said",
    [
        "2026-11-21 07:38:33 ERROR 404: File not found.",
        "fatal: unable to access 'http://h/': The requested URL returned error: 403",
        "fatal: couldn't find remote ref refs/heads/x",
        "Resolving h... failed: Name or service not known.",
        "E: Failed to fetch http://h/x.deb  404  Not Found [IP: 10.0.0.1 80]",
        "ERROR: Bitbake Fetcher Error: ChecksumError(b'Checksum mismatch!')",
        "No space left on device",
        "log.do_fetch.5001: error in line 501",
    ],
)
def test_what_stays(said: str) -> None:
    assert not is_passing(said)


def test_the_plan_comes_first_and_a_dry_run_is_all_of_it(poky: FakePoky) -> None:
    """Real kas, a bitbake of ours: what is planned is what is then done."""
    done = poky.call("ci", "mine", "--until", "build", "--dry-run", "--retry", "1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("plan:    build\n")
    assert "node:    mine, built by kas: release scarthgap, machine qemux86-64\n" in done.stdout
    assert "retries: 1 where" in done.stdout
    assert not (poky.workspace / "runs").exists()
    code, run, said = ci(poky, "--annotations", "gitlab")
    assert code == 0, said
    assert said.index("plan:    build") < said.index("result: passed")
    assert [phase["name"] for phase in run["phases"]] == ["build"]
    assert run["until"] == "build"
    assert "section_start:" in said
    done = poky.call("ci", "mine", "--dry-run", "--no-kvm", "--suite", "base")
    assert done.stdout.startswith("plan:    build, boot, smoke\n")
    assert "tcg (asked for with --no-kvm)" in done.stdout
    assert "suites: base (" in done.stdout


def test_no_secret_of_the_job_stays(poky: FakePoky) -> None:
    """A token in the configuration: bitbake prints it, and kas is given it."""
    token = "glpat-0123456789"
    poky.do("fail")
    bitbake = poky.workspace / "kas" / "inc" / "mine.yml"
    bitbake.write_text(
        bitbake.read_text() + f'local_conf_header:\n  x: |\n    MIRROR = "http://u:{token}@h/"\n'
    )
    done = poky.call(
        "ci", "mine", "--until", "build", "--annotations", "github", CI_JOB_TOKEN=token,
        https_proxy=f"http://user:{token}@127.0.0.1:9/",
    )  # fmt: skip
    assert done.returncode == 4, done.stderr
    assert token not in done.stdout + done.stderr
    for path in poky.record().rglob("*"):
        if path.is_file():
            assert token.encode() not in path.read_bytes(), path
