"""The whole pipe on the reference node: build, boot, smoke, record, reports."""

from __future__ import annotations

import json
import time
import xml.etree.ElementTree as ET

import pytest

from tests.integration.conftest import Yoctovirt

pytestmark = pytest.mark.node


@pytest.mark.timeout(1800)
def test_ci_reference(fresh: Yoctovirt) -> None:
    # What `make demo` runs; all checks take 8 minutes under TCG (make test-sabotage has them all).
    choice = ["--suite", "base,docker", "-k", "not docker__"]
    done = fresh.run("ci", "reference", *choice, timeout=1500)
    assert done.returncode == 0, done.stdout + done.stderr
    run = fresh.last_record()
    assert run["result"] == "passed"
    assert run["exit_code"] == 0
    assert [phase["name"] for phase in run["phases"]] == ["build", "boot", "smoke"]
    assert {phase["status"] for phase in run["phases"]} == {"ok"}
    checks = {check["id"]: check for check in run["checks"]}
    assert {check["outcome"] for check in checks.values()} == {"passed"}
    assert {"base::serial_and_ssh_agree", "docker::exec", "docker::exit_status"} <= set(checks)
    assert all(check["title"] for check in checks.values())
    # Each check that passed has really asked the node for something.
    asked = [json.loads(line) for line in
             (run["path"] / "node-commands.jsonl").read_text().splitlines()]  # fmt: skip
    assert {row["check"] for row in asked} == set(checks)
    assert {row["transport"] for row in asked} == {"ssh", "serial"}

    names = {path.name for path in run["path"].iterdir()}
    assert {
        "run.json",
        "junit.xml",
        "report.html",
        "commands.log",
        "console-reference.log",
    } <= names
    assert "login:" in (run["path"] / "console-reference.log").read_text(errors="replace")
    assert "qemu-system-x86_64" in (run["path"] / "commands.log").read_text()
    assert run["pins"]["packages"]["docker.io"]
    suite = ET.parse(run["path"] / "junit.xml").getroot().find("testsuite")
    assert suite is not None
    assert suite.get("failures") == suite.get("errors") == "0"
    assert int(suite.get("tests", 0)) == len(checks) + 3 + len(run["not_run"])
    for check in checks:
        assert check in done.stdout, "the table shows every verdict"
    assert str(run["path"] / "report.html") in done.stdout

    # What was left is what was stated, the image as well; a byte more is seen.
    properties = {each.get("name"): each.get("value") for each in suite.iter("property")}
    for file in run["image"]["files"]:
        assert properties[f"image.{file['name']}.sha256"] == file["sha256"]
    verified = fresh.run("verify")
    assert verified.returncode == 0, verified.stdout
    assert f"{len(run['image']['files'])} of the image" in verified.stdout
    with (run["path"] / "console-reference.log").open("ab") as console:
        console.write(b"!")
    verified = fresh.run("verify", "--skip-images")
    assert verified.returncode == 1
    assert "WRONG  console-reference.log: altered" in verified.stdout


def test_second_build_is_immediate(reference: Yoctovirt) -> None:
    start = time.monotonic()
    done = reference.run("build", "reference")
    assert done.returncode == 0, done.stderr
    assert "taken from the cache" in done.stderr
    assert not list(reference.last_record()["path"].glob("build.log"))
    assert time.monotonic() - start < 30


def test_deploy_dir_is_like_yoctos(reference: Yoctovirt) -> None:
    deploy = (reference.workspace / "build-reference" / "deploy").resolve()
    stem = "reference-image-qemux86-64"
    names = {path.name for path in deploy.iterdir()}
    for suffix in ("ext4", "qemuboot.conf", "manifest", "testdata.json"):
        assert f"{stem}.{suffix}" in names
    assert {"bzImage", "initrd"} <= names
    assert (deploy / "id_ed25519").stat().st_mode & 0o777 == 0o600
    assert deploy.stat().st_mode & 0o077 == 0
    testdata = json.loads((deploy / f"{stem}.testdata.json").read_text())
    assert testdata["MACHINE"] == "qemux86-64"
    rows = (deploy / f"{stem}.manifest").read_text().splitlines()
    assert any(row.split()[0] == "docker.io" and len(row.split()) == 3 for row in rows)


def test_images_built_elsewhere(fresh: Yoctovirt, reference: Yoctovirt) -> None:
    """--deploy-dir: an image without our keys is entered over the console, key and host key."""
    deploy = (reference.workspace / "build-reference" / "deploy").resolve()
    copy = fresh.workspace / "copied"
    copy.mkdir()
    for path in deploy.iterdir():
        if path.name not in ("id_ed25519", "id_ed25519.pub", "ssh_host_ed25519_key.pub"):
            (copy / path.name).symlink_to(path)
    done = fresh.run(
        "smoke", "--deploy-dir", str(copy), "-k", "kernel or serial_and_ssh", "--suite", "base",
        "--junit", str(fresh.workspace / "out.xml"),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert {check["id"] for check in fresh.last_record()["checks"]} == {
        "base::kernel", "base::serial_and_ssh_agree",
    }  # fmt: skip
    assert ET.parse(fresh.workspace / "out.xml").getroot().tag == "testsuites"
