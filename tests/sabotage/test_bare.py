"""An image without any subsystem that promises all of them: every check fails, and says why."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import Yoctovirt
from tests.sabotage.test_sabotage import TRACES
from yoctovirt.smoke.catalog import all_suites, promise_commands

pytestmark = [pytest.mark.node, pytest.mark.timeout(3600)]

#: Suites of the node itself, which is there.
OF_THE_NODE = ("base", "system")

ROLE = """
description: nothing but what a node needs to be reached
builder: debian
promises: [{promises}]
node:
  memory: 512
  cpus: 2
  # A host may have other work. KVM is of kernel and CPU, and there without any package.
  bootparams:
    - systemd.default_timeout_start_sec=900
    - module_blacklist=kvm,kvm_amd,kvm_intel
    - clearcpuid=svm,vmx
debian:
  packages: [systemd-sysv, dbus, udev, kmod, openssh-server, e2fsprogs, busybox-static]
  size_mib: 1024
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Return the record of a run of all suites on such an image."""
    workspace = tmp_path_factory.mktemp("bare")
    yv = Yoctovirt(workspace)
    folder: Path = workspace / "kas" / "inc"
    folder.mkdir(parents=True)
    promises = ", ".join(sorted(promise_commands()))
    (folder / "bare.role.yml").write_text(ROLE.format(promises=promises))
    done = yv.run("build", "bare", timeout=1500)
    assert done.returncode == 0, done.stdout + done.stderr
    done = yv.run("smoke", "bare", "--suite", ",".join(all_suites()), timeout=3000)
    record = yv.last_record()
    yield {**record, "status": done.returncode, "screen": done.stdout}
    yv.assert_nothing_left()


def checks_of(run: dict[str, Any]) -> list[dict[str, Any]]:
    found = [check for check in run["checks"] if check["suite"] not in OF_THE_NODE]
    assert len(found) > 20, run["screen"]
    return found


def test_all_suites_ran(run: dict[str, Any]) -> None:
    assert run["status"] == 1, run["screen"]
    assert {check["suite"] for check in run["checks"]} == set(all_suites())
    alone = {check.id for suite in all_suites().values() for check in suite.checks}
    ran = {check["id"].partition("[")[0] for check in run["checks"]}
    needing_two = {left["suite"] for left in run["not_run"]}
    assert alone - ran - needing_two == set()


def test_none_passes(run: dict[str, Any]) -> None:
    passed = [
        check["id"] for check in checks_of(run) if check["outcome"] not in ("failed", "error")
    ]
    assert passed == []
    software = [check for check in run["checks"] if "promised_software" in check["id"]]
    assert len(software) > 20
    assert [check["id"] for check in software if check["outcome"] != "failed"] == []


def test_each_says_why(run: dict[str, Any]) -> None:
    for check in checks_of(run):
        first = check["message"].partition("\n")[0]
        assert len(first) > 20, f"{check['id']}: {check['message']!r}"
        assert not first.startswith(TRACES), f"{check['id']}: {check['message']!r}"
        assert not first.startswith(("assert ", "<")), f"{check['id']}: {check['message']!r}"


def test_none_hangs(run: dict[str, Any]) -> None:
    """No deadline was missed: what is not there is seen at once."""
    late = [
        (check["id"], check["seconds"])
        for check in checks_of(run)
        if "no end of the command" in check["message"]
        or "deadline" in check["message"]
        or "Timeout" in check["message"]
    ]
    assert late == []
