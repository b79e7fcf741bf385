"""``yoctovirt doctor`` on faults that are caused for real: mounts, limits, namespaces, ports.

What needs to be mounted is mounted in a mount namespace of the test's own.
"""

from __future__ import annotations

import json
import os
import pwd
import shlex
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import yoctovirt.doctor
from tests.mounts import APART, mounts

OURS = [sys.executable, "-m", "yoctovirt"]
SCHEMA = Path(yoctovirt.doctor.__file__).with_name("doctor.schema.json")
BUILD_USER = "nobody"


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    return {
        **kept, "YOCTOVIRT_OFFLINE": "1", "YOCTOVIRT_CACHE_DIR": str(tmp_path / "cache"),
        "YOCTOVIRT_BUILD_USER": BUILD_USER,
    }  # fmt: skip


def doctor(
    folder: Path, env: dict[str, str], *arguments: str, before: str = ""
) -> tuple[int, dict[str, list[dict[str, str]]]]:
    """Run doctor for *folder*, after the shell lines *before* in a mount namespace of its own.

    Returns its exit code and the results by check; what it printed fits the schema.
    """
    words = [*OURS, "--workspace", str(folder), "doctor", "--json", *arguments]
    if before:
        script = f"set -e\n{before}\nexec {shlex.join(words)}\n"
        words = [*APART, "sh", "-c", script]
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode in (0, 3), done.stdout + done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    jsonschema.validate(report, json.loads(SCHEMA.read_text()))
    results: dict[str, list[dict[str, str]]] = {}
    for one in report["results"]:
        results.setdefault(one["check"], []).append(one)
        assert (one["status"] in ("warning", "error")) <= bool(one["remedy"]), one
    assert (done.returncode == 3) == bool(report["counts"]["error"])
    return done.returncode, results


def status(results: dict[str, list[dict[str, str]]], check: str) -> str:
    assert check in results, sorted(results)
    return results[check][0]["status"]


def test_the_table_of_a_pipe(tmp_path: Path, env: dict[str, str]) -> None:
    words = [*OURS, "--workspace", str(tmp_path), "doctor", "reference"]
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\x1b" not in done.stdout
    assert "disk.space" in done.stdout
    assert not list(tmp_path.glob("*.yml"))  # nothing is made


def test_a_long_path_and_a_bad_letter(tmp_path: Path, env: dict[str, str]) -> None:
    deep = tmp_path / "/".join(["x" * 100] * 4)
    _, results = doctor(deep, env, "quick")
    assert status(results, "disk.path") == "error"
    _, results = doctor(tmp_path / "a b", env, "quick")
    assert status(results, "disk.characters") == "error"
    _, results = doctor(tmp_path / "ab", env, "quick")
    assert status(results, "disk.path") == status(results, "disk.characters") == "ok"


def test_umask_and_locale(tmp_path: Path, env: dict[str, str]) -> None:
    for mask, expected in (("022", "ok"), ("077", "error")):
        line = f"umask {mask}; exec {shlex.join(OURS)} --workspace {tmp_path} doctor quick --json"
        done = subprocess.run(
            ["sh", "-c", line], env={**env, "LC_ALL": "C"}, capture_output=True, text=True
        )
        found = {one["check"]: one["status"] for one in json.loads(done.stdout)["results"]}
        assert found["user.umask"] == expected
        assert found["user.environment"] == "warning"


@pytest.mark.skipif(os.geteuid() != 0, reason="this is about root")
def test_root_without_a_build_user(tmp_path: Path, env: dict[str, str]) -> None:
    _, results = doctor(tmp_path, env, "quick")
    assert status(results, "user.root") == "ok"
    env.pop("YOCTOVIRT_BUILD_USER")
    code, results = doctor(tmp_path, env, "quick")
    assert (code, status(results, "user.root")) == (3, "error")


def test_an_occupied_port(tmp_path: Path, env: dict[str, str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = str(taken.getsockname()[1])
        code, results = doctor(tmp_path, env, "reference", "--ssh-port", number)
        assert (code, status(results, "boot.port")) == (3, "error")
        assert f"pid {os.getpid()}" in results["boot.port"][0]["message"]
    _, results = doctor(tmp_path, env, "reference", "--ssh-port", number)
    assert status(results, "boot.port") == "ok"


def test_a_proxy_that_refuses(tmp_path: Path, env: dict[str, str]) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        proxy = f"http://127.0.0.1:{closed.getsockname()[1]}"
    env.pop("YOCTOVIRT_OFFLINE")
    env.pop("YOCTOVIRT_LAYER_MIRRORS", None)
    code, results = doctor(
        tmp_path, {**env, "http_proxy": proxy, "https_proxy": proxy}, "docker-host"
    )
    assert code == 3
    assert status(results, "network.proxy") == "error"
    assert {one["status"] for one in results["network.layers"]} == {"error"}
    assert "refused" in results["network.layers"][0]["message"]
    assert status(results, "network.sources") == "warning"
    assert status(results, "clock.servers") == "not checked"


def test_mirrors_that_are_not_there(tmp_path: Path, env: dict[str, str]) -> None:
    env["YOCTOVIRT_LAYER_MIRRORS"] = str(tmp_path / "absent")
    _, results = doctor(tmp_path, env, "quick")
    assert status(results, "network.mirrors") == "error"
    assert status(results, "network.layers") == "error"
    assert "offline, and not at hand: poky" in results["network.layers"][0]["message"]


def test_a_workspace_from_the_future(tmp_path: Path, env: dict[str, str]) -> None:
    space = tmp_path / "space"
    (space / "build-quick" / "conf").mkdir(parents=True)
    _, results = doctor(space, env, "quick")
    assert status(results, "clock.files") == "ok"
    ahead = (space / "build-quick").stat().st_mtime + 30 * 86400
    os.utime(space / "build-quick" / "conf", (ahead, ahead))
    _, results = doctor(space, env, "quick")
    assert status(results, "clock.files") == "error"
    assert "30 days" in results["clock.files"][0]["message"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_checkout_of_somebody_else(tmp_path: Path, env: dict[str, str]) -> None:
    """What git by hand refuses; the user who looks is the one who builds."""
    space = tmp_path / "space"
    poky = space / "layers" / "scarthgap" / "poky"
    subprocess.run(["git", "init", "-q", str(poky)], check=True)
    for folder in (tmp_path, space, *tmp_path.parents[:3]):
        if folder != Path("/tmp"):
            folder.chmod(folder.stat().st_mode | 0o55)
    account = pwd.getpwnam(BUILD_USER)
    _, results = doctor(space, env, "quick")
    assert status(results, "git.safe") == "warning"
    assert str(poky) in results["git.safe"][0]["message"]
    subprocess.run(["chown", "-R", str(account.pw_uid), str(poky)], check=True)
    _, results = doctor(space, env, "quick")
    assert status(results, "git.safe") == "ok"


def test_too_many_threads(tmp_path: Path, env: dict[str, str]) -> None:
    _, results = doctor(tmp_path, {**env, "BB_NUMBER_THREADS": "4000"}, "docker-host")
    assert status(results, "resources.threads") == "warning"
    assert status(results, "resources.memory") == "warning"
    assert "BB_NUMBER_THREADS=" in results["resources.memory"][0]["remedy"]


@mounts
def test_a_cache_on_a_full_volume(tmp_path: Path, env: dict[str, str]) -> None:
    env["SSTATE_DIR"] = f"{tmp_path}/volume/sstate"
    (tmp_path / "volume").mkdir()
    small = f"mount -t tmpfs -o size=9m tmpfs {tmp_path}/volume"
    code, results = doctor(tmp_path, env, "quick", before=small)
    assert code == 3
    (found,) = results["disk.caches"]
    assert found["status"] == "error"
    assert found["message"].startswith("SSTATE_DIR: 9 MiB free at ")
    assert "disk.caches" not in doctor(tmp_path, env, "quick")[1], "where it is no other volume"


@mounts
class TestMounts:
    """Faults of file systems and devices, each in a mount namespace of its own."""

    @pytest.fixture
    def space(self, tmp_path: Path) -> Path:
        folder = tmp_path / "space"
        folder.mkdir()
        return folder

    def tmpfs(self, space: Path, options: str) -> str:
        return f"mount -t tmpfs -o mode=755,{options} tmpfs {space}"

    def test_disk_and_inodes(self, space: Path, env: dict[str, str]) -> None:
        good = self.tmpfs(space, "size=6g,nr_inodes=200k")
        _, results = doctor(space, env, "quick", before=good)
        assert status(results, "disk.space") == status(results, "disk.inodes") == "ok"
        small = self.tmpfs(space, "size=3g,nr_inodes=200k")
        code, results = doctor(space, env, "quick", before=small)
        assert (code, status(results, "disk.space")) == (3, "error")
        assert "3.0 GiB of 3.0 GiB free" in results["disk.space"][0]["message"]
        few = self.tmpfs(space, "size=6g,nr_inodes=1k")
        _, results = doctor(space, env, "quick", before=few)
        assert status(results, "disk.inodes") == "error"
        assert status(results, "disk.space") == "ok"

    def test_noexec_and_read_only(self, space: Path, env: dict[str, str]) -> None:
        _, results = doctor(space, env, "quick", before=self.tmpfs(space, "noexec"))
        assert status(results, "disk.noexec") == "error"
        _, results = doctor(space, env, "quick", before=self.tmpfs(space, "ro"))
        assert status(results, "disk.noexec") == "ok"
        assert status(results, "disk.case") == "error"
        assert "Read-only" in results["disk.case"][0]["message"]

    @pytest.mark.parametrize(
        ("make", "mount"),
        [
            (["mkfs.xfs", "-q", "-n", "version=ci"], "mount -o loop"),
            (["mkfs.vfat"], "mount -o loop"),
            (["mkfs.ntfs", "-F", "-q", "-Q"], "lowntfs-3g -o ignore_case"),
        ],
        ids=["xfs", "vfat", "ntfs"],
    )
    def test_letter_case(
        self, space: Path, env: dict[str, str], make: list[str], mount: str
    ) -> None:
        path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
        if shutil.which(make[0], path=path) is None:
            pytest.skip(f"{make[0]} is not installed")
        image = space.with_name("image")
        with image.open("wb") as out:
            out.truncate(400 << 20)
        subprocess.run([*make, str(image)], check=True, env={**os.environ, "PATH": path})
        mount += f" {image} {space}"
        probe = [*APART, "sh", "-c", mount]
        said = subprocess.run(probe, capture_output=True, text=True, check=False)
        if said.returncode:
            pytest.skip(f"that cannot be mounted here: {said.stderr.strip().splitlines()[0]}")
        _, results = doctor(space, env, "quick")
        assert status(results, "disk.case") == "ok"
        _, results = doctor(space, env, "quick", before=mount)
        assert status(results, "disk.case") == "error"
        assert "ignores letter case" in results["disk.case"][0]["message"]

    def test_a_tool_removed(self, space: Path, env: dict[str, str]) -> None:
        """In its place is a file that nobody may run."""
        tool = shutil.which("chrpath", path="/usr/bin") or pytest.skip("no /usr/bin/chrpath")
        _, results = doctor(space, env, "quick")
        assert "chrpath" not in results["tools.host"][0]["message"]
        space.with_name("empty").touch(mode=0o644)
        hide = f"mount --bind {space.with_name('empty')} {tool}"
        code, results = doctor(space, env, "quick", before=hide)
        assert (code, status(results, "tools.host")) == (3, "error")
        assert "missing: chrpath (" in results["tools.host"][0]["message"]
        assert results["tools.host"][0]["remedy"].endswith(" chrpath")

    def test_an_old_git(self, space: Path, env: dict[str, str]) -> None:
        git = shutil.which("git", path="/usr/bin") or pytest.skip("no /usr/bin/git")
        old = space.with_name("git")
        old.write_text("#!/bin/sh\necho git version 1.7.1\n")
        old.chmod(0o755)
        _, results = doctor(space, env, "quick", before=f"mount --bind {old} {git}")
        assert status(results, "tools.versions") == "error"
        assert "git is 1.7.1, 1.8.3.1 is needed" in results["tools.versions"][0]["message"]

    def test_kvm_and_tun_hidden(self, space: Path, env: dict[str, str]) -> None:
        hide = f"mount -t tmpfs tmpfs /dev; mkdir {space}/x; mknod -m 666 /dev/null c 1 3"
        _, results = doctor(space, env, "reference", before=hide)
        assert status(results, "boot.kvm") == status(results, "boot.tun") == "warning"
        assert "/dev/kvm is missing" in results["boot.kvm"][0]["message"]

    def test_kvm_forbidden(self, space: Path, env: dict[str, str]) -> None:
        """As a user who may not open it: root opens what has no mode bits at all."""
        if not Path("/dev/kvm").exists():
            pytest.skip("there is no /dev/kvm")
        code = (
            "from yoctovirt.doctor.kvm import find_obstacle; found = find_obstacle(); "
            "print(found.kind, found.remedy)"
        )
        lines = (
            "mount -t tmpfs tmpfs /dev; mknod -m 600 /dev/kvm c 10 232; "
            "mknod -m 666 /dev/null c 1 3\n"
            f"exec setpriv --reuid=65534 --clear-groups {shlex.join([sys.executable, '-c', code])}"
        )
        done = subprocess.run([*APART, "sh", "-ec", lines], capture_output=True, text=True, env=env)
        assert done.stdout.startswith("forbidden as root: usermod -aG kvm"), done.stderr

    def test_user_namespaces_forbidden(self, space: Path, env: dict[str, str]) -> None:
        """Each user namespace has a limit of its own of those below it: set to none."""
        code = (
            "from yoctovirt.doctor.namespaces import user_namespaces as ask; "
            "print(ask(None).status, ask(None, needed=True).status, ask(None).message)"
        )
        call = shlex.join([sys.executable, "-c", code])
        for limit, expected in (("none", "ok ok "), ("0", "warning error ")):
            switch = f"echo {limit} >/proc/sys/user/max_user_namespaces\n" if limit == "0" else ""
            done = subprocess.run(
                ["unshare", "--user", "--map-root-user", "sh", "-ec", f"{switch}exec {call}"],
                capture_output=True, text=True, env=env,
            )  # fmt: skip
            assert done.stdout.startswith(expected), done.stdout + done.stderr

    def test_a_limit_of_memory(self, space: Path, env: dict[str, str]) -> None:
        groups = Path("/sys/fs/cgroup")
        if (groups / "memory" / "memory.limit_in_bytes").is_file():
            base, limit = groups / "memory", "memory.limit_in_bytes"
        elif "memory" in (groups / "cgroup.subtree_control").read_text().split():
            base, limit = groups, "memory.max"
        else:
            pytest.skip("the memory controller is not enabled for groups below the root")
        own = base / f"yoctovirt-test-{os.getpid()}"
        own.mkdir()
        try:
            (own / limit).write_text(str(3 << 30))
            join = f"echo $$ >{own}/cgroup.procs"
            _, results = doctor(space, env, "docker-host", before=join)
        finally:
            own.rmdir()
        assert status(results, "resources.memory") == "warning"
        assert f"limited by {own}/{limit}" in results["resources.memory"][0]["message"]
        assert "BB_NUMBER_THREADS=1 " in results["resources.memory"][0]["remedy"]

    def test_a_build_is_refused_and_can_be_insisted_on(
        self, space: Path, env: dict[str, str]
    ) -> None:
        words = shlex.join([*OURS, "--workspace", str(space), "build", "quick"])
        mount = self.tmpfs(space, "size=2g,noexec")
        for more, said in (
            ("", "things keep this host from a build of quick"),
            (" --skip-preflight", "offline, and not all is at hand"),
        ):
            done = subprocess.run(
                [*APART, "sh", "-ec", f"{mount}\n{words}{more}"],
                capture_output=True, text=True,
                env={**env, "YOCTOVIRT_LAYER_MIRRORS": ""},
            )  # fmt: skip
            assert done.returncode == 3, done.stdout + done.stderr
            assert said in done.stderr
            assert ("noexec" in done.stderr) == (not more)
