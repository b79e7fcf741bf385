"""The statement of a record, and what ``verify`` finds when something was changed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf.json_format import ParseDict
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement

from tests import samples
from tests.guides import printed
from yoctovirt.base.files import sha256_file
from yoctovirt.report.html import write_html
from yoctovirt.report.junit import write_junit
from yoctovirt.report.statement import dir_hash, git_uri, statement, write_statement
from yoctovirt.report.verify import verify_record


def finish(folder: Path) -> Path:
    """Give a record what a run gives it at its end."""
    write_junit(folder)
    write_html(folder)
    write_statement(folder)
    return folder


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """A record whose image is at hand, with a file of each kind."""
    folder = samples.red_run(tmp_path / "runs")
    deploy = tmp_path / "deploy"
    deploy.mkdir()
    files = []
    for name in ("bzImage", "image.ext4"):
        (deploy / name).write_text(name * 100)
        size, digest = (deploy / name).stat().st_size, sha256_file(deploy / name)
        files.append({"name": name, "bytes": size, "sha256": digest})
    image = json.loads((folder / "run.json").read_text())["image"]
    samples.edit(folder, image={**image, "deploy_dir": str(deploy), "files": files})
    (folder / "evidence").mkdir()
    (folder / "evidence" / "docker-daemon.log").write_text("dockerd is dead\n")
    (folder / "kas.yml").write_text(kas_file(tmp_path))
    (folder / "checks.jsonl").write_text("{}\n")
    return finish(folder)


def kas_file(tmp_path: Path) -> str:
    layer = tmp_path / "own" / "meta-own"
    layer.mkdir(parents=True)
    (layer / "layer.conf").write_text("x = 1\n")
    repos = {
        "poky": {"url": "https://git.example.invalid/poky", "commit": "c0ffee" * 6 + "c0ff"},
        "own": {"path": str(tmp_path / "own"), "layers": {"meta-own": None, "x": "disabled"}},
    }
    return yaml.safe_dump({"header": {"version": 14}, "repos": repos})


def faults(folder: Path, deploy_dir: Path | None = None) -> dict[str, str]:
    return {Path(what).name: wrong for what, wrong in verify_record(folder, deploy_dir).faults}


# The statement ------------------------------------------------------------------


def test_it_is_what_in_toto_and_slsa_say(record: Path) -> None:
    stated = json.loads((record / "provenance.json").read_text())
    # Unknown fields are refused; times must be such.
    Statement.copy_from_pb(ParseDict(stated, statement_pb2.Statement())).validate()
    assert stated["_type"] == "https://in-toto.io/Statement/v1"
    provenance = ParseDict(stated["predicate"], provenance_pb2.Provenance())
    assert provenance.run_details.metadata.finished_on.seconds > 1_700_000_000
    assert {d.name for d in provenance.build_definition.resolved_dependencies} >= {"poky"}


def test_it_says_what_was_made_of_what(record: Path) -> None:
    stated = statement(record)
    subjects = {each["name"]: each for each in stated["subject"]}
    assert set(subjects) == {"bzImage", "image.ext4", "run.json", "junit.xml", "report.html"}
    for name in ("run.json", "junit.xml", "report.html"):
        assert subjects[name]["digest"] == {"sha256": sha256_file(record / name)}
    assert subjects["run.json"]["annotations"]["result"] == "failed"
    assert subjects["run.json"]["annotations"]["exitCode"] == 1
    definition = stated["predicate"]["buildDefinition"]
    given = definition["externalParameters"]
    assert given["role"] == "reference"
    assert given["release"] == "scarthgap"
    assert given["machine"] == "qemux86-64"
    assert given["features"] == ["podman"]
    assert given["configuration"]["digest"] == {"sha256": sha256_file(record / "kas.yml")}
    needed = {each["name"]: each for each in definition["resolvedDependencies"]}
    assert needed["poky"] == {
        "name": "poky",
        "uri": "git+https://git.example.invalid/poky",
        "digest": {"gitCommit": "c0ffee" * 6 + "c0ff"},
    }
    assert "digest" not in needed["meta-virtualization"], "it has no commit"
    assert set(needed["own/meta-own"]["digest"]) == {"dirHash1"}
    assert "own/x" not in needed
    details = stated["predicate"]["runDetails"]
    version = details["builder"]["version"]
    assert version["qemu"] == "7.2.22 (Debian 1:7.2+dfsg-7)"
    assert version["kas"]
    assert len(version["yoctovirt.commit"].removesuffix("-dirty")) == 40
    names = {each["name"] for each in details["byproducts"]}
    assert names >= {"kas.yml", "evidence/docker-daemon.log", "console-reference.log"}


def test_packages_of_debian_are_named(tmp_path: Path) -> None:
    folder = samples.green_run(tmp_path)
    data = json.loads((folder / "run.json").read_text())
    del data["pins"]["layers"]
    samples.edit(folder, pins=data["pins"])
    needed = statement(folder)["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert len(needed) == 150
    assert needed[0]["uri"] == "pkg:deb/debian/package-0@1.0-1%2Bdeb12u0?distro=debian-12"


@pytest.mark.parametrize("make", [samples.boot_failed_run, samples.interrupted_run])
def test_a_run_that_failed_states_what_there_is(tmp_path: Path, make: samples.Maker) -> None:
    folder = finish(make(tmp_path))
    assert faults(folder) == {}
    stated = statement(folder)
    result = json.loads((folder / "run.json").read_text())["result"]
    told = [each for each in stated["subject"] if each["name"] == "run.json"]
    assert told[0]["annotations"]["result"] == result != "passed"


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("CI_JOB_URL", "https://ci.invalid/1", "https://ci.invalid/1#"),
        ("BUILD_URL", "https://jenkins.invalid/2", "https://jenkins.invalid/2#"),
        ("GITHUB_RUN_ID", "3", "https://gh.invalid/a/b/actions/runs/3#"),
    ],
)
def test_the_ci_job_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str
) -> None:
    for other in ("CI_JOB_URL", "BUILD_URL", "GITHUB_RUN_ID"):
        monkeypatch.delenv(other, raising=False)
    folder = samples.green_run(tmp_path)
    plain = statement(folder)["predicate"]["runDetails"]["metadata"]["invocationId"]
    assert plain == folder.name
    monkeypatch.setenv("GITHUB_SERVER_URL", "https://gh.invalid")
    monkeypatch.setenv("GITHUB_REPOSITORY", "a/b")
    monkeypatch.setenv(name, value)
    found = statement(folder)["predicate"]["runDetails"]["metadata"]["invocationId"]
    assert found == expected + folder.name


@pytest.mark.parametrize(
    ("url", "uri"),
    [
        ("https://x.invalid/poky", "git+https://x.invalid/poky"),
        ("git@x.invalid:team/poky.git", "git+ssh://x.invalid/team/poky.git"),
        ("ssh://git@x.invalid/poky", "git+ssh://git@x.invalid/poky"),
        ("git://x.invalid/poky", "git://x.invalid/poky"),
        ("/srv/mirrors/poky.git", "git+file:///srv/mirrors/poky.git"),
    ],
)
def test_places_of_repositories(url: str, uri: str) -> None:
    assert git_uri(url) == uri


def test_the_hash_of_a_folder_is_that_of_the_specification(tmp_path: Path) -> None:
    for name in ("b", "a/x", "a-b", "B"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    script = (
        "find . -type f | cut -c3- | LC_ALL=C sort | xargs -r sha256sum | sha256sum | cut -f1 -d' '"
    )
    told = subprocess.run(
        ["sh", "-c", script], cwd=tmp_path, text=True, capture_output=True, check=True
    ).stdout.strip()
    assert dir_hash(tmp_path) == told


# verify -------------------------------------------------------------------------


def test_a_record_as_it_was_left_is_good(record: Path) -> None:
    found = verify_record(record)
    assert found.faults == []
    assert found.notes == []
    assert found.images == 2
    assert found.files == len([path for path in record.rglob("*") if path.is_file()]) - 1


def alter(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


KINDS = (
    "run.json", "junit.xml", "report.html", "kas.yml", "checks.jsonl", "node-commands.jsonl",
    "console-reference.log", "commands.log", "evidence/docker-daemon.log",
)  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_one_byte_of_a_file_is_seen(record: Path, name: str) -> None:
    path = record / name
    data = path.read_bytes()
    # Where it is read as JSON or YAML, too, what was changed must stay such.
    if name in ("run.json", "kas.yml"):
        path.write_bytes(data.replace(b"c0ffee", b"c0ffef", 1))
        if name == "run.json":
            assert path.read_bytes() != data
    else:
        alter(path)
    assert path.stat().st_size == len(data)
    wrong = [fault for what, fault in verify_record(record).faults if what == name]
    assert any("altered: SHA-256" in fault for fault in wrong)


@pytest.mark.parametrize("name", [name for name in KINDS if name != "run.json"])
def test_a_file_that_is_gone_and_one_too_many_are_seen(record: Path, name: str) -> None:
    (record / name).rename(record / f"{name}.moved")
    found = faults(record)
    assert found[Path(name).name] == "missing"
    assert found[Path(name).name + ".moved"].startswith("added")


def test_a_file_that_was_cut_is_told_by_its_size(record: Path) -> None:
    path = record / "console-reference.log"
    path.write_bytes(path.read_bytes()[:-1])
    assert "bytes, stated are" in faults(record)["console-reference.log"]


@pytest.mark.parametrize("name", ["bzImage", "image.ext4"])
def test_the_image_is_looked_at_where_it_is(record: Path, tmp_path: Path, name: str) -> None:
    deploy = tmp_path / "deploy"
    alter(deploy / name)
    assert list(faults(record)) == [name]
    assert verify_record(record, images=False).faults == []
    (deploy / name).unlink()
    found = verify_record(record)
    assert found.faults == []
    assert name in found.notes[0]
    assert faults(record, deploy) == {name: "missing"}
    deploy.rename(tmp_path / "elsewhere")
    assert verify_record(record).images == 0


def test_without_a_statement_nothing_is_good(record: Path) -> None:
    (record / "provenance.json").unlink()
    assert "nobody made a statement" in faults(record)["provenance.json"]


def edit(record: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    path = record / "provenance.json"
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.update(_type="https://x.invalid"), "damaged"),
        (lambda d: d.pop("subject"), "damaged"),
        (lambda d: d["subject"][0]["digest"].clear(), "damaged"),
        (lambda d: d["subject"][0].update(annotations={"kind": "x", "bytes": 1}), "damaged"),
        (lambda d: d["subject"].pop(0), "the digests of the image"),
        (lambda d: d["predicate"]["buildDefinition"]["externalParameters"].update(role="x"),
         "role is 'x', in run.json 'reference'"),
        (lambda d: d["predicate"]["buildDefinition"]["resolvedDependencies"][0].update(
            digest={"gitCommit": "1" * 40}), "repository poky is"),
        (lambda d: d["predicate"]["buildDefinition"]["resolvedDependencies"].append(
            {"name": "more", "uri": "git+https://x.invalid/more"}), "repository more is"),
    ],
)  # fmt: skip
def test_a_statement_that_says_something_else_is_seen(
    record: Path, change: Callable[[dict[str, Any]], Any], words: str
) -> None:
    edit(record, change)
    assert words in faults(record)["provenance.json"]


def test_a_damaged_statement_is_a_fault(record: Path) -> None:
    path = record / "provenance.json"
    path.write_bytes(path.read_bytes()[:-40])
    assert "damaged" in faults(record)["provenance.json"]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("failures=", "failure=", None),
        ("<error ", "<skipped ", "docker::run is skipped, in run.json error"),
        ('value="1"', 'value="0"', "property::yoctovirt.exit_code is 0, in run.json 1"),
        ("</testsuites>", "", "no XML"),
    ],
)
def test_junit_that_was_stated_and_differs_from_run_json_is_seen(
    record: Path, old: str, new: str, words: str | None
) -> None:
    path = record / "junit.xml"
    text = path.read_text()
    changed = text.replace(old, new, 1).replace("</error>", "</skipped>", "skipped" in new)
    assert changed != text
    path.write_text(changed)
    write_statement(record)
    found = faults(record)
    assert found == {} if words is None else words in found["junit.xml"]


def test_the_log_of_a_node_that_runs_on_may_grow_and_nothing_else(record: Path) -> None:
    log = "console-reference.log"
    write_statement(record, [log])
    with (record / log).open("a") as out:
        out.write("and on it goes\n")
    assert faults(record) == {}
    data = (record / log).read_bytes()
    (record / log).write_bytes(data[:-2] + b"X\n")
    assert faults(record) == {}, "the end is not stated"
    (record / log).write_bytes(b"X" + data[1:])
    assert "altered" in faults(record)[log]
    (record / log).write_bytes(data[:10])
    assert "altered" in faults(record)[log]


def test_the_verb(record: Path, tmp_path: Path) -> None:
    (tmp_path / "yoctovirt.yml").write_text("version: 1\n")

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "yoctovirt", "--workspace", str(tmp_path), "verify"]
        return subprocess.run([*argv, *arguments], text=True, capture_output=True, check=False)

    good = call()
    assert good.returncode == 0, good.stderr
    assert f"{record.name}: good; as stated: " in good.stdout
    assert json.loads(call(record.name, "--json").stdout)["good"] is True
    alter(record / "console-reference.log")
    bad = call(str(record))
    assert bad.returncode == 1
    assert "WRONG  console-reference.log: altered" in bad.stdout
    told = json.loads(call("--json").stdout)
    assert told["good"] is False
    assert told["faults"][0]["of"] == "console-reference.log"
    assert call("--deploy-dir", "/none").returncode == 2
    assert call("--deploy-dir", str(tmp_path), "--skip-images").returncode == 2
    assert call("--skip-images").returncode == 1
    (record / "run.json").write_text("{")
    assert call(record.name).returncode == 2


def test_what_the_guide_shows_of_the_verb_is_printed_so(record: Path, tmp_path: Path) -> None:
    (tmp_path / "yoctovirt.yml").write_text("version: 1\n")

    def plain(name: str, lines: list[str]) -> list[str]:
        return [re.sub(r"\d+", "1", line.replace(name, "ID")) for line in lines]

    def said(name: str) -> list[str]:
        argv = [sys.executable, "-m", "yoctovirt", "--workspace", str(tmp_path), "verify", name]
        done = subprocess.run(argv, text=True, capture_output=True, check=False)
        assert done.returncode == (name == "copy")
        return plain(name, done.stdout.splitlines())

    def shown(name: str) -> list[str]:
        return plain(name, printed("ci.md", f"yoctovirt verify {name}"))

    assert said(record.name) == shown("20261122T015051-reference")
    copy = record.rename(record.parent / "copy")
    with (copy / "junit.xml").open("a") as file:
        file.write("x")
    assert said("copy") == shown("copy")
