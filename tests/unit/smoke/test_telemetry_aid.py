"""How the suite ceilometer reads pipelines, and the files that ceilometer writes samples to."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import cast

import pytest

from yoctovirt.boot.results import CommandResult
from yoctovirt.smoke.checked import SmokeNode
from yoctovirt.smoke.suites.aids import telemetry
from yoctovirt.smoke.suites.aids.telemetry import _PUBLISHERS, Files, Sample, _file_of, polled_every

PIPELINE = """
sources: [{name: all, meters: ["*"], sinks: [one, two]}]
sinks:
  - name: one
    publishers: ["http://user:secret@collector/", "gnocchi://?archive_policy=low"]
  - name: two
    publishers:
      - file:///var/log/text
      - file:///var/log/samples?max_bytes=100&backup_count=2&json
"""
OURS, OTHER = "0c5e6f7a-ours", "9b1d2c3e-other"


class Here:
    """This host, as a node."""

    def run(self, command: str) -> CommandResult:
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
        return CommandResult(command, done.returncode, done.stdout + done.stderr, 0.0, "ssh")


HERE = cast(SmokeNode, Here())


def test_publishers_are_told_without_what_may_be_a_password(tmp_path: Path) -> None:
    (tmp_path / "pipeline.yaml").write_text(PIPELINE)
    done = subprocess.run([sys.executable, "-c", _PUBLISHERS, str(tmp_path / "pipeline.yaml")],
                          capture_output=True, text=True, check=True)  # fmt: skip
    assert "secret" not in done.stdout
    told = done.stdout.split()
    assert told[:2] == ["http://", "gnocchi://"]
    assert _file_of(told) == "/var/log/samples"
    assert _file_of(told[:3]) == ""


def sample(resource: str, name: str, volume: float, about: dict[str, str] | None = None) -> str:
    one = {"resource_id": resource, "name": name, "volume": volume, "unit": "B",
           "project_id": "p", "timestamp": "t", "resource_metadata": about}  # fmt: skip
    return json.dumps(one) + "\n"


def test_samples_in_files(tmp_path: Path) -> None:
    """Those of one meter of one thing, rotated ones, too; a line that is being written is none."""
    path = tmp_path / "samples"
    of_others = sample(OTHER, "image.size", 1, {"name": OURS}) + sample(OURS, "other", 2)
    path.write_text(of_others + sample(OURS, "image.size", 3) + f'{{"resource_id": "{OURS}", "na')
    (tmp_path / "samples.1").write_text(sample(OURS, "image.size", 4))
    files = Files(HERE, str(path))
    found = sorted(files.samples(OURS, "image.size"), key=lambda one: one.volume)
    assert found == [Sample(3, "B", "p", "t"), Sample(4, "B", "p", "t")]
    assert not files.ended(OURS)
    with path.open("a") as more:
        for resource, event in ((OURS, "image.update"), (OTHER, "image.delete")):
            more.write("\n" + sample(resource, "image.size", 3, {"event_type": event}))
    assert (files.ended(OURS), files.ended(OTHER)) == (False, True)


def test_how_often_a_meter_is_polled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "polling.yaml"
    monkeypatch.setattr(telemetry, "_POLLING", str(path))
    assert polled_every(HERE, "image.size") == 0
    path.write_text("sources: [{name: a, interval: 600, meters: ['*']},"
                    " {name: b, interval: 60, meters: [image.size]}]")  # fmt: skip
    assert polled_every(HERE, "image.size") == 60
    assert polled_every(HERE, "cpu") == 600
    path.write_text("sources: [{name: a, interval: 60, meters: ['*', '!image.size']}]")
    assert polled_every(HERE, "image.size") == 0
