"""What CI services are told: in their own form, and nothing that others print is obeyed."""

from __future__ import annotations

import io
import re
import time
from pathlib import Path
from typing import Any

import pytest

from tests.samples import green_run, interrupted_run, red_run
from yoctovirt.base.screen import Screen
from yoctovirt.cli.annotate import (
    GITHUB_LIMIT,
    annotate_run,
    choose_kind,
    speaking_to,
    summary,
    tell_ci,
    write_summary,
)
from yoctovirt.report.load import load_run


@pytest.mark.parametrize(
    ("wanted", "env", "kind"),
    [
        ("auto", {}, "plain"),
        ("auto", {"CI": "true"}, "plain"),
        ("auto", {"GITHUB_ACTIONS": "true"}, "github"),
        ("auto", {"GITLAB_CI": "true"}, "gitlab"),
        ("plain", {"GITHUB_ACTIONS": "true"}, "plain"),
        ("gitlab", {}, "gitlab"),
    ],
)
def test_the_kind(wanted: str, env: dict[str, str], kind: str) -> None:
    assert choose_kind(wanted, env) == kind


# GitHub -------------------------------------------------------------------------


def _unescape(text: str, more: bool) -> str:
    pairs = [("%3A", ":"), ("%2C", ",")] if more else []
    for escaped, plain in [*pairs, ("%0D", "\r"), ("%0A", "\n"), ("%25", "%")]:
        text = text.replace(escaped, plain)
    return text


def obeyed(log: str) -> list[tuple[str, dict[str, str], str]]:
    """Return the workflow commands that GitHub's runner obeys in *log*, as it documents them."""
    found, stopped = [], ""
    for line in log.splitlines():
        match = re.fullmatch(r"\s*::([^\s:]+)(?: ([^:]*(?:(?!::).)*?))?::(.*)", line)
        if match is None:
            continue
        name, given, data = match.groups()
        if stopped:
            if name == stopped:
                stopped = ""
            continue
        if name == "stop-commands":
            stopped = data
            continue
        properties = dict(one.split("=", 1) for one in (given or "").split(",") if one)
        found.append(
            (name, {key: _unescape(v, True) for key, v in properties.items()},
             _unescape(data, False))
        )  # fmt: skip
    assert not stopped, "the rest of the step has lost its commands"
    return found


def github(run: dict[str, Any], between: str = "") -> list[tuple[str, dict[str, str], str]]:
    stream = io.StringIO()
    with speaking_to("github", stream) as tell:
        stream.write(between)
        annotate_run(tell, run)
        stream.write(between)
    return obeyed(stream.getvalue())


def test_each_bad_check_is_an_error_at_github(tmp_path: Path) -> None:
    run = load_run(red_run(tmp_path))
    found = github(run)
    assert [(name, given["title"]) for name, given, _ in found] == [
        ("error", "reference: docker::daemon"),
        ("error", "reference: docker::run"),
    ]
    assert "Cannot connect to the Docker daemon" in found[0][2]
    assert github(load_run(green_run(tmp_path / "green"))) == []


def test_an_interrupt_is_shown(tmp_path: Path) -> None:
    run = load_run(interrupted_run(tmp_path))
    run["error"] = {"class": "KeyboardInterrupt", "message": "", "hint": ""}
    assert github(run) == [("error", {"title": "reference: KeyboardInterrupt"}, "interrupted")]
    run["checks"] = []
    assert "\n    interrupted\n" in summary(run)


def test_nothing_gets_lost_in_the_escaping() -> None:
    stream = io.StringIO()
    message = "50%\r\n%0A is no end: a, b::c\n::error::x"
    with speaking_to("github", stream) as tell:
        tell.error("a: b, 100%::c", message)
    assert obeyed(stream.getvalue()) == [("error", {"title": "a: b, 100%::c"}, message)]


@pytest.mark.parametrize(
    "hostile",
    ["::error::from the node\n", "  ::add-path::/evil\n", "::stop-commands::x\n::x::\n",
     "::stop-commands::\n", "text\n::set-env name=A::b\n"],
)  # fmt: skip
def test_what_a_node_prints_is_not_obeyed(tmp_path: Path, hostile: str) -> None:
    run = load_run(red_run(tmp_path))
    assert github(run, hostile) == github(run)


def test_the_eleventh_error_is_not_silently_dropped(tmp_path: Path) -> None:
    run = load_run(red_run(tmp_path))
    run["checks"] = [dict(run["checks"][2], id=f"docker::c{number}") for number in range(25)]
    found = github(run)
    assert len(found) == GITHUB_LIMIT
    assert found[-1][1]["title"] == "And more"


def test_groups_of_github_are_one_deep() -> None:
    stream = io.StringIO()
    with speaking_to("github", stream) as tell:
        screen = Screen(stream, groups=tell)
        with screen.step("build a"), screen.step("within"):
            pass
        with pytest.raises(ValueError, match="x"), screen.step("boot a"):
            raise ValueError("x")
    assert [(name, data) for name, _, data in obeyed(stream.getvalue())] == [
        ("group", "build a"), ("endgroup", ""), ("group", "boot a"), ("endgroup", ""),
    ]  # fmt: skip


def test_retries_are_warnings(tmp_path: Path) -> None:
    run = load_run(green_run(tmp_path))
    run["retries"] = [{"phase": "build", "attempt": 1, "message": "no answer"}]
    assert github(run) == [("warning", {"title": "reference: build tried again"}, "no answer")]


def test_the_summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = load_run(red_run(tmp_path))
    text = summary(run)
    assert "### reference: " in text
    assert "3 of 5 checks passed" in text
    assert "docker::daemon" in text
    path = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(path))
    monkeypatch.setenv("MY_TOKEN", "Cannot connect")
    for kind, there in (("plain", False), ("gitlab", False), ("github", True)):
        with speaking_to(kind, io.StringIO()) as tell:
            tell_ci(tell, run)
        assert path.exists() == there
    assert "Cannot connect" not in path.read_text()
    path.write_bytes(b"x" * 899_999)
    write_summary(run)
    assert path.stat().st_size == 899_999, "GitHub would drop all of it"


def test_a_summary_that_cannot_be_written_fails_nothing(tmp_path: Path) -> None:
    write_summary(load_run(green_run(tmp_path)), {"GITHUB_STEP_SUMMARY": "/nowhere/at/all"})


def test_markup_in_a_message_is_shown_as_it_is(tmp_path: Path) -> None:
    run = load_run(red_run(tmp_path))
    run["checks"][2]["message"] = "a | b\n<img src=x> [link](http://x) `code`"
    row = next(line for line in summary(run).splitlines() if "docker::daemon" in line)
    assert row.count("|") - row.count("\\|") == 4
    assert "<img" not in row
    assert "](" not in row


# GitLab -------------------------------------------------------------------------


def test_sections_of_gitlab() -> None:
    stream = io.StringIO()
    before = int(time.time())
    with speaking_to("gitlab", stream) as tell:
        screen = Screen(stream, groups=tell)
        with screen.step("build my role: 1"), screen.step("within"):
            pass
        with screen.step("build my role: 1"):
            pass
    log = stream.getvalue()
    marks = re.findall(
        r"^\x1b\[0Ksection_(start|end):(\d+):([A-Za-z0-9_.-]+)\r\x1b\[0K(.*)$", log, re.MULTILINE
    )
    assert log.count("section_") == len(marks) == 6
    assert all(before <= int(seconds) <= time.time() for _, seconds, _, _ in marks)
    names = [name for kind, _, name, _ in marks if kind == "start"]
    assert len(set(names)) == 3, "GitLab takes two of one name for one"
    assert [(kind, name) for kind, _, name, _ in marks] == [
        ("start", names[0]), ("start", names[1]), ("end", names[1]), ("end", names[0]),
        ("start", names[2]), ("end", names[2]),
    ]  # fmt: skip
    assert marks[0][3] == "build my role: 1"


def test_elsewhere_nothing_is_added(tmp_path: Path) -> None:
    logs = []
    for kind in ("plain", None):
        stream = io.StringIO()
        with speaking_to(kind or "plain", stream) as tell:
            screen = Screen(stream, groups=tell if kind else None)
            with screen.step("build"):
                pass
            tell_ci(tell, load_run(red_run(tmp_path)))
        logs.append(re.sub(r"\d+\.\d s", "", stream.getvalue()))
    assert logs[0] == logs[1]
