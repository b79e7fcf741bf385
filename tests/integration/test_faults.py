"""Faults caused for real: the verdict is right, the message helps, nothing stays behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import PATIENCE, Yoctovirt, interrupt, wait_for

pytestmark = pytest.mark.node


def python_path(folder: Path) -> str:
    return f"{folder}:{os.environ.get('PYTHONPATH', '')}"


@pytest.mark.faults
def test_guest_that_never_shows_a_login(fresh: Yoctovirt) -> None:
    done = fresh.run("boot", "reference", "--bootparams=init=/bin/cat", "--login-timeout=25")
    assert done.returncode == 5, done.stdout + done.stderr
    assert "no login on the console within 25 s" in done.stderr
    run = fresh.last_record()
    assert run["error"]["class"] == "BootError"
    assert run["phases"][-1]["status"] == "error"


@pytest.mark.faults
def test_guest_whose_sshd_does_not_answer(fresh: Yoctovirt) -> None:
    done = fresh.run(
        "smoke", "reference", "--bootparams=systemd.mask=ssh.service", "--ssh-timeout=6"
    )
    assert done.returncode == 5, done.stdout + done.stderr
    assert "does not answer within 6 s" in done.stderr
    assert fresh.last_record()["checks"] == []


def test_panic_is_told_at_once(fresh: Yoctovirt) -> None:
    done = fresh.run("ci", "reference", "--suite", "base,docker", "--bootparams=root=/dev/vdz")
    assert done.returncode == 5, done.stdout + done.stderr
    assert "the root file system could not be mounted" in done.stderr
    run = fresh.last_record()
    # The suites are promised, so in the reports they are errors and no skips.
    reasons = {left["suite"]: left["reason"] for left in run["not_run"]}
    assert reasons.pop("base") == reasons.pop("docker") == "boot failed"
    assert set(reasons.values()) == {"not chosen with --suite"}
    junit = (run["path"] / "junit.xml").read_text()
    assert junit.count('type="NotRun"') == 3
    assert (run["path"] / "report.html").is_file()


def test_emergency_mode(fresh: Yoctovirt) -> None:
    done = fresh.run("boot", "reference", "--bootparams=systemd.unit=emergency.target")
    assert done.returncode == 5, done.stdout + done.stderr
    assert "the node is in emergency mode" in done.stderr


def test_kill_9_leaves_nothing(fresh: Yoctovirt) -> None:
    boot = fresh.start("boot", "reference", "--no-settle")
    wait_for(lambda: any("qemu-system" in line for line in fresh.processes()), 20, "QEMU runs")
    os.kill(boot.pid, signal.SIGKILL)
    boot.communicate(timeout=60)
    fresh.assert_nothing_left()
    again = fresh.run("boot", "reference", "--detach", "--no-settle")
    assert again.returncode == 0, "the next boot is not hindered: " + again.stderr
    # A node that was left running ends with its guard.
    guard = next(line for line in fresh.processes() if "guard.py" in line)
    os.kill(int(guard.split()[0]), signal.SIGKILL)
    wait_for(lambda: not fresh.processes(), 10, "QEMU gone with its guard")
    assert "no node is running" in fresh.run("nodes").stderr


def test_interrupt_while_booting(fresh: Yoctovirt) -> None:
    boot = fresh.start("boot", "reference", "--no-settle")
    wait_for(lambda: any("qemu-system" in line for line in fresh.processes()), 20, "QEMU runs")
    assert "interrupted" in interrupt(boot)
    run = fresh.last_record()
    assert (run["result"], run["exit_code"]) == ("interrupted", 130)
    assert run["phases"][-1]["status"] == "interrupted"


@pytest.mark.faults
def test_interrupt_of_a_ready_node(fresh: Yoctovirt) -> None:
    boot = fresh.start("boot", "reference", "--no-settle")
    wait_for(lambda: '"ready"' in fresh.run("nodes", "--json").stdout, 60, "the node is ready")
    interrupt(boot)


@pytest.mark.faults
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_while_checks_run(fresh: Yoctovirt, number: int) -> None:
    ci = fresh.start("ci", "reference")

    wait_for(fresh.has_verdicts, 90, "the first check is over")
    ci.send_signal(number)
    output, _ = ci.communicate(timeout=60 * PATIENCE)
    assert ci.returncode == 130, output
    run = fresh.last_record()
    assert run["result"] == "interrupted"
    assert [phase["status"] for phase in run["phases"]] == ["ok", "ok", "interrupted"]
    assert run["checks"], "what was judged until then is kept"
    assert (run["path"] / "report.html").is_file()


@pytest.mark.faults
def test_two_boots_of_one_role(fresh: Yoctovirt) -> None:
    calls = [fresh.start("boot", "reference", "--detach", "--no-settle") for _ in range(2)]
    outputs = [call.communicate(timeout=180 * PATIENCE)[0] for call in calls]
    assert sorted(call.returncode for call in calls) == [0, 2], outputs
    refused = outputs[[call.returncode for call in calls].index(2)]
    assert "is running already" in refused
    second = fresh.run("boot", "reference", "--name", "second", "--detach", "--no-settle")
    assert second.returncode == 0, second.stderr
    assert fresh.run("nodes").stdout.count("ready") == 2
    stopped = fresh.run("stop", "--all", "--now")
    assert stopped.stdout.count(": quit") == 2, stopped.stdout


@pytest.mark.faults
def test_guest_powers_itself_off(fresh: Yoctovirt) -> None:
    assert fresh.run("boot", "reference", "--detach", "--no-settle").returncode == 0
    fresh.run("ssh", "reference", "systemctl poweroff")
    wait_for(lambda: not fresh.processes(), 30, "the node is gone")
    assert "no node is running" in fresh.run("nodes").stderr


@pytest.mark.faults
def test_node_dies_under_the_checks(fresh: Yoctovirt) -> None:
    """The first check that finds the node gone says so; no other waits for it again."""
    assert fresh.run("boot", "reference", "--detach", "--no-settle").returncode == 0
    smoke = fresh.start("smoke", "reference")
    wait_for(fresh.has_verdicts, 30, "the first check is over")
    qemu = next(line for line in fresh.processes() if " qemu-system" in f" {line.split()[1]}")
    os.kill(int(qemu.split()[0]), signal.SIGKILL)
    output, _ = smoke.communicate(timeout=400)
    assert smoke.returncode == 5, output
    assert "node reference broke under the checks: the node is gone" in output
    assert any("the node is gone" in check["message"] for check in fresh.last_record()["checks"])


@pytest.mark.faults
@pytest.mark.parametrize("cpu", ["host", "qemu64", "probed"])
def test_kvm_that_does_not_work(fresh: Yoctovirt, tmp_path: Path, cpu: str) -> None:
    """Where the device opens and QEMU dies, or hangs, TCG takes over, with the reason.

    The firmware of ours finds that before the boot; where it does not, the boot does.
    """
    from yoctovirt.boot.accel import kvm_obstacle

    obstacle = kvm_obstacle()
    if obstacle is None or "vmx" not in obstacle:
        pytest.skip("this host has no KVM that opens but does not work")
    site = tmp_path / "sitecustomize.py"
    site.write_text(
        "import yoctovirt.boot.accel as accel, yoctovirt.boot.ready as ready\n"
        "accel.kvm_obstacle = lambda *a: None\n"
        "ready.KVM_SILENCE_SECONDS = 5.0\n"
        + ("" if cpu == "probed" else "accel.dead_kvm = lambda *a: None\n")
    )
    fresh.env["PYTHONPATH"] = python_path(tmp_path)
    if cpu == "probed":
        insisting = fresh.run("boot", "reference", "--kvm")
        assert insisting.returncode == 5, insisting.stderr
        assert "KVM cannot be used: " in insisting.stderr
        done = fresh.run("boot", "reference", "--detach", "--no-settle")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "no KVM: " in done.stdout
        assert fresh.run("stop", "reference", "--now").returncode == 0
        return
    insisting = fresh.run("boot", "reference", "--kvm", f"--qemuparams=-cpu {cpu}")
    assert insisting.returncode == 5, insisting.stderr
    assert "KVM cannot be used: " in insisting.stderr
    # Under TCG there is no "host": there the image's own CPU is taken.
    extra = () if cpu == "host" else (f"--qemuparams=-cpu {cpu}",)
    done = fresh.run("boot", "reference", "--detach", "--no-settle", *extra)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "KVM does not work here" in done.stdout + done.stderr
    assert '"accelerator": "tcg"' in fresh.run("nodes", "--json").stdout
    assert fresh.run("stop", "reference", "--now").returncode == 0


@pytest.mark.faults
class TestBuild:
    """Faults while the reference image is built, in a cache of its own."""

    @pytest.fixture
    def building(self, tmp_path: Path) -> Iterator[Yoctovirt]:
        # Below /var/tmp: it holds the whole tree, and /tmp may be small.
        cache = Path("/var/tmp") / f"yoctovirt-test-{os.getpid()}"
        yv = Yoctovirt(tmp_path / "workspace", {"YOCTOVIRT_CACHE_DIR": str(cache)})
        yield yv
        left = [path.name for path in (cache / "debian").iterdir() if path.suffix != ".lock"]
        shutil.rmtree(cache)
        assert left == [], f"left in the cache: {left}"
        yv.assert_nothing_left()

    def test_interrupt(self, building: Yoctovirt) -> None:
        build = building.start("build", "reference")
        self.wait_for_packages(building)
        interrupt(build)
        run = building.last_record()
        assert run["phases"][-1]["status"] == "interrupted"

    def test_kill_9(self, building: Yoctovirt) -> None:
        build = building.start("build", "reference")
        self.wait_for_packages(building)
        build.kill()
        build.communicate(timeout=60)
        cache = Path(building.env["YOCTOVIRT_CACHE_DIR"])
        wait_for(lambda: not list((cache / "debian").glob(".tmp-*")), 30, "the work folder is gone")

    @staticmethod
    def wait_for_packages(building: Yoctovirt) -> None:
        def extracting() -> bool:
            logs = building.workspace.glob("runs/*/build.log")
            return any("extracting archives" in path.read_text(errors="replace") for path in logs)

        wait_for(extracting, 60, "mmdebstrap extracts packages")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
class TestDiskFull:
    @pytest.fixture
    def small(self, tmp_path: Path) -> Iterator[Path]:
        folder = tmp_path / "small"
        folder.mkdir()
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=200m", "tmpfs", str(folder)], check=True
        )
        yield folder
        subprocess.run(["umount", str(folder)], check=True)

    def test_seen_beforehand(self, small: Path, tmp_path: Path) -> None:
        yv = Yoctovirt(tmp_path / "workspace", {"YOCTOVIRT_CACHE_DIR": str(small)})
        done = yv.run("build", "reference")
        assert done.returncode == 3
        assert f"free at {small}: builds stop below 1 GiB" in done.stderr
        assert "YOCTOVIRT_CACHE_DIR" in done.stderr

    @pytest.mark.faults
    def test_in_the_middle(self, small: Path, tmp_path: Path) -> None:
        """As where somebody else fills the disk meanwhile: nothing is checked beforehand."""
        yv = Yoctovirt(tmp_path / "workspace", {"YOCTOVIRT_CACHE_DIR": str(small)})
        start = time.monotonic()
        done = yv.run("ci", "reference", "--skip-preflight")
        assert done.returncode == 3, done.stdout + done.stderr
        assert "the disk became full while the image was built" in done.stderr
        assert time.monotonic() - start < 300
        left = [path.name for path in (small / "debian").iterdir() if path.suffix != ".lock"]
        assert left == []
        yv.assert_nothing_left()
