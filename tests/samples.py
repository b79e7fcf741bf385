"""Small deploy directories and run records for tests: real files, made in milliseconds."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from collections.abc import Callable
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.recorded import built_record
from yoctovirt.base.record import RunRecord
from yoctovirt.errors import BootError, ChecksFailedError
from yoctovirt.pins.layers import layer_pins
from yoctovirt.pins.packages import package_pins

# Deploy directories -------------------------------------------------------------


def bzimage(paragraphs: int = 256, setup_sectors: int = 3) -> bytes:
    """Return what begins as an x86 bzImage does, as long as its header says."""
    size = (setup_sectors + 1) * 512 + paragraphs * 16
    data = bytearray(size)
    data[0x1F1] = setup_sectors
    struct.pack_into("<I", data, 0x1F4, paragraphs)
    data[0x1FE:0x200] = b"\x55\xaa"
    data[0x202:0x206] = b"HdrS"
    return bytes(data)


@lru_cache(maxsize=1)
def _ext4() -> bytes:
    tool = shutil.which("mke2fs", path="/usr/sbin:/sbin:/usr/bin:/bin")
    assert tool, "mke2fs is missing: apt-get install e2fsprogs"
    with TemporaryDirectory() as folder:
        image = Path(folder) / "image"
        subprocess.run([tool, "-q", "-t", "ext4", image, "1M"], check=True, capture_output=True)
        return image.read_bytes()


def ext4() -> bytes:
    """Return a real, empty ext4 file system of 1 MiB."""
    return _ext4()


def qemuboot(**values: str) -> str:
    """Return a *.qemuboot.conf; *values* come on top, an empty one is left out."""
    settings = {
        "deploy_dir_image": ".",
        "kernel_imagetype": "bzImage",
        "machine": "qemux86-64",
        "qb_default_fstype": "ext4",
        "qb_default_kernel": "bzImage",
        "qb_mem": "-m 256",
        "qb_system_name": "qemu-system-x86_64",
        **values,
    }
    lines = [f"{key} = {value}\n" for key, value in settings.items() if value]
    return "[config_bsp]\n" + "".join(lines)


IMAGE = "core-image-minimal-qemux86-64"


def deploy_dir(path: Path, image: str = IMAGE, **values: str) -> Path:
    """Make a whole deploy directory with one image at *path*, and return it."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "bzImage").write_bytes(bzimage())
    (path / f"{image}.ext4").write_bytes(ext4())
    (path / f"{image}.qemuboot.conf").write_text(qemuboot(**values))
    (path / f"{image}.manifest").write_text("busybox core2_64 1.36.1\nglibc core2_64 2.39+git0\n")
    (path / f"{image}.testdata.json").write_text('{"DISTRO": "poky", "MACHINE": "qemux86-64"}')
    return path


# Run records --------------------------------------------------------------------

Maker = Callable[[Path], Path]

#: When each check and its commands began, in seconds since 1970.
STARTED = 1795218811.0
PASSED, FAILED, BROKEN = "base::kernel", "docker::daemon", "docker::run"


def _check(identity: str, outcome: str, title: str, message: str = "") -> dict[str, Any]:
    return {
        "id": identity,
        "suite": identity.partition("::")[0],
        "outcome": outcome,
        "title": title,
        "started": datetime.fromtimestamp(STARTED, timezone.utc).isoformat(timespec="milliseconds"),
        "seconds": 1.25,
        "message": message,
        "detail": f"test_x.py:12: in test_x\n    node.check()\nE   {message}" if message else "",
    }


def checks(red: bool) -> list[dict[str, Any]]:
    """Return verdicts; with *red* one failed and one error among them."""
    found = [
        _check(PASSED, "passed", "A Linux kernel answers, and has not complained of itself."),
        _check("base::clock", "passed", "The clock is not further off than a day."),
        _check(FAILED, "passed", "The Docker daemon answers; its drivers are known."),
        _check(BROKEN, "passed", "A container runs, and its exit status is passed through."),
        _check("docker::logs", "passed", "The log of a container can be read."),
    ]
    if red:
        message = (
            "the Docker daemon does not answer: `docker info` exited with 1\n"
            "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is it running?"
        )
        found[2] = _check(FAILED, "failed", found[2]["title"], message)
        found[3] = _check(BROKEN, "error", found[3]["title"], "not run: there is no image")
    return found


def command_row(check: str, command: str, status: int | None, output: str) -> dict[str, Any]:
    """Return a line of node-commands.jsonl."""
    return {
        "node": "reference",
        "check": check,
        "time": STARTED + 0.4,
        "command": command,
        "exit_status": status,
        "output": output,
        "duration": None if status is None else 0.42,
        "transport": "ssh",
    }


def write_rows(folder: Path, rows: list[dict[str, Any]]) -> None:
    """Write node-commands.jsonl."""
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "node-commands.jsonl").write_text(text)


def _begin(runs: Path) -> RunRecord:
    record = RunRecord(runs, "reference", "yoctovirt ci reference", "reference")
    record.commands().note(["qemu-img", "create", "-f", "qcow2", "overlay.qcow2"])
    return record


def _phase(record: RunRecord, name: str, seconds: float, **details: Any) -> None:
    with record.phase(name) as noted:
        noted.update(details)
    record.data["phases"][-1]["seconds"] = seconds


def _build(record: RunRecord) -> None:
    _phase(record, "build", 0.03, builder="debian", from_cache=True)
    record.data["image"] = {
        "name": "reference-image-qemux86-64",
        "deploy_dir": "/srv/cache/debian/reference-bookworm-1a0ab84bc657",
        "files": [
            {"name": "bzImage", "bytes": 14186432, "sha256": "5eed" * 16},
            {
                "name": "reference-image-qemux86-64.ext4",
                "bytes": 2684354560,
                "sha256": "c0de" * 16,
            },
        ],
        "distro": "debian",
        "distro_version": "12",
        "machine": "qemux86-64",
    }
    record.data["pins"] = package_pins(
        [
            (f"package-{number}", "amd64", f"1.{number}-1+deb12u{number % 7}")
            for number in range(150)
        ]
    )
    record.data["image"]["release"] = "scarthgap"
    record.data["image"]["features"] = ["podman"]
    record.data["pins"]["layers"] = layer_pins(
        {
            "repos": {
                "poky": {
                    "url": "https://git.example.invalid/poky",
                    "commit": "c0ffee" * 6 + "c0ff",
                },
                "meta-virtualization": {"url": "https://git.example.invalid/meta-virtualization"},
                "meta-own": None,
            }
        }
    )


def _boot(record: RunRecord) -> None:
    _phase(record, "boot", 59.5, login=44.5, ssh=59.3)
    (record.path / "console-reference.log").write_text(
        "[    0.000000] Linux version 6.1.0\r\n\x1b[0;32m  OK  \x1b[0m Started sshd\r\nlogin: "
    )
    argv = ["qemu-system-x86_64", "-name", "reference", "-machine", "q35", "-m", "2048", "-append"]
    record.data["nodes"].append(
        {
            "name": "reference",
            "role": "reference",
            "image": "reference-image-qemux86-64",
            "private_address": "",
            "promises": ["docker", "lxc", "libvirt"],
            "accelerator": "tcg",
            "accelerator_reason": "/dev/kvm is not there",
            "memory_mib": 2048,
            "cpus": 2,
            "timings": {"login": 44.5, "ssh": 59.3},
            "settled": {"init": "systemd", "state": "degraded", "failed_units": ["snmpd.service"]},
            "command": [*argv, "root=/dev/vda rw ip=dhcp console=ttyS0"],
            "console_log": "console-reference.log",
            "qemu": "7.2.22 (Debian 1:7.2+dfsg-7)",
        }
    )


def _finish(record: RunRecord, error: BaseException | None = None) -> None:
    record.finish(error)
    record.data["seconds"] = sum(phase["seconds"] or 0 for phase in record.data["phases"]) + 0.3
    record.save()


def green_run(runs: Path) -> Path:
    """Make the record of a run in which all passed, and return its folder."""
    record = _begin(runs)
    _build(record)
    _boot(record)
    _phase(record, "smoke", 145.6, suites=["base", "docker"])
    record.data["checks"] = checks(red=False)
    record.data["not_run"] = [{"suite": "lxc", "reason": "the role does not promise it"}]
    rows = [command_row(PASSED, "uname -sr", 0, "Linux 6.1.0-56-cloud-amd64\n")]
    write_rows(record.path, [*rows, command_row(PASSED, "dmesg", 0, "[ 0.0] x\n" * 400)])
    _finish(record)
    return record.path


def red_run(runs: Path) -> Path:
    """Make the record of a run with a check that failed and one that broke."""
    record = _begin(runs)
    _build(record)
    _boot(record)
    _phase(record, "smoke", 145.6, suites=["base", "docker"])
    record.data["phases"][-1]["status"] = "failed"
    record.data["checks"] = checks(red=True)
    record.data["not_run"] = [{"suite": "lxc", "reason": "the role does not promise it"}]
    rows = [
        command_row(PASSED, "uname -sr", 0, "Linux 6.1.0-56-cloud-amd64\n"),
        command_row(FAILED, "systemctl is-active docker", 3, "inactive\n"),
        command_row(FAILED, "docker info", 1, "<b>Cannot connect</b> to the Docker daemon\n"),
        command_row(BROKEN, "docker run --rm yv:1 true", None, "no end within 60 s\n"),
    ]
    write_rows(record.path, rows)
    _finish(
        record,
        ChecksFailedError(
            f"2 of 5 checks failed: {FAILED}, {BROKEN}",
            "the report shows for each what was expected and what came",
        ),
    )
    return record.path


def boot_failed_run(runs: Path) -> Path:
    """Make the record of a run whose node never showed a login."""
    record = _begin(runs)
    _build(record)
    _boot(record)
    record.data["phases"][-1].update(status="error", details={})
    record.data["nodes"] = []
    record.not_run("smoke", "boot failed")
    record.data["not_run"] = [
        {"suite": "base", "reason": "boot failed", "promised": True},
        {"suite": "docker", "reason": "boot failed", "promised": True},
        {"suite": "lxc", "reason": "the role does not promise it"},
    ]
    _finish(
        record,
        BootError(
            "no login prompt within 240 s; the console ends with:\n[ 1.2] panic", "give more"
        ),
    )
    return record.path


def interrupted_run(runs: Path) -> Path:
    """Make the record of a run that somebody ended while its checks ran."""
    record = _begin(runs)
    _build(record)
    _boot(record)
    _phase(record, "smoke", 12.0, suites=["base", "docker"])
    record.data["phases"][-1]["status"] = "interrupted"
    record.data["checks"] = checks(red=False)[:2]
    _finish(record, KeyboardInterrupt())
    return record.path


def built_run(runs: Path) -> Path:
    """Make the record of a run whose image was built by kas: figures, tasks on a time line."""
    folder = green_run(runs)
    built_record(folder)
    return folder


def pair_run(runs: Path) -> Path:
    """Make the record of checks on two nodes at once, one of which failed on the second."""
    folder = red_run(runs)
    data = json.loads((folder / "run.json").read_text())
    other = {
        **data["nodes"][0],
        "name": "compute",
        "role": "compute",
        "private_address": "10.0.2.12",
        "timings": {"loaded": 1.5, "ssh": 2.25},
        "console_log": "console-compute.log",
    }
    write_console(folder / "console-compute.log", [(STARTED - 9, "a booting\n")])
    rows = [
        command_row(PASSED, "uname -sr", 0, "Linux\n"),
        {**command_row(FAILED, "docker info", 1, "no\n"), "node": "compute"},
        command_row(BROKEN, "ip address", 0, "\n"),
        {**command_row(BROKEN, "ping controller", 1, "\n"), "node": "compute"},
    ]
    write_rows(folder, rows)
    edit(folder, nodes=[*data["nodes"], other])
    return folder


def write_console(path: Path, said: list[tuple[float, str]]) -> None:
    """Write the log of a console that said these words by these times."""
    with path.open("w") as log, path.with_name(f"{path.name}.times").open("w") as times:
        for moment, text in said:
            log.write(text)
            times.write(f"{moment:.1f} {log.tell()}\n")


def big_run(runs: Path, number: int = 2000, bad: int = 40, console: int = 50_000_000) -> Path:
    """Make the record of *number* checks, *bad* of them failed; *console* is in bytes."""
    folder = red_run(runs)
    each = checks(red=True)
    found, rows = [], []
    for index in range(number):
        # Every so many one that failed: they do not stand together.
        failed = index % (number // bad) == 0
        suite = f"suite{index % 25}"
        check = {**each[2 if failed else 0], "id": f"{suite}::c{index}", "suite": suite}
        check["title"] = f"Number {index} does what it should, and says so in a sentence."
        if failed:
            check["message"] = f"the reason of {index}\n" + "what came, and more of it\n" * 300
            check["detail"] = (
                f"test_x.py:12: in test_x\n    assert {index} == 0\nE   " + "x" * 15_000
            )
        found.append(check)
        rows += [
            command_row(check["id"], f"try {index} {step}", int(failed), "<b>output</b>\n" * 200)
            for step in range(5)
        ]
    write_rows(folder, rows)
    line = "[   12.345678] <audit> \"a\" & 'b' \x1b[0;32mok\x1b[0m said again and again\n"
    portion = line * (1_000_000 // len(line))
    write_console(
        folder / "console-reference.log",
        [(STARTED - 100 + n, portion) for n in range(console // len(portion))]
        + [(STARTED + 0.5, "said while they failed\n"), (STARTED + 99, "the last line\n")],
    )
    edit(folder, checks=found)
    return folder


def sbom_run(runs: Path) -> Path:
    """Make the record of a run whose build said what licences and CVEs its image has."""
    folder = green_run(runs)
    shutil.copytree(Path(__file__).parent / "data" / "oe", folder / "sbom")
    return folder


def killed_run(runs: Path) -> Path:
    """Make the record that a run leaves which was killed while its node booted."""
    record = _begin(runs)
    _build(record)
    _phase(record, "boot", 0.0)
    record.data["phases"][-1].update(status="running", seconds=None)
    record.save()
    return record.path


def edit(folder: Path, **values: Any) -> None:
    """Change values of run.json in *folder*."""
    path = folder / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
