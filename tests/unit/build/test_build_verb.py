"""``yoctovirt build`` with several roles and what else it is asked: real kas, a bitbake of ours."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakebitbake import FakePoky, fake_poky
from tests.processes import SECONDS
from tests.unit.build.test_kas_builder import start


@pytest.fixture
def poky(tmp_path: Path) -> Iterator[FakePoky]:
    """Give a workspace with the roles ``mine`` (second) and ``first``."""
    fake = fake_poky(tmp_path)
    folder = fake.workspace / "kas" / "inc"
    shutil.copyfile(folder / "mine.yml", folder / "first.yml")
    role = (folder / "mine.role.yml").read_text()
    (folder / "first.role.yml").write_text(role)
    (folder / "mine.role.yml").write_text(role + "node: {order: 2}\n")
    yield fake
    assert fake.left() == [], "a process of the build was left behind"


def event_log(poky: FakePoky) -> list[str]:
    return ["-w", str(poky.workspace / "build-mine" / ".events")]


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path): (path.lstat().st_mtime_ns, path.lstat().st_size) for path in folder.rglob("*")
    }


def records(poky: FakePoky) -> dict[str, dict[str, object]]:
    found = {}
    for path in (poky.workspace / "runs").glob("*/run.json"):
        run = json.loads(path.read_text())
        found[run["role"]] = run
    return found


def test_roles_are_built_in_the_order_of_their_nodes(poky: FakePoky) -> None:
    done = poky.call("build", "mine", "first")
    assert done.returncode == 0, done.stderr
    assert re.findall(r"^==> build (\w+)$", done.stderr, re.MULTILINE) == ["first", "mine"]
    assert re.findall(r"^(\w+) +built$", done.stdout, re.MULTILINE) == ["first", "mine"]
    assert {role: run["exit_code"] for role, run in records(poky).items()} == {
        "first": 0,
        "mine": 0,
    }


def test_after_a_failure_the_others_have_their_turn_with_continue_only(poky: FakePoky) -> None:
    poky.do("fail")
    done = poky.call("build", "mine", "first")
    assert done.returncode == 4, done.stderr
    assert re.search(r"^first +failed \(exit code 4\)$", done.stdout, re.MULTILINE)
    assert re.search(r"^mine +not built: first did not get", done.stdout, re.MULTILINE)
    assert list(records(poky)) == ["first"]
    assert "-k" not in poky.seen()["argv"]

    done = poky.call("build", "mine", "first", "--continue")
    assert done.returncode == 4
    assert done.stdout.count("failed (exit code 4)") == 2
    assert set(records(poky)) == {"first", "mine"}
    assert poky.seen()["argv"][1:] == ["-c", "build", *event_log(poky), "-k", "my-image"]


def test_what_failed_stands_in_the_record(poky: FakePoky) -> None:
    poky.do("fail")
    assert poky.call("build", "mine").returncode == 4
    error = json.loads((poky.record() / "run.json").read_text())["error"]
    assert error["class"] == "BuildError"
    (failure,) = error["failures"]
    assert failure["recipe"] == "busybox_1.36.1"
    assert failure["task"] == "do_compile"
    assert failure["file"] == "/x/poky/meta/recipes-core/busybox/busybox_1.36.1.bb"
    assert failure["cause"] == "compile"
    assert failure["title"] == "applets.c, line 3: 'nonsense' undeclared"
    assert failure["lines"] == ["applets.c:3:5: error: 'nonsense' undeclared"]
    assert Path(failure["log"]).is_file()


def test_a_target_a_task_and_arguments_of_bitbake(poky: FakePoky) -> None:
    poky.do("nothing")
    done = poky.call("build", "mine", "--target", "busybox", "--task", "compile", "--", "-f", "-v")
    assert done.returncode == 0, done.stderr
    assert poky.seen()["argv"][1:] == ["-c", "compile", *event_log(poky), "-f", "-v", "busybox"]
    assert "busybox do_compile; no image was made" in done.stdout
    assert "image:" not in done.stdout
    assert not (poky.workspace / "build-mine" / "deploy").exists()
    run = json.loads((poky.record() / "run.json").read_text())
    assert (run["image"], run["result"]) == (None, "passed")
    assert run["phases"][0]["details"]["tasks"] == 127


def test_dry_run_says_all_and_does_nothing(poky: FakePoky, monkeypatch: pytest.MonkeyPatch) -> None:
    before = tree(poky.workspace)
    # A mirror that lacks the repository: what is shown is what will be asked.
    monkeypatch.setenv("YOCTOVIRT_LAYER_MIRRORS", str(poky.control / "no-mirrors"))
    (poky.control / "no-mirrors").mkdir()
    done = poky.call("build", "mine", "--dry-run", "--continue")
    assert done.returncode == 0, done.stderr
    assert tree(poky.workspace) == before
    assert not poky.pids(), "bitbake was not called"
    plan = done.stdout
    assert "yoctovirt.yml" in plan, "the workspace would be made"
    assert f"fetch -q --no-tags --update-shallow {poky.url}" in plan

    # What is then done is what was said.
    real = poky.call("build", "mine", "--continue")
    assert real.returncode == 0, real.stderr
    assert str(poky.workspace / "config" / "mine-scarthgap.yml") in plan
    for path in ("config/mine-scarthgap.yml", "config/gitconfig", "build-mine/release",
                 "yoctovirt.yml", "build-mine/conf/bblayers.conf",
                 "build-mine/conf/local.conf"):  # fmt: skip
        text = (poky.workspace / path).read_text()
        shown = "".join(f"    | {line}\n" for line in text.splitlines())
        assert f"write {poky.workspace / path}\n{shown}" in plan, path
    commands = (poky.record() / "commands.log").read_text().splitlines()
    (kas,) = [line.partition(" ")[2] for line in commands if " kas build " in line]
    assert shlex.split(kas) in [
        shlex.split(line.removeprefix("$ ")) for line in plan.splitlines() if "kas build" in line
    ]
    bitbake = next(line for line in plan.splitlines() if " && bitbake " in line)
    words = shlex.split(bitbake.partition("#")[0])
    assert words[words.index("bitbake") + 1 :] == poky.seen()["argv"][1:]

    again = poky.call("build", "mine", "--dry-run", "--continue")
    assert "write" not in re.sub(r"write \S+/runs/.*", "", again.stdout)
    assert f"keep  {poky.workspace}/config/mine-scarthgap.yml (as it is)" in again.stdout
    assert "git -C" not in again.stdout
    assert "link" not in again.stdout

    both = poky.call("build", "first", "mine", "--dry-run")
    assert both.stdout.count("config/gitconfig (as it is)") == 1, "what is done is not done again"
    assert both.stdout.count("kas build") == 2

    # A change is shown as one.
    changed = poky.call("build", "mine", "--dry-run", "--machine", "qemuarm64")
    assert "    | -machine: qemux86-64\n    | +machine: qemuarm64\n" in changed.stdout


def test_dry_run_of_a_role_of_debian_packages(poky: FakePoky) -> None:
    before = tree(poky.workspace)
    done = poky.call("build", "reference", "--dry-run", YOCTOVIRT_CACHE_DIR=str(poky.control))
    assert done.returncode == 0, done.stderr
    assert " mmdebstrap --variant=apt" in done.stdout
    assert f"-> {poky.control}/debian/reference-" in done.stdout
    assert tree(poky.workspace) == before
    assert not (poky.control / "debian").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["mine", "mine"], "a role is named twice"),
        (["mine", "no-such-role"], "there is no role 'no-such-role'"),
        (["mine", "--force"], "--force is for roles made of Debian packages"),
        (["reference", "mine", "--target", "x"], "role reference is made of Debian packages"),
        (["reference", "--", "-f"], "role reference is made of Debian packages"),
        (["reference", "--continue"], "--continue: reference is made of Debian packages"),
        (["mine", "--", "-c", "compile"], "bitbake's option -c (--cmd) cannot be handed on"),
        (["mine", "first", "--release", "thud"], "there is no release 'thud'"),
        (["mine", "--feature", "podman"], "role mine cannot take in the feature podman"),
        ([], "Missing argument 'ROLE... [-- BITBAKE-ARGUMENT...]'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_done_is_refused_before_anything(
    poky: FakePoky, arguments: list[str], said: str
) -> None:
    before = tree(poky.workspace)
    done = poky.call("build", *arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert said in done.stderr
    assert tree(poky.workspace) == before


def test_ctrl_c_ends_all_and_the_next_call_goes_on(poky: FakePoky) -> None:
    poky.do("wait")
    process = start(poky, roles=("mine", "first"))
    process.send_signal(signal.SIGINT)
    (poky.control / "finish").touch()
    output, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 130, output
    assert (poky.control / "hits").read_text() == "1", "bitbake was told once"
    assert re.search(r"^first +interrupted \(exit code 130\)$", output, re.MULTILINE), output
    assert re.search(r"^mine +not built: interrupted before it$", output, re.MULTILINE)
    assert records(poky)["first"]["result"] == "interrupted"
    poky.do("build")
    done = poky.call("build", "mine", "first")
    assert done.returncode == 0, done.stderr
