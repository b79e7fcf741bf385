"""The firmware of ours: its bytes are its source, and it runs for real under TCG."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from tests.assembled import assemble, needs_binutils
from yoctovirt.base.process import Guarded
from yoctovirt.doctor.kvm import find_obstacle
from yoctovirt.doctor.kvmprobe import probe
from yoctovirt.doctor.kvmprobe.probe import Outcome, obstacle_of, probe_obstacle, run_probe
from yoctovirt.doctor.kvmprobe.rom import DONE, STEPS, rom, steps_of

QEMU = shutil.which("qemu-system-x86_64")
needs_qemu = pytest.mark.skipif(QEMU is None, reason="qemu-system-x86_64 is not installed")
SOURCE = Path(probe.__file__).with_name("probe.S")
WHOLE = Outcome(STEPS, DONE, "", 0.3)


@needs_binutils
def test_the_bytes_are_those_of_the_source(tmp_path: Path) -> None:
    assert assemble(SOURCE, tmp_path) == rom()


def test_the_size_and_the_start() -> None:
    assert len(rom()) == 65536
    assert rom()[0xFFF0] == 0xEA  # a far jump
    assert rom()[0xFFF1:0xFFF5] == bytes([0, 0, 0, 0xF0])


@pytest.mark.parametrize(
    ("said", "steps"),
    [
        ("", []),
        ("yoctovirt pro", []),
        ("yoctovirt probe: ", []),
        ("yoctovirt probe: real prot", ["real"]),
        ("warning: x\nyoctovirt probe: real protected timer long\r\n", list(STEPS)),
        ("yoctovirt probe: timer long", []),
    ],
)
def test_steps(said: str, steps: list[str]) -> None:
    assert steps_of(said) == steps


@needs_qemu
def test_it_runs_under_tcg() -> None:
    outcome = run_probe(QEMU or "", "tcg", "max", scale=5)
    assert outcome.steps == STEPS, outcome
    assert outcome.status == DONE
    assert outcome.whole
    assert obstacle_of(outcome) is None


@needs_qemu
def test_a_cpu_without_64_bits_does_not_get_to_the_end() -> None:
    """The step that fails is the one that is missing."""
    outcome = run_probe(QEMU or "", "tcg", "qemu32", scale=0.5)
    assert outcome.steps == STEPS[:3], outcome
    assert not outcome.whole


@needs_qemu
def test_a_qemu_that_does_not_start() -> None:
    outcome = run_probe(QEMU or "", "no-such-accelerator", "max")
    assert outcome.steps == ()
    found = obstacle_of(outcome)
    assert found is not None
    assert found.kind == "broken"
    assert "no-such-accelerator" in found.reason


@needs_qemu
def test_a_kvm_that_opens_and_does_not_work() -> None:
    """On hosts that have such a one: KVM without vmx and svm."""
    static = find_obstacle()
    if static is None or static.kind != "no extensions":
        pytest.skip("this host has no KVM that opens but does not work")
    found = obstacle_of(run_probe(QEMU or "", "kvm", "qemu64"))
    assert found is not None
    assert found.kind in ("dead", "broken")


def stand_still(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str) -> str:
    """Put a program in the place of QEMU."""
    tool = tmp_path / "qemu-system-x86_64"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    # Much for a shell that says a word, on a machine that has little time for it.
    monkeypatch.setattr(probe, "STEP_SECONDS", 4.0)
    return str(tool)


@pytest.mark.parametrize(
    ("script", "kind", "word"),
    [
        ("printf 'yoctovirt probe: real '; exec sleep 60", "dead", "stands still after real"),
        ("exec sleep 60", "dead", "without a word"),
        ("echo 'qemu-system-x86_64: could not: Device or resource busy' >&2; exit 1", "busy",
         "Device or resource busy"),
        ("echo 'qemu-system-x86_64: error: failed to set MSR 0x10a' >&2; exit 134", "broken",
         "failed to set MSR"),
        ("printf 'yoctovirt probe: real protected timer long'; exit 1", "broken", "status 1"),
    ],
)  # fmt: skip
def test_obstacles(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, kind: str, word: str
) -> None:
    start = time.monotonic()
    found = probe_obstacle(stand_still(monkeypatch, tmp_path, script))
    assert time.monotonic() - start < 30  # not the minute that it sleeps
    assert found is not None
    assert found.kind == kind
    assert word in found.reason
    assert found.remedy


def test_progress_moves_the_deadline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # All steps together take longer than one may; one is far from it, on a busy machine, too.
    steps = "; ".join(f"printf '{step} '; sleep 1" for step in STEPS)
    script = f"printf 'yoctovirt probe: '; {steps}; exit {DONE}"
    tool = stand_still(monkeypatch, tmp_path, script)
    monkeypatch.setattr(probe, "STEP_SECONDS", len(STEPS) - 0.5)
    assert probe_obstacle(tool) is None


def test_a_proof_is_kept_and_a_failure_is_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    runs: list[Outcome] = []

    def run(*_: object, **__: object) -> Outcome:
        runs.append(outcome)
        return outcome

    monkeypatch.setattr(probe, "run_probe", run)
    qemu, cache = stand_still(monkeypatch, tmp_path, "exit 1"), tmp_path / "cache"
    outcome = Outcome(("real",), None, "", 2.0)
    assert probe_obstacle(qemu, cache) is not None
    assert probe_obstacle(qemu, cache) is not None
    assert len(runs) == 2
    outcome = WHOLE
    assert probe_obstacle(qemu, cache) is None
    assert probe_obstacle(qemu, cache) is None
    assert len(runs) == 3
    (cache / "kvm-probe.json").write_text("{")
    assert probe_obstacle(qemu, cache) is None
    assert len(runs) == 4
    Path(qemu).write_text("#!/bin/sh\nexit 2\n")  # another QEMU
    assert probe_obstacle(qemu, cache) is None
    assert len(runs) == 5


def test_without_qemu_nothing_is_said() -> None:
    assert probe_obstacle("no-such-qemu-system-x86_64") is None


def test_nothing_is_left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ended: list[int] = []
    stop = Guarded.stop

    def note(job: Guarded) -> int:
        status = stop(job)
        ended.append(status)
        return status

    monkeypatch.setattr(Guarded, "stop", note)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    probe_obstacle(stand_still(monkeypatch, tmp_path, "exec sleep 60"))
    assert len(ended) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["qemu-system-x86_64"]
