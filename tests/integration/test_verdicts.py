"""Each verdict both ways: the same node, once whole and once broken."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.conftest import Yoctovirt

pytestmark = pytest.mark.node


READ_ONLY = """
echo u > /proc/sysrq-trigger
for i in $(seq 50); do grep -q ' / ext4 ro' /proc/mounts && exit 0; sleep 0.2; done
exit 1
"""


def on_node(node: Yoctovirt, command: str) -> str:
    done = node.run("ssh", "shared", command)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def smoke(node: Yoctovirt, *arguments: str) -> tuple[int, dict[str, Any], str]:
    done = node.run("smoke", "shared", *arguments)
    run = node.last_record()
    assert run["exit_code"] == done.returncode
    return done.returncode, {check["id"]: check for check in run["checks"]}, done.stdout


@pytest.fixture
def docker_stopped(node: Yoctovirt) -> Iterator[None]:
    units = "docker.socket docker.service containerd.service"
    on_node(node, f"systemctl stop {units}; systemctl mask --runtime docker.socket docker.service")
    yield
    on_node(
        node,
        "systemctl unmask --runtime docker.socket docker.service;systemctl start docker.socket",
    )


@pytest.mark.usefixtures("docker_stopped")
def test_docker_stopped(node: Yoctovirt) -> None:
    status, checks, output = smoke(node, "--suite", "docker", "-k", "not docker__")
    assert status == 1
    assert checks["docker::daemon"]["outcome"] == "failed"
    assert "the Docker daemon does not answer" in checks["docker::daemon"]["message"]

    assert all(check["outcome"] in ("failed", "error") for check in checks.values())
    assert "the Docker daemon does not answer" in output


def test_root_read_only(node: Yoctovirt) -> None:
    on_node(node, READ_ONLY)
    try:
        status, checks, _ = smoke(node, "--suite", "base", "-k", "root_writable or kernel")
    finally:
        on_node(node, "mount -o remount,rw /")
    assert status == 1
    assert checks["base::root_writable"]["outcome"] == "failed"
    assert "the root file system is not writable" in checks["base::root_writable"]["message"]
    assert checks["base::kernel"]["outcome"] == "passed"


def test_failed_unit(node: Yoctovirt) -> None:
    on_node(node, "systemd-run --unit=broken-on-purpose --quiet /bin/false; sleep 1; "
                  "systemctl is-failed broken-on-purpose")  # fmt: skip
    try:
        status, checks, _ = smoke(node, "--suite", "base", "-k", "failed_units")
    finally:
        on_node(node, "systemctl reset-failed")
    assert status == 1
    assert "broken-on-purpose.service" in checks["base::failed_units"]["message"]


def test_clock_wrong(node: Yoctovirt) -> None:
    on_node(node, "date -s '+1 hour' > /dev/null")
    try:
        status, checks, _ = smoke(node, "--suite", "base", "-k", "clock")
    finally:
        on_node(node, "date -s '-1 hour' > /dev/null")
    assert status == 1
    assert "s from the host's" in checks["base::clock"]["message"]


def test_names_broken(node: Yoctovirt) -> None:
    on_node(node, "cp /etc/hosts /root/hosts; cp /etc/nsswitch.conf /root/nss; : > /etc/hosts; "
                  "sed -i 's/^hosts:.*/hosts: files/' /etc/nsswitch.conf")  # fmt: skip
    try:
        status, checks, _ = smoke(node, "--suite", "base", "-k", "names_without_dns")
    finally:
        on_node(node, "cp /root/hosts /etc/hosts; cp /root/nss /etc/nsswitch.conf")
    assert status == 1
    assert "localhost cannot be reached by name" in checks["base::names_without_dns"]["message"]


def test_container_engine_that_lies(node: Yoctovirt) -> None:
    """A docker that prints success and exits 0 passes no check that looks for an effect."""
    on_node(node, "printf '#!/bin/sh\\necho ok\\n' > /usr/local/bin/docker; "
                  "chmod +x /usr/local/bin/docker")  # fmt: skip
    try:
        status, checks, _ = smoke(node, "--suite", "docker", "-k", "not docker__")
    finally:
        on_node(node, "rm /usr/local/bin/docker")
    assert status == 1

    assert {check["outcome"] for check in checks.values()} <= {"failed", "error"}


def test_all_well_again(node: Yoctovirt) -> None:
    """What the sabotage broke is whole: so it was the sabotage that the checks saw."""
    on_node(node, "systemctl stop docker.service; systemctl start docker.socket")
    status, checks, output = smoke(node, "--suite", "base,docker", "-k", "not docker__")
    assert status == 0, output
    assert {check["outcome"] for check in checks.values()} == {"passed"}


def test_no_check_ran(node: Yoctovirt) -> None:
    status, checks, _ = smoke(node, "-k", "no_such_check")
    assert (status, checks) == (2, {})


def test_unknown_suite_and_node(node: Yoctovirt) -> None:
    done = node.run("smoke", "shared", "--suite", "dokcer")
    assert done.returncode == 2
    assert "did you mean docker?" in done.stderr
    done = node.run("smoke", "sharde")
    assert done.returncode == 2
    assert "did you mean shared?" in done.stderr
