"""Run the firmware under an accelerator, and see whether a guest makes progress.

That /dev/kvm opens and QEMU starts is no proof. There are machines (seen: virtual ones without
nested virtualization) where a guest gets through its first instructions and then stands still.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from yoctovirt.base.deadline import Deadline
from yoctovirt.base.files import make_folder, write_atomically
from yoctovirt.base.process import Guarded
from yoctovirt.doctor.kvm import Obstacle
from yoctovirt.doctor.kvmprobe.rom import DONE, STEPS, rom, steps_of
from yoctovirt.errors import InfrastructureError

#: Seconds in which the next step must come, and in which all must have come.
STEP_SECONDS, ALL_SECONDS = 2.0, 8.0
#: Seconds for which a proof holds, on the same boot of the host and with the same QEMU.
KEPT_SECONDS = 86400.0
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_FILE = "kvm-probe.json"


@dataclass(frozen=True)
class Outcome:
    """What a run of the firmware has shown."""

    steps: tuple[str, ...]  #: reached, of :data:`STEPS`
    status: int | None  #: exit status of QEMU, None where it had to be stopped
    complaint: str  #: what QEMU printed besides
    seconds: float

    @property
    def whole(self) -> bool:
        """Whether all of it ran."""
        return self.steps == STEPS and self.status == DONE


def probe_command(qemu: str, accelerator: str, cpu: str, firmware: Path) -> list[str]:
    """Return argv that runs *firmware*, its serial port on standard output."""
    return [
        qemu, "-machine", "pc", "-accel", accelerator, "-cpu", cpu, "-m", "16", "-nodefaults",
        "-no-user-config", "-display", "none", "-serial", "stdio", "-bios", str(firmware),
        "-device", "isa-debug-exit", "-no-reboot",
    ]  # fmt: skip


def run_probe(
    qemu: str, accelerator: str = "kvm", cpu: str = "host", scale: float = 1.0
) -> Outcome:
    """Run the firmware; *scale* is a factor for its deadlines.

    Raises InfrastructureError where the disk for temporary files is full.
    """
    with tempfile.TemporaryDirectory(prefix="yoctovirt-kvm-") as folder:
        firmware, output = Path(folder) / "probe.rom", Path(folder) / "output"
        try:
            firmware.write_bytes(rom())
            output.touch()
        except OSError as problem:
            raise InfrastructureError(f"{folder}: {problem.strerror}") from problem
        start = time.monotonic()
        with output.open("ab") as sink:
            job = Guarded(probe_command(qemu, accelerator, cpu, firmware), output=sink, grace=0.2)
        try:
            _wait(job, output, scale)
            status = job.poll()
        finally:
            job.stop()
        said = output.read_text(errors="replace")
    steps = steps_of(said)
    lines = [line for line in said.splitlines() if line.startswith("qemu") and "warning" not in line
             and "terminating on signal" not in line]  # fmt: skip
    complaint = re.sub(r"^\S*qemu\S*: (error: )?", "", lines[0]) if lines else ""
    return Outcome(tuple(steps), status, complaint, round(time.monotonic() - start, 3))


def _wait(job: Guarded, output: Path, scale: float) -> None:
    """Wait until QEMU has ended, or a step did not come in time."""
    whole = Deadline(ALL_SECONDS * scale)
    step = Deadline(STEP_SECONDS * scale)
    seen = 0
    while not (whole.expired or step.expired):
        with suppress(subprocess.TimeoutExpired):
            job.wait(0.02)
            return
        size = output.stat().st_size
        if size != seen:
            seen, step = size, Deadline(STEP_SECONDS * scale)


def obstacle_of(outcome: Outcome, scale: float = 1.0) -> Obstacle | None:
    """Return why KVM cannot be used after *outcome*, None where all of it ran."""
    if outcome.whole:
        return None
    words = outcome.complaint
    if "Device or resource busy" in words:
        return Obstacle("busy", f"KVM is busy: {words}", "stop the other hypervisor")
    if outcome.status is not None:
        reached = ", ".join(outcome.steps) or "no step"
        said = words or f"exit status {outcome.status}, after {reached}"
        return Obstacle(
            "broken", f"QEMU does not run under KVM: {said}",
            "look into dmesg; in a virtual machine: allow nested virtualization",
        )  # fmt: skip
    done = f"after {', '.join(outcome.steps)}" if outcome.steps else "without a word"
    return Obstacle(
        "dead",
        f"KVM is dead: it starts, and its guest stands still {done} (no progress within "
        f"{STEP_SECONDS * scale:g} s)",
        "look into dmesg; in a virtual machine: allow nested virtualization, or boot with --no-kvm",
    )


def probe_obstacle(
    qemu: str = "qemu-system-x86_64", cache: Path | None = None, scale: float = 1.0
) -> Obstacle | None:
    """Return why a guest makes no progress under KVM, None where it does, or is not x86.

    A proof is kept in the folder *cache*; a failure is not. Without that QEMU nothing is said.
    """
    place = shutil.which(qemu)
    if place is None or not qemu.endswith("x86_64"):
        return None
    key = _key(place)
    if cache is not None and _is_proven(cache / _FILE, key):
        return None
    found = obstacle_of(run_probe(place, scale=scale), scale)
    if found is None and cache is not None:
        # Where it cannot be kept it is probed again.
        with suppress(InfrastructureError):
            make_folder(cache)
            write_atomically(cache / _FILE, json.dumps({"key": key, "at": time.time()}) + "\n")
    return found


def _key(qemu: str) -> str:
    found = Path(qemu).resolve().stat()
    return f"{_BOOT_ID.read_text().strip()} {qemu} {found.st_size} {found.st_mtime_ns}"


def _is_proven(path: Path, key: str) -> bool:
    with suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads(path.read_text(encoding="utf-8"))
        return bool(kept["key"] == key and 0 <= time.time() - kept["at"] < KEPT_SECONDS)
    return False
