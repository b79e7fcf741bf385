"""The verbs of ``yoctovirt runs`` on real records."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from tests.guides import printed
from tests.samples import checks
from yoctovirt.base.record import RunRecord
from yoctovirt.errors import ChecksFailedError

GREEN, RED = "passed", "failed"
Make = Callable[..., RunRecord]


class Runs:
    """A workspace with records, and yoctovirt called on it as a user does."""

    def __init__(self, workspace: Path) -> None:
        workspace.mkdir()
        (workspace / "yoctovirt.yml").write_text("version: 1\n")
        self.workspace = workspace
        self.folder = workspace / "runs"
        self._made = 0

    def make(self, *, red: bool = False, role: str = "mine", accelerator: str = "kvm",
             finished: bool = True, **changes: Any) -> RunRecord:  # fmt: skip
        """Make a record an hour after the one before."""
        self._made += 1
        record = RunRecord(self.folder, role, f"yoctovirt ci {role}", role)
        with record.phase("smoke"):
            pass
        record.data["checks"] = checks(red)
        record.data["nodes"] = [
            {"name": role, "role": role, "promises": ["docker"], "accelerator": accelerator,
             "accelerator_reason": "so it was asked", "memory_mib": 2048, "cpus": 2,
             "timings": {}, "command": ["qemu"], "console_log": f"console-{role}.log"}
        ]  # fmt: skip
        record.data["pins"] = {
            "kind": "packages",
            "sha256": "1" * 64,
            "packages": {"busybox": "1.36.1", "zlib": "1.3"},
            "layers": {"poky": {"url": "https://x.invalid/poky", "commit": "a" * 40}},
        }
        record.data.update(changes)
        if finished:
            record.finish(ChecksFailedError("1 of 5 checks failed") if red else None)
        begin = datetime(2026, 1, 1, tzinfo=timezone.utc) + timedelta(hours=self._made)
        record.data["started"] = begin.isoformat()
        record.save()
        new = self.folder / f"{begin:%Y%m%dT%H%M%S}-{role}"
        record.path = record.path.rename(new)
        record.data["id"] = new.name
        record.save()
        return record

    def call(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "yoctovirt", "--workspace", str(self.workspace), "runs"]
        env = {name: text for name, text in os.environ.items() if "DISPLAY" not in name}
        done = subprocess.run(
            [*argv, *arguments], text=True, capture_output=True, env=env, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def compare(self, first: RunRecord, second: RunRecord) -> dict[str, Any]:
        done = self.call("compare", first.path.name, second.path.name, "--json")
        found: dict[str, Any] = json.loads(done.stdout)
        return found


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path / "ws")


def test_list(runs: Runs) -> None:
    assert "there is no run record in" in runs.call("list").stderr
    green, red = runs.make(), runs.make(red=True)
    runs.make(role="other")
    rows = json.loads(runs.call("list", "--json", "--role", "mine").stdout)
    assert [(row["id"], row["result"], row["checks"], row["bad"]) for row in rows] == [
        (green.path.name, "passed", 5, 0),
        (red.path.name, "failed", 5, 2),
    ]
    lines = runs.call("list", "-n", "2").stdout.splitlines()
    assert lines[0].split() == ["RUN", "ROLE", "RESULT", "EXIT", "TIME", "CHECKS", "PHASES"]
    assert lines[1].split()[:4] == [red.path.name, "mine", "failed", "1"]
    assert "2 of 5 bad" in lines[1]
    assert len(lines) == 3


def test_a_record_of_another_version_is_named_and_left_out(runs: Runs) -> None:
    runs.make()
    wrong = runs.make()
    (wrong.path / "run.json").write_text('{"schema": 9}')
    done = runs.call("list", "--json")
    assert len(json.loads(done.stdout)) == 1
    assert f"{wrong.path.name}/run.json is of another version" in done.stderr


def test_a_run_whose_process_is_gone_was_killed(runs: Runs) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    runs.make(finished=False, pid=ended.pid)
    runs.make(finished=False)
    rows = json.loads(runs.call("list", "--json").stdout)
    assert [row["result"] for row in rows] == ["killed", "running"]


def test_show(runs: Runs) -> None:
    runs.make()
    red = runs.make(red=True)
    left = [{"suite": name, "reason": "not chosen with --suite"} for name in ("lxc", "nova")]
    red.data["not_run"] = [{"suite": "xen", "reason": "no node", "promised": True}, *left]
    red.save()
    shown = runs.call("show").stdout
    assert shown.startswith(f"{red.path.name}: failed in ")
    assert "exit code 1" in shown
    assert "FAILED   docker::daemon" in shown
    assert "NOT RUN  xen: no node\nNOT RUN  lxc, nova: not chosen with --suite\n" in shown
    assert "layer      poky aaaaaaaaaaaa" in shown
    assert json.loads(runs.call("show", red.path.name, "--json").stdout) == red.data
    assert str(red.path) in runs.call("show", str(red.path)).stdout


def test_which_run_is_meant(runs: Runs) -> None:
    first = runs.make()
    runs.make()
    assert runs.call("show", first.path.name[:11]).stdout.startswith(first.path.name)
    several = runs.call("show", first.path.name[:8], code=2)
    assert "2 run records begin with '20260101'" in several.stderr
    wrong = runs.call("show", first.path.name.replace("mine", "mien"), code=2)
    assert f"did you mean {first.path.name}" in wrong.stderr
    assert "there is no run record of role x" in runs.call("show", "--role", "x", code=2).stderr


def test_what_failed_and_what_passed_newly(runs: Runs) -> None:
    green, red = runs.make(), runs.make(red=True)
    found = runs.compare(green, red)
    assert found["newly_failed"] == ["docker::daemon", "docker::run"]
    assert found["still_failed"] == found["newly_passed"] == []
    assert runs.compare(red, green)["newly_passed"] == ["docker::daemon", "docker::run"]
    text = runs.call("compare", green.path.name).stdout
    assert text.startswith(f"{green.path.name}: passed  ->  {red.path.name}: failed\n")
    assert "newly failed       docker::daemon  the Docker daemon does not answer" in text
    runs.call("compare", green.path.name, "--fail-on-regression", code=1)
    runs.call("compare", red.path.name, green.path.name, "--fail-on-regression")


def test_what_the_guide_shows_is_printed_so(runs: Runs) -> None:
    """From records that differ as it says: each line comes back, and no other."""
    shown = printed("ci.md", "yoctovirt runs compare")
    ids, lines = re.findall(r"(\S+): (?:passed|failed)", shown[0]), shown[1:]
    lines.remove("…")
    failed = [re.split(r" +", line, maxsplit=3)[2:] for line in lines if line[:5] == "newly"]
    phases = [re.findall(r"[a-z]+|[\d.]+", line) for line in lines if line[:5] == "phase"]
    assert (len(failed), len(phases)) == (3, 3)
    made = []
    for name, red in zip(ids, (False, True), strict=True):
        record = runs.make(red=red, role="reference")
        good = {**checks(red=False)[0], "outcome": "passed", "message": ""}
        bad = {"outcome": "failed"} if red else {}
        record.data["checks"] = [
            {**good, **bad, "id": one, "message": f"{why}\nmore" if red else ""}
            for one, why in failed
        ]
        record.data["phases"] = [
            {**record.data["phases"][0], "name": phase[1], "seconds": float(phase[4 if red else 2])}
            for phase in phases
        ]
        record.save()
        record.path.rename(runs.folder / name)
        made.append(name)
    assert runs.call("compare", *made).stdout.splitlines() == [shown[0], *lines]


def test_a_promised_suite_that_was_not_run_is_a_regression(runs: Runs) -> None:
    green = runs.make()
    later = runs.make(
        checks=checks(red=False)[:2],
        not_run=[{"suite": "docker", "reason": "boot failed", "promised": True},
                 {"suite": "xen", "reason": "not promised"}],
    )  # fmt: skip
    found = runs.compare(green, later)
    assert found["newly_failed"] == ["docker::daemon", "docker::run", "docker::logs"]
    assert found["new"] == found["gone"] == []
    assert runs.compare(later, green)["newly_passed"] == found["newly_failed"]
    said = runs.call("compare", green.path.name, "--fail-on-regression", code=1).stdout
    assert "newly failed       docker::run  not run: boot failed\n" in said
    # Where neither knows its checks, the suite stands for them.
    both = runs.make(checks=[], not_run=[{"suite": "docker", "reason": "x", "promised": True}])
    assert (
        "docker"
        in runs.compare(both, runs.make(checks=[], not_run=both.data["not_run"]))["still_failed"]
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everywhere")
def test_records_of_somebody_else(runs: Runs) -> None:
    runs.make()
    runs.folder.chmod(0)
    assert "cannot be read: Permission denied" in runs.call("list", code=3).stderr
    runs.folder.chmod(0o755)


def test_a_file_in_the_place_of_the_records(runs: Runs) -> None:
    """Neither is taken for a workspace without runs."""
    runs.folder.write_text("")
    assert "cannot be read: Not a directory" in runs.call("list", code=3).stderr


def test_what_ended_a_run_is_told(runs: Runs) -> None:
    """A run that was killed, or broke, has less to compare: why comes first."""
    green = runs.make()
    error = {"class": "BootError", "message": "no login on the console\nlast lines", "hint": None}
    broken = runs.make(error=error, result="error", exit_code=5, finished=False)
    killed = runs.make(finished=False, pid=2**22 + 1,
                       phases=[{"name": "boot", "status": "running", "seconds": None,
                                "started": green.data["started"], "details": {}}])  # fmt: skip
    said = runs.call("compare", green.path.name, broken.path.name).stdout.splitlines()
    assert said[1] == f"{broken.path.name}: no login on the console"
    said = runs.call("compare", green.path.name, killed.path.name).stdout.splitlines()
    assert said[:2] == [
        f"{green.path.name}: passed  ->  {killed.path.name}: killed",
        f"{killed.path.name}: killed in boot",
    ]


def test_both_on_one_set_of_pins_is_flaky(runs: Runs) -> None:
    runs.make(red=True)
    first, second = runs.make(), runs.make()
    assert runs.compare(first, second)["flaky"] == ["docker::daemon", "docker::run"]


def test_what_turned_once_is_no_back_and_forth(runs: Runs) -> None:
    green, red = runs.make(), runs.make(red=True)
    found = runs.compare(green, red)
    assert found["newly_failed"] == ["docker::daemon", "docker::run"]
    assert found["flaky"] == []
    again = runs.make()
    found = runs.compare(red, again)
    assert found["newly_passed"] == found["flaky"] == ["docker::daemon", "docker::run"]


def test_the_same_on_other_pins_is_a_change(runs: Runs) -> None:
    pins = {"kind": "packages", "sha256": "2" * 64, "packages": {"busybox": "1.37", "new": "1"},
            "layers": {"poky": {"url": "https://x.invalid/poky", "commit": "b" * 40}}}  # fmt: skip
    red, green = runs.make(red=True), runs.make(pins=pins)
    found = runs.compare(red, green)
    assert found["flaky"] == []
    assert found["pins"] == [{"name": "poky", "before": "a" * 40, "after": "b" * 40}]
    assert found["packages"] == [
        {"name": "busybox", "before": "1.36.1", "after": "1.37"},
        {"name": "new", "before": None, "after": "1"},
        {"name": "zlib", "before": "1.3", "after": None},
    ]
    text = runs.call("compare", red.path.name, green.path.name).stdout
    assert "pin                poky  aaaaaaaaaaaa -> bbbbbbbbbbbb" in text
    assert "package            zlib  1.3 -> -" in text


def timed(seconds: float) -> dict[str, Any]:
    rows = checks(red=False)[:1]
    rows[0]["seconds"] = seconds
    return {"checks": rows}


@pytest.mark.parametrize(
    ("known", "now", "slower"),
    [
        ([10, 10.2, 9.9, 10.1], 14, True),
        ([10, 16, 8, 13], 14, False),  # so it scatters
        ([10, 10.2, 9.9, 30], 14, True),  # one busy day is no scatter
        ([0.1, 0.1, 0.1, 0.1], 0.9, False),  # nobody waits for that
        ([10], 14, False),  # of one run nothing is known
        ([10], 21, True),
    ],
)
def test_slower_is_what_noise_does_not_explain(
    runs: Runs, known: list[float], now: float, slower: bool
) -> None:
    records = [runs.make(**timed(seconds)) for seconds in known]
    last = runs.make(**timed(now))
    found = runs.compare(records[0], last)["slower"]
    assert bool(found) == slower
    if slower:
        assert found[0]["id"] == "base::kernel"
        assert found[0]["after"] == now


def test_times_under_another_accelerator_are_not_compared(runs: Runs) -> None:
    kvm, tcg = runs.make(**timed(1)), runs.make(accelerator="tcg", **timed(50))
    found = runs.compare(kvm, tcg)
    assert found["slower"] == []
    assert found["conditions"] == [{"name": "accelerator", "before": "kvm", "after": "tcg"}]
    text = runs.call("compare", kvm.path.name).stdout
    assert "condition          accelerator  kvm -> tcg" in text
    assert "times of checks are not compared" in text


@pytest.mark.parametrize("what", ["host", "release"])
def test_times_on_another_host_or_release_are_no_noise_of_this_one(runs: Runs, what: str) -> None:
    first = runs.make(**timed(10))
    other: dict[str, Any] = {"host": {**first.data["host"], "cpus": 64}}
    if what == "release":
        image = {"name": "x", "release": "kirkstone", "machine": "qemux86-64", "files": []}
        other = {"image": {**image, "deploy_dir": "/x", "distro": "x", "distro_version": "1"}}
    for seconds in (10, 30, 10, 30):
        elsewhere = runs.make(**timed(seconds), **other)
    assert runs.compare(elsewhere, first)["times_compared"] is False
    last = runs.make(**timed(25))
    found = runs.compare(first, last)
    assert [row["before"] for row in found["slower"]] == [10], "only the one on the same grounds"
    assert found["conditions"] == []


def test_nothing_differs(runs: Runs) -> None:
    first = runs.make()
    runs.make()
    assert "no check, pin or package differs" in runs.call("compare", first.path.name).stdout
    last = runs.call("show").stdout.partition(":")[0]
    assert "would be compared with itself" in runs.call("compare", last, code=2).stderr


def test_open_draws_the_report_that_is_missing_beside_the_record(runs: Runs) -> None:
    record = runs.make(red=True)
    before = sorted(record.path.iterdir())
    page = Path(runs.call("open").stdout.strip())
    assert page == runs.folder / ".reports" / f"{record.path.name}.html"
    assert "docker::daemon" in page.read_text()
    assert sorted(record.path.iterdir()) == before
    (record.path / "report.html").write_text("its own")
    assert Path(runs.call("open").stdout.strip()) == record.path / "report.html"


def test_report_of_several_runs_is_one_page(runs: Runs, tmp_path: Path) -> None:
    green, red = runs.make(), runs.make(red=True, role="other")
    page = tmp_path / "all.html"
    done = runs.call("report", green.path.name, str(red.path), "-o", str(page))
    assert done.stdout == f"{page}\n"
    text = page.read_text()
    assert text.count("<article") == 2
    for record in (green, red):
        assert f'href="ws/runs/{record.path.name}/run.json"' in text
    inside = runs.call("report", "-o", str(red.path / "mine.html"), code=2)
    assert "lies in a run record" in inside.stderr
    assert "there is no folder" in runs.call("report", "-o", "/none/x.html", code=2).stderr


def test_prune(runs: Runs) -> None:
    old_green, old_red = runs.make(), runs.make(red=True)
    green, red, newest = runs.make(), runs.make(red=True), runs.make()
    other = runs.make(role="other")
    under_way = runs.make(finished=False)
    plan = runs.call("prune", "--keep", "1", "--dry-run").stdout
    assert "would free" in plan
    assert old_green.path.is_dir()
    runs.call("prune", "--keep", "1", "--older", "100000")
    assert old_green.path.is_dir()
    done = runs.call("prune", "--keep", "1").stdout
    assert "(3 of 7 records)" in done
    stay = [red.path, newest.path, other.path, under_way.path]
    assert sorted(runs.folder.iterdir()) == sorted(stay)
    assert not old_red.path.exists()
    assert not green.path.exists()


def test_prune_of_a_folder_that_cannot_be_written(runs: Runs) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    runs.make()
    runs.make()
    runs.make()
    runs.folder.chmod(0o555)
    try:
        assert "cannot be written" in runs.call("prune", "--keep", "1", code=3).stderr
    finally:
        runs.folder.chmod(0o755)
