"""``--container``: the command line that is made, and what the real kas-container does with it.

No engine runs here: a program called docker or podman notes how it was called, and does what it
was told with the real kas, outside of any container.
"""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.fakebitbake import FakePoky, fake_poky
from tests.processes import SECONDS
from yoctovirt.build.kas.container import check_mark, find_engines
from yoctovirt.config.resources import data_root
from yoctovirt.errors import InfrastructureError, UsageError

ENGINE = """\
#!{python}
import json, os, pathlib, subprocess, sys
control = pathlib.Path({control!r})
argv = sys.argv[1:]
with (control / "calls").open("a") as calls:
    calls.write(json.dumps(argv) + "\\n")
if argv[0] == "info" and (control / "dead").exists():
    sys.exit("Cannot connect to the Docker daemon at unix:///var/run/docker.sock.")
if argv[:2] == ["context", "show"]:
    print("default")
if argv[0] != "run":
    sys.exit(0)
mounts, env, rest = {{}}, {{}}, argv[1:]
while rest and rest[0].startswith("-"):
    word = rest.pop(0)
    if word in ("-v", "-e", "--security-opt"):
        value = rest.pop(0)
        if word == "-v":
            source, target, mode = value.split(":")
            mounts[target] = [source, mode]
        elif word == "-e":
            name, equals, text = value.partition("=")
            env[name] = text if equals else os.environ[name]
(control / "run.json").write_text(json.dumps({{"mounts": mounts, "env": env, "image": rest[0]}}))
words = [word.replace("/repo", mounts["/repo"][0]) for word in rest[1:]]
gitconfig = mounts[env["GITCONFIG_FILE"]][0]
sys.exit(subprocess.run(
    [{python!r}, "-m", "kas", *words],
    env={{**env, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "en_US.UTF-8",
          "HOME": str(control), "GITCONFIG_FILE": gitconfig, "KAS_CONTAINER_SCRIPT_VERSION": ""}},
).returncode)
"""


@pytest.fixture
def poky(tmp_path: Path) -> FakePoky:
    return fake_poky(tmp_path)


def engine(poky: FakePoky, name: str) -> dict[str, str]:
    """Put a program *name* into the PATH; return the environment for a call."""
    program = poky.control / "bin" / name
    program.parent.mkdir(exist_ok=True)
    program.write_text(ENGINE.format(python=sys.executable, control=str(poky.control)))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    # kas-container refuses root, as bitbake does: that, too, is of the host of the test.
    (program.parent / "id").write_text(f'#!/bin/sh\nexec /usr/bin/id "$@" | sed "s/^0$/{1000}/"\n')
    (program.parent / "id").chmod(0o755)
    return {"PATH": f"{program.parent}:{os.environ['PATH']}"}


def calls(poky: FakePoky) -> list[list[str]]:
    return [json.loads(line) for line in (poky.control / "calls").read_text().splitlines()]


def run_of(poky: FakePoky) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((poky.control / "run.json").read_text())
    return data


@pytest.mark.parametrize("name", ["docker", "podman"])
def test_a_build_in_a_container(poky: FakePoky, tmp_path: Path, name: str) -> None:
    sstate, mirror = tmp_path / "sstate", tmp_path / "mirror"
    mirror.mkdir()
    (poky.workspace / "site.yml").write_text(
        f"SSTATE_DIR: {sstate}\nsstate_mirrors: [{mirror}]\nPRSERV_HOST: 127.0.0.1:1\n"
    )
    env = engine(poky, name)
    done = poky.call(
        "--offline", "build", "mine", f"--container={name}", BB_NUMBER_THREADS="3",
        NETRC_FILE="/dev/null", **env,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    shown = next(line for line in done.stderr.splitlines() if "/kas-container " in line)
    assert f"KAS_CONTAINER_ENGINE={name}" in shown
    assert shown.strip().removeprefix("$ ") in (poky.record() / "commands.log").read_text()

    run = run_of(poky)
    workspace = str(poky.workspace)
    at_one_path = {
        target: mode for target, (source, mode) in run["mounts"].items() if source == target
    }
    assert at_one_path == {
        workspace: "rw", str(sstate): "rw", str(mirror): "ro", str(data_root()): "ro",
    } or at_one_path == {workspace: "rw", str(sstate): "rw", str(mirror): "ro"}  # fmt: skip
    assert run["mounts"]["/repo"] == [f"{workspace}/config", "ro"]
    env_inside = run["env"]
    assert env_inside["KAS_WORK_DIR"] == f"{workspace}/layers/scarthgap", "the last one counts"
    assert env_inside["KAS_BUILD_DIR"] == f"{workspace}/build-mine"
    assert env_inside["BB_NUMBER_THREADS"] == "3"
    assert run["image"].startswith("ghcr.io/siemens/kas/kas:")

    seen = poky.seen()["env"]
    assert seen["DL_DIR"] == f"{workspace}/downloads"
    assert seen["SSTATE_DIR"] == str(sstate)
    assert seen["BUILDDIR"] == f"{workspace}/build-mine"
    assert (poky.workspace / "build-mine/deploy").exists(), "what was built is found outside"

    # What was built in a container is not built on outside, and the other way round.
    done = poky.call("build", "mine", **env)
    assert done.returncode == 2
    assert "build-mine was built in a container" in done.stderr
    assert "remove 'tmp*'" in done.stderr


def test_a_fetch_in_a_container(poky: FakePoky) -> None:
    done = poky.call("fetch", "mine", "--container", **engine(poky, "podman"))
    assert done.returncode == 0, done.stderr
    assert poky.seen()["argv"][1:] == ["-c", "build", "--continue", "--runall=fetch", "my-image"]
    assert run_of(poky)["env"]["KAS_BUILD_DIR"].endswith("/fetch/mine-scarthgap")


def test_variables_that_kas_container_leaves_out(poky: FakePoky) -> None:
    role = poky.workspace / "kas/inc/mine.yml"
    role.write_text(role.read_text() + "env: {BB_NO_NETWORK: null, YV_DEBIAN_MIRROR: null}\n")
    done = poky.call(
        "--offline", "build", "mine", "--container", YV_DEBIAN_MIRROR="http://deb.example.com/debian",
        **engine(poky, "docker"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    seen = poky.seen()["env"]
    assert seen["BB_NO_NETWORK"] == "1"
    assert seen["YV_DEBIAN_MIRROR"] == "http://deb.example.com/debian"


def test_no_engine(poky: FakePoky, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    done = poky.call("build", "mine", "--container=podman", PATH=str(tmp_path))
    assert done.returncode == 3, done.stderr
    assert "there is no podman on this host" in done.stderr
    assert "apt-get install podman" in done.stderr
    assert not (poky.workspace / "build-mine").exists()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InfrastructureError, match="there is no docker or podman on this host"):
        find_engines("any")


def test_an_engine_that_does_not_answer(poky: FakePoky) -> None:
    (poky.control / "dead").touch()
    env = engine(poky, "docker")
    done = poky.call("build", "mine", "--container=docker", **env)
    assert done.returncode == 3, done.stderr
    assert "docker cannot be used by you: Cannot connect to the Docker daemon" in done.stderr
    assert "group docker" in done.stderr
    assert not (poky.workspace / "build-mine").exists()
    # Where none is named, the first that answers is taken.
    podman = poky.control / "bin/podman"
    podman.write_text((poky.control / "bin/docker").read_text().replace('"dead"', '"neither"'))
    podman.chmod(0o755)
    done = poky.call("build", "mine", "--container", **env)
    assert done.returncode == 0, done.stderr
    assert "KAS_CONTAINER_ENGINE=podman" in done.stderr


def test_what_has_no_place_in_a_container(poky: FakePoky) -> None:
    env = engine(poky, "docker")
    done = poky.call("build", "quick", "--container", **env)
    assert done.returncode == 2, done.stderr
    assert "KAS_CONTAINER_IMAGE" in done.stderr
    done = poky.call("build", "reference", "--container", **env)
    assert done.returncode == 2, done.stderr
    assert "made of Debian packages" in done.stderr
    done = poky.call("build", "mine", "--container=lxc", **env)
    assert done.returncode == 2
    assert "'lxc' is not one of 'docker', 'podman'" in done.stderr


def test_an_interrupt_stops_the_container(poky: FakePoky) -> None:
    poky.do("wait")
    env = {**os.environ, **engine(poky, "docker")}
    process = subprocess.Popen(
        poky.argv("build", "mine", "--container"), env=env, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    end = time.monotonic() + SECONDS
    while not (poky.control / "waiting").exists():
        assert time.monotonic() < end
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    # The user interface of bitbake is nobody's child in a container.
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 130, output
    *_, run, stop = calls(poky)
    name = next(word for word in run if word.startswith("--name=yoctovirt-mine-"))
    assert stop == ["stop", "-t", "15", name.removeprefix("--name=")]
    assert poky.left() == []


def test_the_mark(tmp_path: Path) -> None:
    check_mark(tmp_path, True)
    (tmp_path / "tmp").mkdir()
    check_mark(tmp_path, False)
    with pytest.raises(UsageError, match="was built outside: what is in it may not run in a con"):
        check_mark(tmp_path, True)
