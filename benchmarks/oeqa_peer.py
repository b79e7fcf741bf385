"""The peer of boot.py and commands.py: oeqa's QemuRunner and SSH target. Run by its own Python.

Argument: JSON with ``poky`` (a checkout), ``qmp`` (the package), ``conf`` and ``rootfs`` of the
image, the ``key`` of its sshd, and how many ``commands`` are run. Prints JSON: ``cold``, the
seconds from the start to the first SSH command, and those of each command over ``serial`` and
``ssh``.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def measure(run: Callable[[str], Any], good: int, rounds: int) -> list[float]:
    took = []
    for number in range(rounds):
        start = time.perf_counter()
        status, output = run(f"echo word-{number}")
        took.append(time.perf_counter() - start)
        assert status == good, output
        assert f"word-{number}" in output, output
    return took


def boot(asked: dict[str, Any], folder: Path) -> dict[str, Any]:
    # Where bitbake's sysroot would have it, seen from the log file.
    module = folder / "recipe-sysroot-native/usr/lib/qemu-python/qmp"
    module.parent.mkdir(parents=True)
    module.symlink_to(asked["qmp"])
    (folder / "testimage").mkdir()
    scripts = f"{asked['poky']}/scripts"
    os.environ["PATH"] = f"{scripts}:{os.environ['PATH']}"
    start = time.perf_counter()
    from oeqa.core.target.ssh import OESSHTarget
    from oeqa.utils.qemurunner import QemuRunner

    logger = logging.getLogger("oeqa")
    logger.addHandler(logging.FileHandler(folder / "log"))
    logger.debug2 = logger.debug  # type: ignore[attr-defined]  # as bitbake's loggers have it
    runner = QemuRunner(
        machine="qemux86-64", rootfs=asked["rootfs"], display="", tmpdir=str(folder),
        deploy_dir_image=str(Path(asked["conf"]).parent), logfile=str(folder / "testimage/console"),
        boottime=600, dump_dir=str(folder), use_kvm=False, logger=logger, use_slirp=True,
        serial_ports=1, workdir=str(folder),
    )  # fmt: skip
    launch = f"runqemu snapshot nographic slirp {asked['conf']}"
    try:
        assert runner.start(launch_cmd=launch), (folder / "log").read_text()
        address, _, port = runner.ip.partition(":")
        target = OESSHTarget(logger, address, runner.server_ip, port=port)
        target.ssh += ["-i", asked["key"], "-o", "ConnectTimeout=5"]
        while target.run("true")[0] != 0:
            time.sleep(0.2)
        cold = time.perf_counter() - start
        count = asked["commands"]
        return {
            "cold": cold,
            "serial": measure(runner.run_serial, 1, count),
            "ssh": measure(target.run, 0, count),
        }
    finally:
        runner.stop()


def main() -> None:
    asked = json.loads(sys.argv[1])
    sys.path[:0] = [f"{asked['poky']}/meta/lib", f"{asked['poky']}/bitbake/lib"]
    with tempfile.TemporaryDirectory() as folder:
        found = boot(asked, Path(folder))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
