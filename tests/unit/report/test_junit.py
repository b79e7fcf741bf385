"""JUnit XML as a CI system reads it: parsed back, counted, judged."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests import samples
from yoctovirt.cli.common import reported
from yoctovirt.config.workspace import Workspace
from yoctovirt.errors import BootError, InfrastructureError, UsageError
from yoctovirt.report.junit import write_junit


def parse(folder: Path) -> ET.Element:
    path = write_junit(folder)
    assert path == folder / "junit.xml"
    root = ET.parse(path).getroot()
    validate(root)
    return root


def validate(root: ET.Element) -> None:
    """What the schema of the JUnit format demands, and CI systems rely on."""
    assert root.tag == "testsuites"
    (suite,) = root
    assert suite.tag == "testsuite"
    assert suite.get("name")
    assert next(child.tag for child in suite) == "properties"
    assert {child.tag for child in suite} <= {"properties", "testcase"}
    for value in suite.iter("property"):
        assert set(value.attrib) == {"name", "value"}
    cases = suite.findall("testcase")
    for case in cases:
        assert set(case.attrib) == {"classname", "name", "time"}
        assert case.get("name")
        assert float(case.attrib["time"]) >= 0
        verdicts = [child.tag for child in case if child.tag != "system-out"]
        assert len(verdicts) <= 1
        assert len(case) - len(verdicts) <= 1
        assert set(verdicts) <= {"failure", "error", "skipped"}
        for child in (each for each in case if each.tag != "system-out"):
            assert child.get("message")
            assert child.tag == "skipped" or child.get("type")
    for element in (root, suite):
        assert element.get("tests") == str(len(cases))
        for key, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert element.get(key) == str(sum(case.find(tag) is not None for case in cases))


def verdict(root: ET.Element, classname: str, name: str) -> str:
    (case,) = [
        case
        for case in root.iter("testcase")
        if (case.get("classname"), case.get("name")) == (classname, name)
    ]
    return case[0].tag if len(case) else "passed"


def counts(root: ET.Element) -> tuple[int, int, int, int]:
    tests, failures, errors, skipped = (
        int(root.attrib[key]) for key in ("tests", "failures", "errors", "skipped")
    )
    return tests, failures, errors, skipped


def test_a_green_run(tmp_path: Path) -> None:
    root = parse(samples.green_run(tmp_path))
    # Three phases, five checks, one suite that was not asked for.
    assert counts(root) == (9, 0, 0, 1)
    assert verdict(root, "phase", "boot") == "passed"
    assert verdict(root, "base", "kernel") == "passed"
    assert verdict(root, "lxc", "(suite)") == "skipped"
    properties = {p.attrib["name"]: p.attrib["value"] for p in root.iter("property")}
    assert properties["yoctovirt.exit_code"] == "0"
    assert properties["image"] == "reference-image-qemux86-64"
    assert properties["node.reference.accelerator"] == "tcg"
    assert len(properties["pins.sha256"]) == 64
    assert properties["pins.poky.commit"] == "c0ffee" * 6 + "c0ff"
    assert properties["pins.poky.url"] == "https://git.example.invalid/poky"
    assert properties["pins.packages"] == "150"
    assert properties["image.bzImage.sha256"] == "5eed" * 16
    assert properties["image.reference-image-qemux86-64.ext4.sha256"] == "c0de" * 16
    assert properties["image.machine"] == "qemux86-64"
    assert len(properties) == len(list(root.iter("property"))), "each name is there once"


def test_a_record_of_an_older_version_has_no_checksums(tmp_path: Path) -> None:
    folder = samples.green_run(tmp_path)
    image = json.loads((folder / "run.json").read_text())["image"]
    for file in image["files"]:
        del file["sha256"]
    samples.edit(folder, image=image)
    names = [p.attrib["name"] for p in parse(folder).iter("property")]
    assert "image" in names
    assert not [name for name in names if name.endswith("sha256") and name.startswith("image")]


def test_a_failure_is_told_from_an_error(tmp_path: Path) -> None:
    root = parse(samples.red_run(tmp_path))
    assert counts(root) == (9, 1, 1, 1)
    assert verdict(root, "docker", "daemon") == "failure"
    assert verdict(root, "docker", "run") == "error"
    # The phase itself did its work: its checks say what failed.
    assert verdict(root, "phase", "smoke") == "passed"
    failure = root.find(".//failure")
    assert failure is not None
    assert "Is it running?" in failure.attrib["message"]
    assert "test_x.py:12" in (failure.text or "")


def test_promised_and_not_run_is_an_error(tmp_path: Path) -> None:
    root = parse(samples.boot_failed_run(tmp_path))
    assert verdict(root, "phase", "build") == "passed"
    assert verdict(root, "phase", "boot") == "error"
    assert verdict(root, "phase", "smoke") == "error"
    assert verdict(root, "base", "(suite)") == "error"
    assert verdict(root, "docker", "(suite)") == "error"
    assert verdict(root, "lxc", "(suite)") == "skipped"
    messages = [error.attrib["message"] for error in root.iter("error")]
    assert any("no login prompt within 240 s" in message for message in messages)
    assert "not run: boot failed" in messages


@pytest.mark.parametrize("make", [samples.interrupted_run, samples.killed_run])
def test_a_phase_that_was_cut_short_is_an_error(tmp_path: Path, make: samples.Maker) -> None:
    root = parse(make(tmp_path))
    assert counts(root)[2] == 1


def test_a_skipped_check_is_skipped(tmp_path: Path) -> None:
    folder = samples.green_run(tmp_path)
    checks = samples.checks(red=False)
    checks[1].update(outcome="skipped", message="no clock")
    samples.edit(folder, checks=checks)
    assert verdict(parse(folder), "base", "clock") == "skipped"


@pytest.mark.parametrize(
    "text",
    [
        "\x00\x01\x08\x0b\x0c\x1f",
        "\x1b[31mred\x1b[0m",
        "\ufffe\uffff",
        "\ud800 a lone surrogate",
        "]]> <b>&amp;</b> \"'",
        "\x7f\x85 ü \u2013 🐳",
    ],
)
def test_any_text_survives_as_valid_xml(tmp_path: Path, text: str) -> None:
    folder = samples.red_run(tmp_path)
    checks = samples.checks(red=True)
    for check in checks:
        check.update(message=f"a{text}z", detail=f"a{text}z", id=check["id"] + text)
    error = {"class": "BootError", "message": text, "hint": text}
    samples.edit(
        folder,
        checks=checks,
        error=error,
        not_run=[{"suite": "docker", "reason": text, "promised": True}],
    )
    root = parse(folder)
    failure = root.find(".//failure")
    assert failure is not None
    assert failure.attrib["message"][0] + failure.attrib["message"][-1] == "az"
    if "<b>" in text:
        assert failure.attrib["message"] == failure.text == f"a{text}z"


def test_an_empty_run_is_an_empty_suite(tmp_path: Path) -> None:
    folder = samples.green_run(tmp_path)
    samples.edit(
        folder, phases=[], checks=[], not_run=[], nodes=[], image=None, pins=None, role=None
    )
    assert counts(parse(folder)) == (0, 0, 0, 0)


def test_what_is_no_record_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no run record: No such file"):
        write_junit(tmp_path)
    for text, words in (
        ('{"schema": 1', "is damaged"),
        (json.dumps({"schema": 99}), "another version"),
        ("[]", "another version"),
    ):
        (tmp_path / "run.json").write_text(text)
        with pytest.raises(UsageError, match=words):
            write_junit(tmp_path)
    assert not (tmp_path / "junit.xml").exists()


def test_each_failed_task_of_bitbake_is_a_case_of_its_own(tmp_path: Path) -> None:
    task = {
        "recipe": "zlib_1.3.1", "task": "do_compile", "file": "/l/zlib_1.3.1.bb", "layer": "core",
        "log": "/b/log.do_compile.1", "cause": "compile", "title": "a.c, line 3: \x01 no",
        "remedy": "the first error counts", "facts": {}, "notes": [], "lines": ["a.c:3: error: no"],
    }  # fmt: skip
    unknown = {**task, "recipe": None, "task": None, "log": None, "cause": None, "title": None,
               "remedy": None, "lines": ["it stands still"]}  # fmt: skip
    folder = samples.interrupted_run(tmp_path)
    before = counts(parse(folder))
    error = {"class": "BuildError", "message": "m", "hint": "h", "failures": [task, unknown]}
    samples.edit(folder, error=error, result="error")
    root = parse(folder)
    assert counts(root) == (before[0] + 2, before[1], before[2] + 2, before[3])
    assert verdict(root, "task", "zlib_1.3.1:do_compile") == "error"
    assert verdict(root, "task", "bitbake") == "error"
    said = {error.attrib["type"]: error for error in root.iter("error")}
    assert said["compile"].attrib["message"] == "a.c, line 3: ? no"
    assert said["compile"].text == "the first error counts\n/b/log.do_compile.1\na.c:3: error: no"
    assert said["unknown"].attrib["message"] == "unknown cause"
    assert said["unknown"].text == "it stands still"


def test_a_copy_that_cannot_be_written_hides_no_error_of_the_run(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "ws", tmp_path / "cache")
    full = Path("/dev/full")
    said = pytest.raises(InfrastructureError, match="the disk is full: could not write /dev/full")
    with said, reported(workspace, "good", None, full):
        pass
    with pytest.raises(BootError, match="is gone"), reported(workspace, "bad", None, full):
        raise BootError("the node is gone")
    for name in ("good", "bad"):
        (record,) = workspace.runs.glob(f"*-{name}")
        assert {"junit.xml", "report.html", "provenance.json"} <= {
            path.name for path in record.iterdir()
        }
    assert full.is_char_device()


def test_files_of_a_check_are_named_for_ci_services(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GitLab looks below its checkout, Jenkins wants the whole path; each in a line of its own."""
    folder = samples.red_run(tmp_path)
    checks = samples.checks(red=True)
    checks[0]["attached"] = ["attached/base-kernel-page.png"]
    checks[2].update(evidence="evidence/docker-daemon.log", attached=["attached/a.png", "b.txt"])
    samples.edit(folder, checks=checks)

    def told() -> list[list[str]]:
        return [(out.text or "").splitlines() for out in parse(folder).iter("system-out")]

    def line(name: str, base: Path = folder) -> str:
        return f"[[ATTACHMENT|{base / name}]]"

    monkeypatch.delenv("CI_PROJECT_DIR", raising=False)
    assert told() == [
        [line("attached/base-kernel-page.png")],
        ["logs of the node: evidence/docker-daemon.log", line("attached/a.png"), line("b.txt")],
    ]
    monkeypatch.setenv("CI_PROJECT_DIR", str(tmp_path))
    near = folder.relative_to(tmp_path)
    assert told()[0] == [line("attached/base-kernel-page.png", near)]
    monkeypatch.setenv("CI_PROJECT_DIR", str(tmp_path / "elsewhere"))
    assert told()[0] == [line("attached/base-kernel-page.png")]
