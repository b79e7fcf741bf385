"""External commands that end soon, and how commands are shown and noted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.processes import wait_until_gone
from yoctovirt.base.process import CommandLog, missing_tool, paste_form, run_quick
from yoctovirt.errors import InfrastructureError

SHOW = "import os, sys, json; print(json.dumps([sys.argv[1:], os.getcwd(), os.environ.get('A B')]))"

# How a command is shown ---------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ["plain", "a b", "it's", '"quoted"', "$HOME", "`id`", "a;b", "*", "", "new\nline", "ü"],
        ["-append", "root=/dev/vda rw ip=dhcp", "user,id=net0,hostfwd=tcp:127.0.0.1:0-:22"],
    ],
)
def test_a_shell_reads_what_is_shown_as_it_was(words: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "it's a folder"
    folder.mkdir()
    line = paste_form([sys.executable, "-c", SHOW, *words], folder, {"LEVEL": "1 2", "LANG": "C"})
    assert f"LANG=C LEVEL='1 2' {sys.executable}" in line
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
    arguments, cwd, _ = json.loads(done.stdout)
    assert arguments == words
    assert cwd == str(folder)


def test_a_command_without_folder_and_environment_is_bare() -> None:
    assert paste_form(["mke2fs", "-t", "ext4", "a b"]) == "mke2fs -t ext4 'a b'"


@pytest.mark.parametrize(
    ("argv", "env"),
    [
        (["tool", "--password", "hunter2"], {}),
        (["tool", "--password=hunter2"], {}),
        (["tool", "--admin-passwd=hunter2"], {}),
        (["tool", "--auth-token", "hunter2", "more"], {}),
        (["docker", "run", "-e", "MYSQL_ROOT_PASSWORD=hunter2"], {}),
        (["tool"], {"OS_PASSWORD": "hunter2"}),
        (["tool"], {"GITHUB_TOKEN": "hunter2", "SECRET_KEY": "hunter2"}),
    ],
)
def test_secrets_are_masked(argv: list[str], env: dict[str, str], tmp_path: Path) -> None:
    log = CommandLog(tmp_path / "commands.log")
    shown = log.note(argv, env=env)
    for text in (shown, (tmp_path / "commands.log").read_text()):
        assert "hunter2" not in text
        assert "********" in text


def test_the_password_in_a_url_is_masked() -> None:
    shown = paste_form(["git", "fetch", "https://me:hunter2@git.example.invalid/x.git?a=b"])
    assert "hunter2" not in shown
    assert "git.example.invalid/x.git?a=b" in shown


def test_what_is_no_secret_is_shown() -> None:
    argv = ["tool", "--user", "root", "-o", "PasswordAuthentication=no", "name=value"]
    assert "--user root" in paste_form(argv)
    assert "name=value" in paste_form(argv)


def test_the_log_has_a_time_and_a_line_for_each_command(tmp_path: Path) -> None:
    shown: list[str] = []
    log = CommandLog(tmp_path / "commands.log", shown.append)
    log.note(["true"])
    log.note(["echo", "a b"], cwd=Path("/"), show=True)
    first, second = (tmp_path / "commands.log").read_text().splitlines()
    assert first.endswith(" true")
    assert first[:2] == "20"
    assert second.endswith(" cd / && echo 'a b'")
    assert shown == ["cd / && echo 'a b'"]


def test_bytes_of_a_call_that_are_no_utf8_do_not_break_the_log(tmp_path: Path) -> None:
    log = CommandLog(tmp_path / "commands.log")
    log.note(["ls", b"caf\xe9".decode("utf-8", "surrogateescape")])
    assert b"caf" in (tmp_path / "commands.log").read_bytes()


# run_quick ----------------------------------------------------------------------


def test_run_quick_returns_what_was_printed_on_both_streams(tmp_path: Path) -> None:
    log = CommandLog(tmp_path / "commands.log")
    text = run_quick(
        ["sh", "-c", 'pwd; echo "$WORD" >&2'], log, cwd=tmp_path, env={"WORD": "from outside"}
    )
    assert text == f"{tmp_path}\nfrom outside\n"
    assert "WORD='from outside'" in (tmp_path / "commands.log").read_text()


def test_run_quick_gives_no_input() -> None:
    assert run_quick(["cat"], CommandLog()) == ""


def test_run_quick_survives_output_that_is_no_utf8() -> None:
    assert run_quick(["printf", r"a\377b"], CommandLog()) == "a\ufffdb"


def test_a_failure_has_the_command_the_status_and_the_output() -> None:
    with pytest.raises(InfrastructureError) as caught:
        run_quick(["sh", "-c", "echo no such image >&2; exit 7"], CommandLog())
    assert "exit status 7: no such image" in caught.value.message
    assert "sh -c" in caught.value.message


def test_a_full_disk_is_told_from_other_failures() -> None:
    script = "echo 'mke2fs: No space left on device'; exit 1"
    with pytest.raises(InfrastructureError, match="the disk is full") as caught:
        run_quick(["sh", "-c", script], CommandLog())
    assert caught.value.hint


def test_a_timeout_is_an_error_with_the_command() -> None:
    with pytest.raises(InfrastructureError, match=r"did not end within 0 s: sleep 600"):
        run_quick(["sleep", "600"], CommandLog(), timeout=0.2)


def test_nothing_of_a_command_that_took_too_long_is_left(tmp_path: Path) -> None:
    script = f"sleep 600 & echo $! > {tmp_path}/pid; wait"
    with pytest.raises(InfrastructureError, match="did not end"):
        run_quick(["sh", "-c", script], CommandLog(), timeout=2.0)
    pid = int((tmp_path / "pid").read_text())
    try:
        wait_until_gone(pid, seconds=5.0)
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_a_missing_program_is_named_with_its_package() -> None:
    with pytest.raises(InfrastructureError, match="no-such-tool-yv is not installed") as caught:
        run_quick(["no-such-tool-yv"], CommandLog())
    assert "PATH" in caught.value.hint
    assert missing_tool("/usr/sbin/mke2fs").hint == "apt-get install e2fsprogs"


def test_a_missing_folder_is_not_taken_for_a_missing_program(tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError) as caught:
        run_quick(["true"], CommandLog(), cwd=tmp_path / "gone")
    assert str(tmp_path / "gone") in caught.value.message
    assert "not installed" not in caught.value.message


def test_a_program_that_may_not_be_run_is_an_error_of_the_host(tmp_path: Path) -> None:
    (tmp_path / "tool").write_text("#!/bin/sh\n")
    with pytest.raises(InfrastructureError, match="tool"):
        run_quick([str(tmp_path / "tool")], CommandLog())


def test_errors_mask_secrets_too() -> None:
    for script in ("exit 1", "sleep 600"):
        with pytest.raises(InfrastructureError) as caught:
            run_quick(["sh", "-c", script, "--password", "hunter2"], CommandLog(), timeout=1.0)
        assert "hunter2" not in caught.value.message
