"""A whole build: the real kas, small repositories, and a bitbake made by the test."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from tests import eventlog
from tests.fakebitbake import FakePoky, fake_poky
from tests.gitrepos import commit, git
from tests.processes import SECONDS, wait_until_gone
from yoctovirt.base.files import is_locked


@pytest.fixture
def poky(tmp_path: Path) -> Iterator[FakePoky]:
    fake = fake_poky(tmp_path)
    yield fake
    left = fake.left()
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert left == [], "a process of the build was left behind"


def hear_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(
    poky: FakePoky, stop_seconds: float = 60.0, roles: tuple[str, ...] = ("mine",)
) -> subprocess.Popen[str]:
    """Start a build and return when its bitbake waits."""
    process = subprocess.Popen(
        poky.argv("build", *roles, stop_seconds=stop_seconds), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        preexec_fn=hear_interrupts,
    )  # fmt: skip
    end = time.monotonic() + SECONDS
    while not (poky.control / "waiting").exists():
        assert time.monotonic() < end
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)
    return process


def test_a_build_from_nothing_and_again(poky: FakePoky) -> None:
    done = poky.call(
        "build", "mine", LD_LIBRARY_PATH="/nowhere", MACHINE="other", KAS_TARGET="other",
        BBPATH="/nowhere", PYTHONPATH="", BB_NUMBER_THREADS="3",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    workspace, record = poky.workspace, poky.record()
    build = workspace / "build-mine"
    assert f"image:  {build}/tmp/deploy/images/qemux86-64/my-image-qemux86-64.ext4" in done.stdout
    assert "sstate: 51 of 53 wanted objects taken, 7 current; tasks: 13 of 127 run" in done.stderr
    assert "-m kas build" in done.stderr

    seen = poky.seen()
    env = seen["env"]
    assert seen["argv"][1:4] == ["-c", "build", "-w"]
    assert seen["argv"][5:] == ["my-image"]
    assert not Path(seen["argv"][4]).exists(), "the event log goes with the build"
    assert seen["cwd"] == str(build)
    assert env["DL_DIR"] == str(workspace / "downloads")
    assert env["SSTATE_DIR"] == str(workspace / "sstate-cache")
    assert env.get("BB_NUMBER_THREADS") == "3"
    assert not {"LD_LIBRARY_PATH", "MACHINE", "BBPATH", "PYTHONPATH"} & set(env)
    assert env["LC_ALL"] == "en_US.UTF-8"

    link = build / "cache" / "hashserv.db"
    assert link.is_symlink()
    assert str(link.readlink()) == "../../hashserv/scarthgap/hashserv.db"
    layers = (build / "conf" / "bblayers.conf").read_text()
    assert "${TOPDIR}/../layers/scarthgap/poky/meta" in layers
    assert 'MACHINE ??= "qemux86-64"' in (build / "conf" / "local.conf").read_text()

    config = yaml.safe_load((record / "kas.yml").read_text())
    assert config["repos"]["poky"]["commit"] == poky.commit
    assert config["repos"]["poky"]["branch"] == "main"
    run = json.loads((record / "run.json").read_text())
    assert run["result"] == "passed"
    assert run["pins"]["layers"]["poky"]["commit"] == poky.commit
    assert run["image"]["release"] == "scarthgap"
    assert run["phases"][0]["details"]["sstate_wanted"] == 53
    assert "Tasks Summary" in (record / "build.log").read_text()
    about = json.loads((build / "deployed.json").read_text())
    assert about["runqemu"] == f"{workspace}/layers/scarthgap/poky/scripts/runqemu"
    assert (build / "deploy").resolve() == build / "tmp/deploy/images/qemux86-64"

    # Again, with the repository gone: nothing is asked of anybody.
    Path(poky.url.removeprefix("file://")).rename(poky.control / "gone")
    again = poky.call("build", "mine")
    assert again.returncode == 0, again.stderr
    assert poky.record() != record
    wait_until_gone(*poky.pids())


def tell(poky: FakePoky, tasks: int, *more: str) -> None:
    """Let bitbake write an event log with so many tasks, and *more* lines."""
    build = eventlog.Build(eventlog.maker(), tasks, 1_795_000_000.0)
    lines = [*build.head(), *build.more(tasks), *more, *build.tail()]
    (poky.control / "events").write_text("".join(lines))


def test_what_bitbake_tells_goes_into_the_record(poky: FakePoky) -> None:
    tell(poky, 39, eventlog.record("something odd", 30))
    done = poky.call("build", "mine")
    assert done.returncode == 0, done.stderr
    assert "sstate has 51 of 53 wanted objects (0 of them on mirrors)" in done.stderr
    assert "\x1b" not in done.stderr
    record = poky.record()
    figures = json.loads((record / "build.json").read_text())
    assert figures["result"] == "succeeded"
    assert figures["tasks"]["run"] == 39
    assert figures["sstate"]["match_percent"] == 96
    assert figures["image"]["rootfs_bytes"] == 1 << 20
    assert figures["events"]["damaged"] == figures["events"]["unreadable"] == 0
    assert figures["memory"]["host_used_peak"] > 0
    assert figures["phases"][0]["name"] == "start"
    tasks = [json.loads(line) for line in (record / "tasks.jsonl").read_text().splitlines()]
    assert len(tasks) == 39
    assert {task["outcome"] for task in tasks} == {"succeeded"}
    times = json.loads((poky.workspace / "task-times.json").read_text())["tasks"]
    assert len(times) == 39
    assert not list((poky.workspace / "build-mine").glob(".events*"))

    shown = poky.call("build-stats")
    assert shown.returncode == 0, shown.stderr
    for text in (record.name, "39: 39 run", "51 of 53 wanted objects", "do_compile", "held it up"):
        assert text in shown.stdout, text
    assert json.loads(poky.call("build-stats", record.name, "--json").stdout) == {
        "id": record.name, **figures,
    }  # fmt: skip
    tell(poky, 26)
    assert poky.call("build", "mine").returncode == 0
    both = poky.call("build-stats", record.name, "--compare", poky.record().name)
    assert re.search(r"tasks run +39 +26 +-13 \(-33 %\)", both.stdout), both.stdout
    assert re.search(r"recipe-2:do_compile +\d+\.\d +- ", both.stdout), both.stdout
    assert poky.call("build-stats", "nonsense").returncode == 2


def test_a_build_that_fails_leaves_its_figures(poky: FakePoky) -> None:
    failed = {"_task": "do_compile", "_fn": "/x/a_1.bb", "_mc": "default", "pn": "a", "pv": "1",
              "taskfile": "/x/a_1.bb", "logfile": "/l/log.do_compile.7", "time": 1_795_000_100.0,
              "pid": 7}  # fmt: skip
    tell(poky, 13, eventlog.line(eventlog.maker()("bb.build.TaskFailed", **failed)))
    poky.do("fail")
    done = poky.call("build", "mine")
    assert done.returncode == 4
    assert "FAILED  a:do_compile after 0 s" in done.stderr
    figures = json.loads((poky.record() / "build.json").read_text())
    assert figures["result"] == "failed"
    assert [(t["recipe"], t["log"]) for t in figures["failed_tasks"]] == [
        ("a", "/l/log.do_compile.7")
    ]
    assert figures["image"] is None
    assert "1 failed" in poky.call("build-stats").stdout


def test_what_cannot_be_followed_is_built_all_the_same(poky: FakePoky) -> None:
    tell(poky, 13)
    script = _BROKEN.format(driver=poky.argv("build", "mine")[2])
    argv = [word if n != 2 else script for n, word in enumerate(poky.argv("build", "mine"))]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "the build goes on, but cannot be followed well: RuntimeError: odd" in done.stderr
    assert done.stderr.count("cannot be followed") in (1, 2), "once, and at the end"
    assert "RuntimeError: odd" in (poky.record() / "watch-error.log").read_text()
    assert json.loads((poky.record() / "run.json").read_text())["result"] == "passed"


#: The command line with a bug in what takes the events.
_BROKEN = """\
from yoctovirt.build.kas.trace import Trace
def odd(*_):
    raise RuntimeError("odd")
Trace.add = odd
{driver}
"""


def test_a_bitbake_that_writes_no_events_is_built_with_as_well(poky: FakePoky) -> None:
    done = poky.call("build", "mine")
    assert done.returncode == 0, done.stderr
    figures = json.loads((poky.record() / "build.json").read_text())
    assert figures["tasks"]["total"] == 0
    assert figures["sstate"]["wanted"] == 53, "that is from the output"
    assert poky.call("build-stats").returncode == 0


def test_a_commit_that_its_branch_has_lost_builds_each_time(poky: FakePoky) -> None:
    upstream = Path(poky.url.removeprefix("file://"))
    commit(upstream, "next", README="another")
    git(upstream, "checkout", "-q", "--orphan", "new")
    commit(upstream, "rewritten", README="new history")
    git(upstream, "branch", "-q", "-f", "main", "new")
    for _ in range(2):
        done = poky.call("build", "mine")
        assert done.returncode == 0, done.stderr
        assert f"commit {poky.commit[:12]} is not on branch main" in done.stderr
        assert yaml.safe_load((poky.record() / "kas.yml").read_text())["repos"]["poky"][
            "branch"
        ] is None  # fmt: skip


def test_a_build_does_not_touch_the_layers_that_another_one_starts_with(poky: FakePoky) -> None:
    assert poky.call("build", "mine").returncode == 0
    # What git in another build would have at this moment.
    checkout = poky.workspace / "layers" / "scarthgap" / "poky"
    (checkout / ".git" / "index.lock").touch()
    done = poky.call("build", "mine")
    assert done.returncode == 0, done.stderr
    assert "--skip repos_checkout" in done.stderr


def test_patches_are_left_to_kas_and_taken_back(poky: FakePoky, tmp_path: Path) -> None:
    checkout = poky.workspace / "layers" / "scarthgap" / "poky"
    patch = tmp_path / "own" / "words.patch"
    patch.parent.mkdir()
    patch.write_text("--- /dev/null\n+++ b/PATCHED\n@@ -0,0 +1 @@\n+word\n")
    mine = patch.with_name("mine.yml")
    mine.write_text(
        "header: {version: 19}\n"
        f"repos:\n  own: {{path: {patch.parent}, layers: {{.: disabled}}}}\n"
        "  poky:\n    patches:\n      words: {repo: own, path: words.patch}\n"
    )
    for _ in range(2):
        done = poky.call("build", "mine", "--with", str(mine))
        assert done.returncode == 0, done.stderr
        assert "--skip" not in done.stderr
        assert (checkout / "PATCHED").is_file()
    done = poky.call("build", "mine")
    assert done.returncode == 0, done.stderr
    assert not (checkout / "PATCHED").exists()


def test_a_failing_task_is_named_with_the_errors_of_its_log(poky: FakePoky) -> None:
    poky.do("fail")
    done = poky.call("build", "mine")
    assert done.returncode == 4
    assert "error: busybox_1.36.1.bb:do_compile failed" in done.stderr
    assert "    | applets.c:3:5: error: 'nonsense' undeclared" in done.stderr
    assert "busybox/1.36.1/temp/log.do_compile.123" in done.stderr
    assert f"{poky.record()}/build.log" in done.stderr
    run = json.loads((poky.record() / "run.json").read_text())
    assert (run["exit_code"], run["phases"][0]["status"]) == (4, "error")
    assert not (poky.workspace / "build-mine" / "deploy").exists()
    assert not is_locked(poky.workspace / ".build-mine.lock")


def test_a_build_that_leaves_no_image(poky: FakePoky) -> None:
    poky.do("nothing")
    done = poky.call("build", "mine")
    assert done.returncode == 4
    assert "left no deploy directory for qemux86-64" in done.stderr


def test_an_image_that_is_damaged_is_not_published(poky: FakePoky) -> None:
    rootfs = poky.control / "deploy" / "my-image-qemux86-64.ext4"
    rootfs.write_bytes(rootfs.read_bytes()[:5000])
    done = poky.call("build", "mine")
    assert done.returncode == 4
    assert "truncated" in done.stderr
    assert not (poky.workspace / "build-mine" / "deploy").exists()


def test_two_releases_do_not_share_a_build_directory(poky: FakePoky) -> None:
    assert poky.call("build", "mine").returncode == 0
    done = poky.call("build", "mine", "--release", "kirkstone")
    assert done.returncode == 0, done.stderr
    other = poky.workspace / "build-mine-kirkstone"
    assert poky.seen()["cwd"] == str(other)
    # Nor a hash equivalence database: the newer server converts it for good.
    assert "/kirkstone/" in str((other / "cache" / "hashserv.db").readlink())
    # What was built last is what is booted.
    assert str((poky.workspace / "build-mine" / "deploy").resolve()).startswith(str(other))
    assert poky.call("build", "mine").returncode == 0
    assert poky.seen()["cwd"] == str(poky.workspace / "build-mine")


def test_ctrl_c_once_lets_the_tasks_finish(poky: FakePoky) -> None:
    poky.do("wait")
    process = start(poky)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None
    (poky.control / "finish").touch()
    output, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 130, output
    assert "Ctrl-C again stops them now" in output
    assert (poky.control / "hits").read_text() == "1"
    # Its server was given the time to write its caches.
    assert (poky.control / "server-ended").exists()
    wait_until_gone(*poky.pids())
    run = json.loads((poky.record() / "run.json").read_text())
    assert run["result"] == "interrupted"
    figures = json.loads((poky.record() / "build.json").read_text())
    assert figures["result"] == "interrupted"
    assert "Keyboard Interrupt, closing down" in (poky.record() / "build.log").read_text()


def test_ctrl_c_twice_stops_them(poky: FakePoky) -> None:
    poky.do("wait")
    process = start(poky)
    process.send_signal(signal.SIGINT)
    poky.wait_for_a_hit()
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 130, output
    assert (poky.control / "hits").read_text() == "2"
    wait_until_gone(*poky.pids())


def test_a_bitbake_that_is_deaf_is_stopped(poky: FakePoky) -> None:
    poky.do("deaf")
    process = start(poky, stop_seconds=0.5)
    process.send_signal(signal.SIGINT)
    poky.wait_for_a_hit()
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 130, output
    assert "bitbake does not end; it is stopped" in output
    wait_until_gone(*poky.pids())


def test_two_builds_of_one_role_exclude_each_other_and_a_kill_leaves_nothing(
    poky: FakePoky,
) -> None:
    poky.do("wait")
    process = start(poky)
    second = poky.call("build", "mine")
    assert second.returncode == 3
    assert "is in use: another build of mine is running" in second.stderr
    assert f"(pid {process.pid}, since 20" in second.stderr
    assert "build mine)" in second.stderr, "the command of the one who holds it"
    process.kill()
    process.communicate()
    wait_until_gone(*poky.pids())
    end = time.monotonic() + SECONDS
    while is_locked(poky.workspace / ".build-mine.lock"):
        assert time.monotonic() < end
        time.sleep(0.05)
    poky.do("build")
    assert poky.call("build", "mine").returncode == 0


def test_what_kas_cannot_do_is_said(poky: FakePoky) -> None:
    role = poky.workspace / "kas" / "inc" / "mine.yml"
    role.write_text(role.read_text() + "local_conf_header: {a: 3}\n")
    done = poky.call("build", "mine")
    assert done.returncode == 2
    assert "kas does not accept the configuration" in done.stderr
    assert not poky.pids()
