"""The real pipe on the role quick: kas, bitbake, runqemu, smoke."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.integration.conftest import PATIENCE, Yoctovirt, wait_for
from tests.layers.conftest import BUILD_USER, Places
from yoctovirt.config.layers import candidates, mirror_list
from yoctovirt.config.resources import data_root

pytestmark = [pytest.mark.layers, pytest.mark.timeout(2400)]


def figures(yv: Yoctovirt) -> dict[str, int]:
    details: dict[str, int] = yv.last_record()["phases"][0]["details"]
    return details


def test_built_from_nothing(quick: Yoctovirt) -> None:
    deploy = (quick.workspace / "build-quick" / "deploy").resolve()
    names = {path.name for path in deploy.iterdir()}
    assert any(name.endswith(".qemuboot.conf") for name in names)
    assert any(name.endswith(".ext4") for name in names)
    kas = yaml.safe_load(next(quick.workspace.glob("runs/*-build-quick/kas.yml")).read_text())
    assert re.fullmatch(r"[0-9a-f]{40}", kas["repos"]["poky"]["commit"])
    assert kas["repos"]["poky"]["url"].startswith("https://"), "public URLs stay in the record"
    log = next(quick.workspace.glob("runs/*-build-quick/build.log")).read_text()
    assert re.search(r"Sstate summary: Wanted \d+ Local 0 Mirrors 0", log)


def test_ci_again(quick: Yoctovirt) -> None:
    """Nothing is built again; runqemu boots it; its suites pass on it."""
    done = quick.run("ci", "quick", timeout=2400)
    assert done.returncode == 0, done.stdout + done.stderr
    run = quick.last_record()
    assert figures(quick)["tasks"] == figures(quick)["tasks_not_rerun"] > 50
    assert run["nodes"][0]["command"][0].endswith("/scripts/runqemu")
    assert {check["suite"] for check in run["checks"]} == {"base", "system", "docker"}
    assert {check["outcome"] for check in run["checks"]} == {"passed"}
    assert run["pins"]["layers"]["poky"]["commit"]


def test_second_workspace_takes_from_sstate(quick: Yoctovirt, places: Places) -> None:
    second = places.workspace("second")
    second.workspace.mkdir()
    (second.workspace / "yoctovirt.yml").write_text("version: 1\n")
    for name in ("sstate-cache", "downloads"):
        (second.workspace / name).symlink_to(quick.workspace / name)
    done = second.run("build", "quick", timeout=1800)
    assert done.returncode == 0, done.stderr
    got = figures(second)
    print(f"second workspace: {got}")
    assert got["sstate_local"] >= got["sstate_wanted"] - 2, "all but the image's own"
    build = json.loads((second.last_record()["path"] / "build.json").read_text())
    assert build["tasks"]["setscene"] > 20
    assert build["sstate"]["local"] == got["sstate_local"]
    assert build["tasks"]["run"] < 30


def test_plain_kas_in_a_clone(quick: Yoctovirt, places: Places) -> None:
    """`kas build kas/quick.yml` without yoctovirt, from the same shared caches."""
    clone = places.root / "clone"
    clone.mkdir()
    for name in ("kas", "layers-manifest", "recipes-extra"):
        subprocess.run(["cp", "-r", str(data_root() / name), str(clone / name)], check=True)
    work = clone / "work"
    work.mkdir()
    gitconfig = clone / "gitconfig"
    gitconfig.write_text("[safe]\n\tdirectory = *\n")
    url = "https://git.yoctoproject.org/poky"
    source = candidates(url, mirror_list())[0]
    env = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "en_US.UTF-8", "LC_ALL": "en_US.UTF-8", "HOME": str(work),
        "GITCONFIG_FILE": str(gitconfig), "KAS_WORK_DIR": str(work),
        "DL_DIR": str(quick.workspace / "downloads"),
        "SSTATE_DIR": str(quick.workspace / "sstate-cache"),
    }  # fmt: skip
    if source != url:
        env["KAS_PREMIRRORS"] = f"{url} {source if '://' in source else 'file://' + source}"
    argv = [sys.executable, "-m", "kas", "build", "kas/quick.yml"]
    subprocess.run(["git", "init", "-q", str(clone)], check=True)
    if os.geteuid() == 0:
        subprocess.run(["chown", "-R", BUILD_USER, str(clone)], check=True)
        argv = ["setpriv", f"--reuid={BUILD_USER}", f"--regid={BUILD_USER}", "--init-groups", *argv]
    done = subprocess.run(argv, cwd=clone, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert list((work / "build/tmp/deploy/images").rglob("*.ext4"))


def test_console_and_ssh_agree_under_runqemu(quick: Yoctovirt) -> None:
    assert quick.run("boot", "--detach").returncode == 0, "without ROLE: the one built last"
    try:
        done = quick.run("ssh", "quick", "cat /etc/issue; exit 4")
        assert done.returncode == 4
        (state,) = json.loads(quick.run("nodes", "--json").stdout)
        assert state["command"][0].endswith("runqemu")
    finally:
        stopped = quick.run("stop", "quick")
    assert stopped.stdout == "quick: powered off\n"


def test_runqemu_that_lies(quick: Yoctovirt) -> None:
    """runqemu ends with 0 although QEMU did not start."""
    done = quick.run("boot", "quick", "--qemuparams=-no-such-option")
    assert done.returncode == 5, done.stdout + done.stderr
    assert "QEMU does not understand its arguments" in done.stderr
    quick.assert_nothing_left()


def test_kill_9_under_runqemu(quick: Yoctovirt) -> None:
    """runqemu stands between us and QEMU; a parent-death signal alone would not reach it."""
    boot = quick.start("boot", "quick")
    wait_for(lambda: any("qemu-system" in line and "runqemu" not in line
                         for line in quick.processes()), 30, "QEMU runs")  # fmt: skip
    os.kill(boot.pid, signal.SIGKILL)
    boot.communicate(timeout=60)
    quick.assert_nothing_left()


def broken_layer(folder: Path) -> Path:
    """Make a layer whose bbappend lets do_install of quick-ssh fail, and the kas file for it."""
    layer = folder / "meta-broken"
    (layer / "conf").mkdir(parents=True)
    (layer / "conf/layer.conf").write_text(
        'BBPATH .= ":${LAYERDIR}"\n'
        'BBFILES += "${LAYERDIR}/recipes-*/*/*.bbappend"\n'
        'BBFILE_COLLECTIONS += "broken"\nBBFILE_PATTERN_broken = "^${LAYERDIR}/"\n'
        'LAYERSERIES_COMPAT_broken = "kirkstone scarthgap wrynose"\n'
    )
    recipe = layer / "recipes-quick/quick-ssh"
    recipe.mkdir(parents=True)
    (recipe / "quick-ssh.bbappend").write_text(
        "do_install:append() {\n    cp /no/such/file ${D}/etc\n}\n"
    )
    kas = folder / "broken.yml"
    kas.write_text(
        f"header: {{version: 19}}\nrepos:\n  broken:\n    path: {layer}\n    layers: {{'.': }}\n"
    )
    return kas


def test_failing_recipe(quick: Yoctovirt, places: Places) -> None:
    folder = places.root / "broken"
    folder.mkdir()
    done = quick.run("build", "quick", "--with", str(broken_layer(folder)), timeout=1200)
    assert done.returncode == 4, done.stdout + done.stderr
    assert "quick-ssh.bb:do_install failed" in done.stderr
    assert "cannot stat '/no/such/file'" in done.stderr
    log = re.search(r"log: +(\S+log\.do_install\.\d+)", done.stderr)
    assert log
    assert Path(log[1]).is_file()
    quick.assert_nothing_left()
    again = quick.run("build", "quick", timeout=1200)
    assert again.returncode == 0, "without that layer all is well again: " + again.stderr


@pytest.mark.parametrize("times", [1, 2])
def test_interrupt(places: Places, quick: Yoctovirt, times: int) -> None:
    """Ctrl-C once lets running tasks finish, twice stops them; no bitbake server stays."""
    yv = places.workspace(f"interrupted-{times}")
    yv.workspace.mkdir()
    (yv.workspace / "yoctovirt.yml").write_text("version: 1\n")
    (yv.workspace / "downloads").symlink_to(quick.workspace / "downloads")
    build = yv.start("build", "quick")

    def tasks_run() -> bool:
        logs = yv.workspace.glob("runs/*/build.log")
        return any(re.search(r"Running task \d+ of", path.read_text(errors="replace"))
                   for path in logs)  # fmt: skip

    wait_for(tasks_run, 120, "bitbake runs tasks")
    start = time.monotonic()
    build.send_signal(signal.SIGINT)
    if times == 2:
        time.sleep(1)  # a person's second Ctrl-C
        build.send_signal(signal.SIGINT)
    output, _ = build.communicate(timeout=240 * PATIENCE)
    print(f"{times} x Ctrl-C: ended after {time.monotonic() - start:.1f} s")
    assert build.returncode == 130, output
    assert "bitbake lets the running tasks finish" in output
    yv.assert_nothing_left()
    assert yv.last_record()["result"] == "interrupted"
    if times == 1:
        again = yv.run("build", "quick", timeout=1800)
        assert again.returncode == 0, "the next call resumes: " + again.stderr


def test_two_builds_of_one_role(quick: Yoctovirt) -> None:
    calls = [quick.start("build", "quick") for _ in range(2)]
    outputs = [call.communicate(timeout=600 * PATIENCE)[0] for call in calls]
    codes = sorted(call.returncode for call in calls)
    # A build with nothing to do may be over before the second one looks.
    assert codes in ([0, 3], [0, 0]), outputs
    if codes == [0, 3]:
        assert any("another build of quick is running" in output for output in outputs)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is refused by bitbake")
def test_root_is_refused(places: Places) -> None:
    yv = places.workspace("root")
    del yv.env["YOCTOVIRT_BUILD_USER"]
    done = yv.run("build", "quick")
    assert done.returncode == 3
    assert "bitbake refuses to run as root" in done.stderr
    assert "--build-user" in done.stderr


def test_layers_nowhere(places: Places, tmp_path: Path) -> None:
    empty = tmp_path / "mirror"
    empty.mkdir()
    yv = places.workspace("nowhere", YOCTOVIRT_LAYER_MIRRORS=str(empty))
    kas = tmp_path / "elsewhere.yml"
    kas.write_text(
        "header: {version: 19}\nrepos: {poky: {url: 'https://git.example.invalid/poky'}}\n"
    )
    done = yv.run("build", "quick", "--with", str(kas))
    assert done.returncode == 3, done.stdout + done.stderr
    assert "repository poky at" in done.stderr
    assert "https://git.example.invalid/poky" in done.stderr
    assert "YOCTOVIRT_LAYER_MIRRORS" in done.stderr
    assert not (yv.workspace / "layers/scarthgap/poky").exists()
    assert not list((yv.workspace / "layers/scarthgap").glob(".tmp-*"))
