"""Secrets of the environment stay out of records and of what is printed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from yoctovirt.base.process import paste_form
from yoctovirt.base.record import RunRecord
from yoctovirt.base.secrets import is_secret_name, mask, mask_files, secret_values
from yoctovirt.errors import BuildError

TOKEN = "glpat-x7Qz2(9)+w"
PASSWORD = "p@ss:w/rd%1"
ENV = {
    "CI_JOB_TOKEN": TOKEN,
    "https_proxy": "http://user:p%40ss%3Aw%2Frd%251@proxy.invalid:3128/",
    "HOME": "/root",
    "SSH_AUTH_SOCK": "/run/agent.sock",
    "TOKENIZERS_PARALLELISM": "false",
    "DEPLOY_KEY": "-----BEGIN KEY-----\nAAAAB3NzaC1yc2E\n-----END KEY-----\n",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if is_secret_name(name):
            monkeypatch.delenv(name)
    for name, value in ENV.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    "name",
    ["CI_JOB_TOKEN", "DB_PASSWORD", "SECRET_KEY_BASE", "AWS_SECRET_ACCESS_KEY", "API_KEY", "GH_PAT",
     "NPM_AUTH", "SIGNING_KEY", "db_passwd", "DOCKER_CREDENTIALS", "apikey"],
)  # fmt: skip
def test_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name", ["PATH", "HOME", "YOCTOVIRT_ROOT_KEY", "AUTHOR", "SSH_AUTH_SOCK", "PATTERN", "KEYMAP"]
)
def test_names_of_others(name: str) -> None:
    assert not is_secret_name(name)


def test_values() -> None:
    found = secret_values()
    assert {TOKEN, PASSWORD, "p%40ss%3Aw%2Frd%251", "AAAAB3NzaC1yc2E"} <= set(found)
    assert "false" not in found, "too short to be one"
    assert not any(value.startswith("/") for value in found)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"curl -H 'X: {TOKEN}'", "curl -H 'X: ********'"),
        (f"a{TOKEN}b{TOKEN}", "a********b********"),
        ("git clone https://me:hunter2@h.invalid/x", "git clone https://me:********@h.invalid/x"),
        ("https://:hunter2@h/x", "https://:********@h/x"),
        ("https://ghp_0123456789abcdefXYZ@h/x", "https://********@h/x"),
        ("ssh://git@h.invalid/x and https://h/a@b", "ssh://git@h.invalid/x and https://h/a@b"),
        ("http://user:p%40ss%3Aw%2Frd%251@proxy", "http://user:********@proxy"),
        (PASSWORD, "********"),
        ("nothing at all", "nothing at all"),
    ],
)
def test_what_is_shown(text: str, shown: str) -> None:
    assert mask(text) == shown


def test_a_command_line() -> None:
    argv = ["tool", "--api-key", "abc", "--password=x", "-v", f"--with={TOKEN}", "http://a:b@h/"]
    line = paste_form(argv, env={"MY_TOKEN": "t", "URL": "http://a:b@h/"})
    assert line == (
        "MY_TOKEN='********' URL='http://a:********@h/' tool --api-key '********' "
        "'--password=********' -v '--with=********' 'http://a:********@h/'"
    )


def test_nothing_of_it_stays_in_a_record(tmp_path: Path) -> None:
    record = RunRecord(tmp_path, "x", f"yoctovirt ci x --qemuparams={TOKEN}")
    record.commands().note(["git", "clone", "https://me:hunter2@h.invalid/x", TOKEN])
    with record.phase("build") as details:
        details["url"] = "https://me:hunter2@h.invalid/"
    log = record.path / "build.log"
    log.write_text(f"fetching with {TOKEN}\nhttps://me:hunter2@h.invalid/x\n{PASSWORD}\nplain\n")
    size = log.stat().st_size
    (record.path / "evidence").mkdir()
    (record.path / "evidence" / "journal").write_text(f"é {TOKEN} é\n")
    (record.path / "empty").touch()
    (record.path / "screen.png").write_bytes(TOKEN.encode())
    record.finish(BuildError(f"it broke: {TOKEN}", "https://me:hunter2@h.invalid/"))
    assert log.stat().st_size == size
    assert log.read_text().endswith("\nplain\n")
    for path in record.path.rglob("*"):
        if path.is_file() and path.suffix != ".png":
            for secret in (TOKEN, PASSWORD, "hunter2"):
                assert secret not in path.read_text(), path
    error = json.loads((record.path / "run.json").read_text())["error"]
    assert error["message"] == "it broke: ********"


def test_a_log_that_grows_meanwhile_is_not_torn(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("ab") as out:
        out.write(f"a {TOKEN}\n".encode())
        out.flush()
        assert mask_files(tmp_path) == 1
        out.write(b"and on\n")
    assert log.read_text() == "a " + "*" * len(TOKEN) + "\nand on\n"
    assert mask_files(tmp_path) == 0


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_nothing_of_it_is_printed(stream: str, tmp_path: Path) -> None:
    """The whole command line, as a process of its own: the role's name is the secret."""
    verb = ["config", TOKEN] if stream == "stderr" else ["bundle", "--check", TOKEN]
    done = subprocess.run(
        [sys.executable, "-m", "yoctovirt", "--workspace", str(tmp_path), *verb],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert TOKEN not in done.stdout + done.stderr
    assert "********" in done.stdout + done.stderr
