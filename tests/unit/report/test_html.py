"""The page of a run, read back as a browser's parser would read it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests import samples
from tests.runschema import run_problems
from yoctovirt.report.bootline import STEPS
from yoctovirt.report.html import render_html, write_html, write_together
from yoctovirt.report.text import Budget, clip, plain
from yoctovirt.report.timeline import KINDS

VOID = {"meta", "link", "br", "hr", "img", "input"}


class Page(HTMLParser):
    """Collects what a reader sees, and complains of tags that do not match."""

    def __init__(self, html: str, folder: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.text = ""
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.outcomes: dict[str, str] = {}
        self.opened: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []
        assert len(self.ids) == len(set(self.ids)), "an id is there twice"
        for link in self.links:
            if link.startswith("#"):
                assert link[1:] in self.ids, f"{link} leads nowhere"
            elif not link.startswith("data:"):
                assert (folder / unquote(link)).is_file(), f"{link} leads nowhere"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        if "id" in values:
            self.ids.append(str(values["id"]))
        self.links += [str(values[key]) for key in ("href", "src") if key in values]
        if "data-check" in values:
            self.outcomes[str(values["data-check"])] = str(values["data-outcome"])
        if tag == "details" and "open" in values:
            self.opened.append(str(values.get("class")))

    def handle_endtag(self, tag: str) -> None:
        assert self.open
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.text += data


def page(folder: Path) -> Page:
    path = write_html(folder)
    assert path == folder / "report.html"
    return Page(path.read_text(encoding="utf-8"), folder)


def test_a_green_run(tmp_path: Path) -> None:
    shown = page(samples.green_run(tmp_path))
    assert shown.outcomes == {check["id"]: "passed" for check in samples.checks(red=False)}
    assert "What is wrong" not in shown.text
    for text in ("every check passed", "uname -sr", "Linux 6.1.0-56-cloud-amd64", "tcg (/dev/kvm"):
        assert text in shown.text
    assert "package-149" in shown.text
    assert "c0ffee" * 6 in shown.text
    assert "https://git.example.invalid/meta-virtualization" in shown.text
    assert "no commit" in shown.text
    assert "scarthgap" in shown.text
    assert "the role does not promise it: lxc" in shown.text
    assert "systemd: degraded, failed units: snmpd.service" in shown.text


def test_a_red_run_shows_what_failed_before_what_passed(tmp_path: Path) -> None:
    shown = page(samples.red_run(tmp_path))
    assert shown.outcomes == {check["id"]: check["outcome"] for check in samples.checks(red=True)}
    text = shown.text
    wrong = text.index("What is wrong", text.index("Logs"))
    assert wrong < text.index("the Docker daemon does not answer") < text.index("0.03 s")
    assert wrong < text.index("systemctl is-active docker") < text.index("0.03 s")
    assert text.index("0.03 s") < text.index("uname -sr")
    assert "exit status 3" in text
    assert "no exit status" in text
    assert "test_x.py:12: in test_x" in text
    assert {"check-docker--daemon", "check-docker--run", "check-base--kernel"} <= set(shown.ids)
    # The list of failed checks need not be told again by the error.
    assert "2 of 5 checks failed" not in text


def test_what_failed_comes_with_the_call_that_runs_it_again(tmp_path: Path) -> None:
    def told(folder: Path) -> str:
        found = re.search(r"Run (it|the first) again: (.*)\n", page(folder).text)
        return f"{found[1]}: {found[2]}" if found else ""

    red = samples.red_run(tmp_path / "red")
    call = f"yoctovirt smoke reference --check {samples.FAILED}"
    assert told(red) == f"the first: {call}"
    run = json.loads((red / "run.json").read_text())
    bad = next(check for check in run["checks"] if check["outcome"] == "failed")
    samples.edit(red, checks=[{**bad, "id": "own::text[a b]"}])
    assert told(red) == "it: yoctovirt smoke reference --check 'own::text[a b]'"
    samples.edit(red, checks=run["checks"], nodes=[{**run["nodes"][0], "name": "beside"}])
    assert told(red) == f"the first: {call}", "the role is booted for it"
    host = {**run["nodes"][0], "name": "edge-1", "accelerator": "none"}
    samples.edit(red, nodes=[host])
    assert told(red) == f"the first: {call}".replace("reference", "edge-1")
    samples.edit(red, nodes=[{**host, "role": None}])
    assert "edge-1" in told(red)
    kept = "--bootparams 'quiet systemd.mask=x' --memory=4096 --no-kvm"
    command = f"yoctovirt --workspace /w ci reference --retry 2 {kept} --suite base"
    samples.edit(red, nodes=run["nodes"], command=command)
    assert told(red) == f"the first: {call}".replace(" --check", f" {kept} --check")
    samples.edit(red, command="yoctovirt ci reference --bootparams 'a")
    assert told(red) == f"the first: {call}"
    samples.edit(red, nodes=[{**run["nodes"][0], "role": None}])
    assert told(red) == "", "nobody knows of what"
    samples.edit(red, command="yoctovirt smoke --deploy-dir /d")
    assert told(red) == f"the first: {call}".replace("reference", "--deploy-dir /d")
    samples.edit(red, command="yoctovirt ci")
    unpack = {**run["phases"][0], "name": "unpack", "details": {"bundle": "/a b/x.tar.zst"}}
    samples.edit(red, nodes=run["nodes"], phases=[unpack, *run["phases"][1:]])
    assert told(red) == f"the first: {call}".replace("reference", "--from '/a b/x.tar.zst'")
    assert told(samples.green_run(tmp_path / "green")) == ""
    assert told(samples.pair_run(tmp_path / "pair")) == "", "two nodes have to run before"


def test_the_options_of_that_call_are_options() -> None:
    from yoctovirt.cli.smoke import command
    from yoctovirt.report.shown import _FLAGS, _VALUES

    known = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
    assert {*_FLAGS, *_VALUES} <= known


def test_one_cause_is_told_once(tmp_path: Path) -> None:
    """Of a fixture that failed each check has an error; those after the first ran nothing."""
    folder = samples.red_run(tmp_path)
    error = {**samples.checks(red=True)[2], "outcome": "error", "message": "no image was made"}
    names = ["docker::first", "docker::second", "docker::third"]
    checks = [{**error, "id": name} for name in names]
    other = {**error, "id": "docker::other", "message": "no image was made: why"}
    samples.edit(folder, checks=[*checks, other])
    samples.write_rows(folder, [samples.command_row(names[0], "docker import x", 1, "refused")])
    shown = page(folder)
    same = "the same came of what it needs as for docker::first"
    assert shown.text.count(same) == 2
    assert len(re.findall(r"no image was made\n", shown.text)) == 1
    assert "no image was made: why" in shown.text
    assert {f"check-docker--{name}" for name in ("second", "third", "other")} <= set(shown.ids)
    # What ran a command has something of its own to tell.
    rows = [samples.command_row(name, "docker import x", 1, "refused") for name in names]
    samples.write_rows(folder, rows)
    assert same not in page(folder).text


def test_suites_that_were_left_out_stand_together(tmp_path: Path) -> None:
    folder = samples.green_run(tmp_path)
    reason = "not chosen with --suite"
    chosen = ("cinder", "glance", "nova")
    left: list[dict[str, object]] = [{"suite": name, "reason": reason} for name in chosen]
    left += [{"suite": "lxc", "reason": "the role does not promise it"}]
    left += [{"suite": "docker", "reason": reason, "promised": True}]
    samples.edit(folder, not_run=left)
    text = page(folder).text
    assert "not chosen with --suite: cinder, glance, nova\n" in text
    assert "the role does not promise it: lxc\n" in text
    assert "docker: not chosen with --suite" in text[: text.index("cinder")], "that is wrong"


def test_a_run_whose_boot_failed_says_why_and_shows_the_console(tmp_path: Path) -> None:
    shown = page(samples.boot_failed_run(tmp_path))
    for text in (
        "Phase boot failed",
        "no login prompt within 240 s",
        "What to do: give more",
        "Promised, and not run",
        "docker: boot failed",
        "2 promised suites not run",
        "No check ran.",
        "No node became ready.",
        "exit code 5",
    ):
        assert text in shown.text
    assert shown.opened == ["log"]
    assert "OK   Started sshd" in shown.text


def test_attempts_that_failed_before_are_told(tmp_path: Path) -> None:
    folder = samples.green_run(tmp_path)
    retry = {"phase": "build", "attempt": 1, "started": "x", "seconds": 3.5, "wait": 10,
             "class": "InfrastructureError", "message": "the mirror does not answer"}  # fmt: skip
    samples.edit(folder, retries=[retry, retry])
    text = page(folder).text
    assert "2 retried" in text
    assert text.count("build, after 3.5 s: the mirror does not answer") == 2
    data = json.loads((folder / "run.json").read_text())
    del data["retries"]  # the record of an older version
    (folder / "run.json").write_text(json.dumps(data))
    assert "retried" not in page(folder).text


def test_a_run_without_checks_does_not_say_that_they_passed(tmp_path: Path) -> None:
    folder = samples.green_run(tmp_path)
    samples.edit(folder, checks=[])
    text = page(folder).text
    assert "no check was to run" in text
    assert "every check passed" not in text


def test_an_interrupted_run_has_the_verdicts_until_then(tmp_path: Path) -> None:
    shown = page(samples.interrupted_run(tmp_path))
    assert len(shown.outcomes) == 2
    for text in ("Phase smoke was interrupted", "Ctrl-C, or a signal", "exit code 130"):
        assert text in shown.text


def test_a_run_that_was_killed_can_be_shown(tmp_path: Path) -> None:
    shown = page(samples.killed_run(tmp_path))
    assert "not finished" in shown.text
    assert "the run is going on, or was killed" in shown.text


def test_an_empty_record_can_be_shown(tmp_path: Path) -> None:
    folder = samples.green_run(tmp_path)
    samples.edit(
        folder, phases=[], checks=[], not_run=[], nodes=[], image=None, pins=None, role=None
    )
    (folder / "node-commands.jsonl").unlink()
    assert "The run ended before its first phase." in page(folder).text


EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)> \"' & </pre></details>"


def test_nothing_from_a_node_becomes_a_tag(tmp_path: Path) -> None:
    folder = samples.red_run(tmp_path)
    checks = samples.checks(red=True)
    for check in checks:
        check.update(title=EVIL, message=EVIL, detail="in " + EVIL)
    samples.write_rows(
        folder,
        [samples.command_row(check["id"], EVIL, 1, EVIL) for check in checks],
    )
    (folder / "console-reference.log").write_text(EVIL)
    data = json.loads((folder / "run.json").read_text())
    data["image"]["name"] = data["nodes"][0]["accelerator_reason"] = EVIL
    data["phases"][0]["details"] = {EVIL: EVIL, "list": [EVIL]}
    data["not_run"] = [{"suite": EVIL, "reason": EVIL, "promised": True}]
    data["pins"]["packages"] = {EVIL: EVIL}
    samples.edit(folder, **{**data, "checks": checks, "command": EVIL, "role": EVIL})
    shown = page(folder)
    assert shown.tags.count("script") == 1, "our own"
    assert "img" not in shown.tags
    assert shown.text.count("<script>alert(1)</script>") > 30


def test_an_identity_with_any_characters_is_an_anchor(tmp_path: Path) -> None:
    folder = samples.red_run(tmp_path)
    checks = samples.checks(red=True)
    for number, check in enumerate(checks):
        check["id"] = f'base::promised_software[a "b" {number}]'
    samples.edit(folder, checks=checks)
    assert len(page(folder).outcomes) == 5


def test_two_checks_whose_names_differ_in_a_sign_have_an_anchor_each(tmp_path: Path) -> None:
    folder = samples.red_run(tmp_path)
    checks = samples.checks(red=True)
    for check, name in zip(checks, ("a-b", "a_b", "a.b", "a[b", "a:b"), strict=True):
        check["id"] = f"base::{name}"
    samples.edit(folder, checks=checks)
    assert len(page(folder).outcomes) == 5


@pytest.mark.parametrize("text", ["\x00\x07\x1b[31mred\x1b[0m", "\ud800", "\uffff"])
def test_what_is_no_text_does_not_reach_the_page(tmp_path: Path, text: str) -> None:
    folder = samples.red_run(tmp_path)
    checks = samples.checks(red=True)
    for check in checks:
        check.update(message=text, detail=text + "x", title=text)
    samples.write_rows(folder, [samples.command_row(samples.FAILED, text, 0, text)])
    error = {"class": "BootError", "message": text, "hint": text}
    samples.edit(folder, checks=checks, command=text, error=error, result="error")
    page(folder)
    html = (folder / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]|\x1b", html)


def test_a_console_log_of_50_mb_leaves_the_page_small(tmp_path: Path) -> None:
    folder = samples.red_run(tmp_path)
    line = b"[   12.345678] <audit> \"a\" & 'b' \x1b[0;32mok\x1b[0m\r\n"
    with (folder / "console-reference.log").open("wb") as log:
        for _ in range(50):
            log.write(line * (1_000_000 // len(line)))
        log.write(b"the last line\n")
    size = write_html(folder).stat().st_size
    assert size < 1_000_000
    text = page(folder).text
    assert "the last line" in text
    assert "bytes before]" in text


def test_thousands_of_long_outputs_leave_the_page_small_and_failures_readable(
    tmp_path: Path,
) -> None:
    folder = samples.red_run(tmp_path)
    checks = samples.checks(red=False) * 40
    checks = [{**check, "id": f"base::c{number}"} for number, check in enumerate(checks)]
    checks.append({**samples.checks(red=True)[2], "id": samples.FAILED})
    rows = [samples.command_row(check["id"], "dmesg", 0, "<&>" * 3_000) for check in checks]
    rows.append(samples.command_row(samples.FAILED, "docker info", 1, "the reason\n" + "x" * 9000))
    samples.write_rows(folder, rows)
    samples.edit(folder, checks=checks)
    assert write_html(folder).stat().st_size < 2_000_000
    shown = page(folder)
    assert "the reason" in shown.text
    # Of most that passed only how many commands they ran.
    assert shown.links.count("node-commands.jsonl") > 20
    assert len(shown.outcomes) == len(checks)


@pytest.mark.parametrize(("bad", "console"), [(40, 50_000_000), (2000, 2_000_000)])
def test_2000_checks_and_50_mb_of_console_are_less_than_5_mb(
    tmp_path: Path, bad: int, console: int
) -> None:
    folder = samples.big_run(tmp_path, bad=bad, console=console)
    assert (folder / "console-reference.log").stat().st_size > 0.95 * console
    began = time.monotonic()
    size = write_html(folder).stat().st_size
    assert size < 5_000_000
    assert time.monotonic() - began < 20
    shown = page(folder)
    assert len(shown.outcomes) == 2000
    assert sum(outcome == "failed" for outcome in shown.outcomes.values()) == bad
    told = set(map(int, re.findall(r"the reason of (\d+)\n", shown.text)))
    assert told == set(range(0, 2000, 2000 // bad))
    assert "the last line" in shown.text
    # Of the first that failed all is there, whatever came after it.
    card = shown.text.index("suite0::c0")
    assert card < shown.text.index("$ try 0 4", card) < shown.text.index("said while they failed")


def test_half_a_line_at_the_end_of_the_commands_is_left_out(tmp_path: Path) -> None:
    folder = samples.red_run(tmp_path)
    with (folder / "node-commands.jsonl").open("a") as out:
        out.write('{"node": "reference", "check": "ba')
    assert "docker info" in page(folder).text


def test_the_page_needs_nothing_else(tmp_path: Path) -> None:
    html = render_html(samples.red_run(tmp_path))
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in html
    assert "default-src 'none'" in html
    assert not re.search(r"url\(|@import|(src|href)=.?http", html)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.03, "0.03 s"),
        (59.5, "59.5 s"),
        (205.7, "3 min 26 s"),
        (7384, "2 h 03 min"),
        (None, "\u2013"),
    ],
)
def test_times_are_written_as_they_are_read_best(
    tmp_path: Path, seconds: float | None, text: str
) -> None:
    folder = samples.green_run(tmp_path)
    samples.edit(folder, seconds=seconds)
    assert f"took {text}" in page(folder).text


# Failed checks, nodes -----------------------------------------------------------


def test_a_failed_check_has_what_was_expected_and_the_console_meanwhile(tmp_path: Path) -> None:
    folder = samples.red_run(tmp_path)
    checks = samples.checks(red=True)
    checks[2]["detail"] = (
        "test_docker.py:83: in test_daemon\n    assert len(told) == 4, f'docker info gave {told}'\n"
        "E   AssertionError: docker info gave []\n"
    )
    samples.edit(folder, checks=checks)
    began = samples.STARTED
    samples.write_console(
        folder / "console-reference.log",
        [
            (began - 60, "long before\n" * 200),
            (began - 10, "a moment before\n"),
            (began + 1, "dockerd was killed\n"),
            (began + 60, "long after\n"),
        ],
    )
    text = page(folder).text
    card = text[text.index("docker::daemon") : text.index("docker::run")]
    words = (
        "The Docker daemon answers; its drivers are known.",
        "assert len(told) == 4",
        "the Docker daemon does not answer",
        "$ docker info",
        "a moment before",
        "dockerd was killed",
    )
    places = [card.index(word) for word in words]
    assert places == sorted(places)
    assert "long after" not in card
    assert card.count("long before") < 60


@pytest.mark.parametrize(
    ("line", "condition"),
    [
        ("assert len(told) == 4, f'docker info gave {told}'", "assert len(told) == 4"),
        ("assert storage in ('overlay2', 'btrfs'), (", "assert storage in ('overlay2', 'btrfs')"),
        ("assert config is not None, HIDDEN", "assert config is not None"),
        ("told = node.check(", None),
        ("raise AssertionError(", None),
    ],
)
def test_the_condition_of_a_check(tmp_path: Path, line: str, condition: str | None) -> None:
    folder = samples.red_run(tmp_path)
    checks = samples.checks(red=True)
    checks[2]["detail"] = f"test_x.py:8: in test_x\n    {line}\nE   no\n"
    samples.edit(folder, checks=checks[:3])
    html = render_html(folder)
    shown = re.findall(r"</dt><dd>The Docker.*?(?:<br><code>(.*?)</code>)?</dd>", html)
    assert [unescape(text) for text in shown] == [condition or ""]


def test_a_silent_console_is_called_silent(tmp_path: Path) -> None:
    folder = samples.red_run(tmp_path)
    said = [(samples.STARTED - 60, "login: ")]
    samples.write_console(folder / "console-reference.log", said)
    assert "login:\n[nothing came on the console meanwhile]" in page(folder).text


@pytest.mark.parametrize("jump", [-3600, 3600])
def test_a_clock_that_jumps_does_not_hide_the_console(tmp_path: Path, jump: int) -> None:
    folder = samples.red_run(tmp_path)
    before = [(samples.STARTED - jump - 60 + n, f"boot {n}\n") for n in range(50)]
    said = [*before, (samples.STARTED + 0.5, "while it ran\n"), (samples.STARTED + 50, "after\n")]
    samples.write_console(folder / "console-reference.log", said)
    text = page(folder).text
    card = text[text.index("The console meanwhile") : text.index("Where in the check")]
    assert "while it ran" in card
    assert "after" not in card


def test_without_times_of_the_console_nothing_is_guessed(tmp_path: Path) -> None:
    assert "The console meanwhile" not in page(samples.red_run(tmp_path)).text


def test_a_check_that_ran_hundreds_of_commands_shows_the_last(tmp_path: Path) -> None:
    folder = samples.red_run(tmp_path)
    rows = [samples.command_row(samples.FAILED, f"try {n}", 1, "no") for n in range(300)]
    samples.write_rows(folder, rows)
    text = page(folder).text
    assert "The last 40 commands on the node" in text
    assert "260 before them" in text
    assert "$ try 299" in text
    assert "$ try 259" not in text


def test_several_nodes_have_a_column_a_filter_and_a_line_each(tmp_path: Path) -> None:
    shown = page(samples.pair_run(tmp_path))
    html = (next(tmp_path.iterdir()) / "report.html").read_text()
    assert 'id="f-node"' in html
    assert "reference, compute" in shown.text, "the check that ran on both"
    assert "10.0.2.12" in shown.text
    for words in ("QEMU, and the kept state", "init, services"):
        assert words in shown.text
    assert re.findall(r'data-node="(\w+)"', html) == ["reference", "compute"]
    assert 'id="f-node"' not in render_html(samples.green_run(tmp_path / "one"))


def test_one_page_for_the_records_of_one_call(tmp_path: Path) -> None:
    folders = [samples.green_run(tmp_path), samples.boot_failed_run(tmp_path)]
    folders.append(samples.red_run(tmp_path))
    path = write_together(folders)
    assert path == folders[0] / "together.html"
    shown = Page(path.read_text(), folders[0])
    assert shown.text.count("docker::daemon") >= 3
    header = shown.text[: shown.text.index("Phases")]
    for words in ("error", "8 passed", "1 failed", "1 error", "exit code 5"):
        assert words in header.replace("\n", " "), words
    for words in ("Phase boot failed", "no login prompt within 240 s", "every check"):
        assert (words in shown.text) == (words != "every check"), words
    assert f"../{folders[1].name}/run.json" in shown.links


def test_what_was_kept_of_a_node_that_did_not_come_up_is_shown(tmp_path: Path) -> None:
    folder = samples.boot_failed_run(tmp_path)
    kept = folder / "failure-reference"
    kept.mkdir()
    (kept / "qmp.json").write_text('{"query-status": {"status": "internal-error"}}')
    (kept / "screen.png").write_bytes(b"\x89PNG\r\n")
    data = json.loads((folder / "run.json").read_text())
    names = ["failure-reference/qmp.json", "failure-reference/screen.png"]
    samples.edit(folder, error={**data["error"], "evidence": names})
    shown = page(folder)
    assert "internal-error" in shown.text
    assert "data:image/png;base64,iVBORw0K" in shown.links
    assert set(names) <= set(shown.links)


def attach(folder: Path, identity: str, **files: bytes) -> None:
    """Have files of a check in a record, named as the verdict names them."""
    (folder / "attached").mkdir(exist_ok=True)
    names = []
    for name, data in files.items():
        names.append(f"attached/{name.replace('_', '.')}")
        (folder / names[-1]).write_bytes(data)
    run = json.loads((folder / "run.json").read_text())
    for check in run["checks"]:
        if check["id"] == identity:
            check["attached"] = names
    assert run_problems(run) == []
    samples.edit(folder, checks=run["checks"])


def test_what_a_check_has_kept_is_shown_with_it(tmp_path: Path) -> None:
    folder = samples.red_run(tmp_path)
    attach(folder, samples.PASSED, page_png=b"\x89PNG one", said_txt=b"a word <b>", x_bin=b"\0")
    attach(folder, samples.FAILED, failed_png=b"\x89PNG two")
    html = render_html(folder)
    shown = Page(html, folder)
    assert "a word <b>" in shown.text
    row = html[html.index(f'data-check="{samples.PASSED}"') :].partition("</tr>")[0]
    one = base64.b64encode(b"\x89PNG one").decode()
    assert f'alt="What {samples.PASSED} has kept" src="data:image/png;base64,{one}"' in row
    assert "<details><summary><code>attached/page.png" in row
    assert '<a href="attached/x.bin">' in row
    card = html[html.index(f'id="check-{samples.FAILED.replace(":", "-")}"') :]
    card = card.partition("</article>")[0]
    two = base64.b64encode(b"\x89PNG two").decode()
    assert "<details open><summary><code>attached/failed.png" in card
    assert f"data:image/png;base64,{two}" in card
    assert html.count("data:image") == 2


def test_a_picture_that_is_too_large_is_a_link(tmp_path: Path) -> None:
    folder = samples.green_run(tmp_path)
    large = b"\x89PNG" + bytes(300_000)
    attach(folder, samples.PASSED, large_png=large, fits_png=large[:300_000])
    html = render_html(folder)
    assert html.count("data:image") == 1
    assert 'href="attached/large.png"' in html


def test_pictures_leave_the_page_small(tmp_path: Path) -> None:
    folder = samples.green_run(tmp_path)
    attach(folder, samples.PASSED, **{f"n{number}_png": bytes(300_000) for number in range(20)})
    html = render_html(folder)
    assert 1 <= html.count("data:image") < 20
    assert len(html) < 5_000_000
    assert 'href="attached/n19.png"' in html


# Colours ------------------------------------------------------------------------


def luminance(colour: str) -> float:
    digits = colour.lstrip("#")
    if len(digits) == 3:
        digits = "".join(digit * 2 for digit in digits)
    parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return float(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [0, 1])
def test_every_text_has_the_contrast_of_wcag_aa(tmp_path: Path, theme: int) -> None:
    html = render_html(samples.red_run(tmp_path))
    block = re.findall(r":root \{([^}]*)\}", html)[theme]
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]+)", block))
    assert len(colours) == 13
    for ground in ("page", "soft", "ok-soft", "bad-soft", "warn-soft"):
        for ink in ("text", "dim", "link"):
            assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)
    for badge in ("ok", "bad", "warn", "off"):
        assert contrast("#fff", colours[badge]) >= 4.5, badge
    kinds = dict(re.findall(r"\.t-([a-z]+) \{ background: (#[0-9a-f]+)", html))
    assert set(kinds) == set(KINDS)
    steps = dict(re.findall(r"\.b-([a-z]+) \{ background: (#[0-9a-f]+)", html))
    assert set(steps) == set(STEPS)
    for kind, colour in [*kinds.items(), *steps.items()]:
        assert contrast("#fff", colour) >= 4.5, kind


# Text ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\tb\nü \u2013 🐳", "a\tb\nü \u2013 🐳"),
        ("a\r\nb", "a\nb"),
        ("\x1b[0;32m  OK  \x1b[0m", "  OK  "),
        ("\x1b]0;title\x07a\x1b]8;;x\x1b\\b", "ab"),
        ("\x1b[?2004h\x1b(B\x1b[Ka", "a"),
        ("a\x00\x07\x7f\x9b\ud800z", "az"),
        ("\x1b", ""),
    ],
)
def test_plain(text: str, expected: str) -> None:
    assert plain(text) == expected


def test_clip_keeps_begin_and_end() -> None:
    assert clip("abc", 3) == "abc"
    clipped = clip("a" * 100 + "z" * 200, 30)
    assert clipped == "a" * 10 + "\n[… 270 characters …]\n" + "z" * 20


def test_a_budget_counts_what_escapes_cost() -> None:
    budget = Budget(10)
    assert budget.take("<", 100, "x.log") == "<"
    assert budget.left == 6
    assert "see x.log" in budget.take("<<", 100, "x.log")
    assert budget.take("abcdef", 100, "x.log") == "abcdef"
    assert budget.left == 0
