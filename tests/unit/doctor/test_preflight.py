"""What is asked before a build: errors together, slow answers kept as long as they hold."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from yoctovirt.base.screen import Screen
from yoctovirt.doctor import preflight, reach
from yoctovirt.doctor.result import Result, error, ok, warning
from yoctovirt.doctor.subject import Account, Subject
from yoctovirt.errors import InfrastructureError, UsageError


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    tools = tmp_path / "bin"
    tools.mkdir()
    space = tmp_path / "space"
    space.mkdir()
    account = Account("me", os.geteuid(), tmp_path)
    return Subject(
        "quick", "kas", "scarthgap", "qemux86-64", 1, False, space, tmp_path / "cache",
        space / "build-quick", account, str(tools), quick=True,
    )  # fmt: skip


class Slow:
    """Stands for the slow checks: what they answer, and how often they were asked."""

    def __init__(self) -> None:
        self.answer = ok("tools.host", "all there")
        self.times = 0

    def __call__(self, *_: object) -> list[Result]:
        self.times += 1
        return [self.answer]


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Slow:
    checks = Slow()
    monkeypatch.setattr(preflight, "slow_checks", checks)
    monkeypatch.setattr(preflight, "quick_checks", lambda *_: [])
    return checks


def test_an_answer_is_kept(subject: Subject, slow: Slow) -> None:
    assert preflight.build_results(subject) == [slow.answer]
    assert preflight.build_results(subject) == [slow.answer]
    assert slow.times == 1


def test_an_error_is_not_kept(subject: Subject, slow: Slow) -> None:
    slow.answer = error("tools.host", "missing", "install it")
    preflight.build_results(subject)
    slow.answer = ok("tools.host", "all there")
    assert preflight.build_results(subject)[0].status == "ok"
    assert slow.times == 2


def test_a_change_of_the_host_is_seen(subject: Subject, slow: Slow) -> None:
    preflight.build_results(subject)
    tool = Path(subject.tools_path) / "new-tool"
    tool.touch()
    stamp = time.time_ns() + 10**9
    os.utime(tool.parent, ns=(stamp, stamp))
    preflight.build_results(subject)
    assert slow.times == 2


def test_a_closed_workspace_is_seen(subject: Subject, slow: Slow) -> None:
    preflight.build_results(subject)
    (subject.workspace / "file").touch()  # its time changes, which says nothing
    preflight.build_results(subject)
    assert slow.times == 1
    subject.workspace.chmod(0o700 if subject.workspace.stat().st_mode & 0o77 else 0o755)
    preflight.build_results(subject)
    assert slow.times == 2


def test_an_answer_holds_for_a_day(
    subject: Subject, slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    preflight.build_results(subject)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 86_300)
    preflight.build_results(subject)
    assert slow.times == 1
    monkeypatch.setattr(time, "time", lambda: now + 86_500)
    preflight.build_results(subject)
    monkeypatch.setattr(time, "time", lambda: now - 100)  # the clock was set back
    preflight.build_results(subject)
    assert slow.times == 3


@pytest.mark.parametrize("text", ["", "{", "[]", '{"kept": 3}', '{"kept": {"x": 1}}'])
def test_a_broken_file_is_none(subject: Subject, slow: Slow, text: str) -> None:
    path = subject.workspace / ".preflight.json"
    path.write_text(text)
    assert preflight.build_results(subject) == [slow.answer]
    assert preflight.build_results(subject) == [slow.answer]
    assert slow.times == 1
    assert json.loads(path.read_text())["kept"]


def test_refuse(capsys: pytest.CaptureFixture[str]) -> None:
    good = [ok("disk.space", "fine"), warning("resources.memory", "little", "add some")]
    preflight.refuse(good, "a build", Screen())
    assert "warning: little (add some)" in capsys.readouterr().err
    bad = error("user.locale", "no locale", "make it")
    with pytest.raises(InfrastructureError, match="no locale") as one:
        preflight.refuse([*good, bad], "a build")
    assert one.value.hint == "make it (or --skip-preflight)"
    with pytest.raises(InfrastructureError, match="2 things keep this host from a build"):
        preflight.refuse([bad, error("disk.path", "long", "shorten")], "a build")
    with pytest.raises(UsageError, match="long"):
        preflight.refuse([error("disk.path", "long", "shorten")], "a build")


def test_sources_are_asked_for_a_build_from_nothing_only(
    subject: Subject, slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    def reach_sources(_: Subject, seconds: float) -> list[Result]:
        asked.append(seconds)
        return [warning("network.sources", "silent", "see to it")]

    monkeypatch.setattr(reach, "reach_sources", reach_sources)
    preflight.build_results(subject)
    assert asked == []
    fresh = replace(subject, fresh=True)
    assert preflight.build_results(fresh)[-1].check == "network.sources"
    assert asked == [preflight.BUILD_SECONDS]
    preflight.build_results(replace(fresh, builder="debian"))
    assert len(asked) == 1


def test_nothing_is_asked_offline(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YOCTOVIRT_OFFLINE", "1")
    assert reach.reach_sources(subject, 1.0) == []


def test_source_mirrors(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "apt_archives", lambda: ["http://archive/"])
    assert reach.source_mirrors(subject, {}) == ["http://archive/"]
    named = {"YV_DEBIAN_MIRROR": "http://m/", "YV_DEBIAN_SECURITY_MIRROR": "http://s/"}
    assert reach.source_mirrors(subject, named) == ["http://m/", "http://s/"]
    big = replace(subject, quick=False)
    mirrors = {"SSTATE_MIRRORS": "file://.* https://sstate.example/all/PATH;downloadfilename=PATH"}
    assert reach.source_mirrors(big, mirrors) == [
        "http://downloads.yoctoproject.org/mirror/sources/",
        "https://sstate.example/all/",
    ]


def test_a_dead_proxy_does_not_keep_a_build_from_local_sources(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("YOCTOVIRT_OFFLINE", raising=False)
    monkeypatch.setattr(reach, "source_mirrors", lambda _: [])
    monkeypatch.setenv("https_proxy", "http://")  # an error of the doctor
    found = {one.check: one.status for one in reach.reach_sources(subject, 1.0)}
    assert found["network.proxy"] == "warning"
