"""The event logs of real bitbakes: what they tell of builds that succeed, fail and do nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import Yoctovirt
from tests.layers.conftest import Places

pytestmark = [pytest.mark.layers, pytest.mark.timeout(2400)]

#: A source that is nowhere: nothing listens on that port.
FAIL = """\
header: {version: 19}
local_conf_header:
  fail: |
    SRC_URI:append:pn-quick-ssh = " http://127.0.0.1:9/none.tar.gz;name=none"
    SRC_URI[none.sha256sum] = "%s"
""" % ("0" * 64)


def build_of(record: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((record / "build.json").read_text())
    events = data["events"]
    assert events["events"] > 20
    assert events["damaged"] == events["too_long"] == events["unreadable"] == 0
    return data


def test_a_build_from_nothing(quick: Yoctovirt) -> None:
    records = sorted(quick.workspace.glob("runs/*-build-quick/build.json"))
    build = build_of(records[0].parent)
    assert build["result"] == "succeeded"
    tasks = build["tasks"]
    assert tasks["run"] > 90
    assert tasks["setscene"] == 0
    assert tasks["total"] == sum(tasks[key] for key in ("run", "noexec", "covered", "existing"))
    assert build["sstate"]["wanted"] > 50
    assert [phase["name"] for phase in build["phases"]] == [
        "start", "parse", "prepare", "setscene", "tasks", "end",
    ]  # fmt: skip
    assert "do_rootfs" in {step["task"] for step in build["critical_path"]}
    told = sum(step["seconds"] + step["waited"] for step in build["critical_path"])
    phases = {phase["name"]: phase["seconds"] for phase in build["phases"]}
    assert told == pytest.approx(phases["setscene"] + phases["tasks"], rel=0.1)
    assert build["image"]["rootfs_bytes"] > 100 << 20
    lines = (records[0].parent / "tasks.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) == tasks["run"]
    assert all(Path(row["log"]).is_absolute() for row in rows)
    times = json.loads((quick.workspace / "task-times.json").read_text())["tasks"]
    assert times["yoctovirt-quick-image:do_rootfs"] > 1
    assert not list(quick.workspace.glob("build-*/.events*"))
    shown = quick.run("build-stats", records[0].parent.name)
    assert shown.returncode == 0, shown.stderr
    assert "do_rootfs" in shown.stdout


def test_nothing_to_do(quick: Yoctovirt) -> None:
    done = quick.run("build", "quick")
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stderr
    build = build_of(quick.last_record()["path"])
    tasks = build["tasks"]
    assert tasks["run"] == tasks["setscene"] == 0
    assert tasks["covered"] + tasks["existing"] == tasks["total"] > 100


@pytest.mark.parametrize("release", ["kirkstone", "scarthgap", "wrynose"])
def test_a_task_that_fails_on_each_release(places: Places, release: str) -> None:
    yv = places.workspace(f"fails-{release}")
    yv.workspace.mkdir()
    (yv.workspace / "fail.yml").write_text(FAIL)
    (yv.workspace / "yoctovirt.yml").write_text("version: 1\n")
    more = ("--release", release, "--with", str(yv.workspace / "fail.yml"))
    done = yv.run("build", "quick", *more, timeout=1800)
    assert done.returncode == 4, done.stderr
    assert "FAILED  quick-ssh:do_fetch after" in done.stderr
    assert "\x1b" not in done.stderr
    build = build_of(yv.last_record()["path"])
    assert build["result"] == "failed"
    (failed,) = build["failed_tasks"]
    assert (failed["recipe"], failed["task"]) == ("quick-ssh", "do_fetch")
    assert Path(failed["log"]).is_file()
    assert Path(failed["file"]).is_file()
    assert build["tasks"]["failed"] == 1
    rows = [json.loads(line) for line in
            (yv.last_record()["path"] / "tasks.jsonl").read_text().splitlines()]  # fmt: skip
    assert {row["outcome"] for row in rows} == {"succeeded", "failed"}
    yv.assert_nothing_left()
