"""``pins resolve``: the real kas, small repositories, and a bitbake made by the test."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakebitbake import FakePoky, fake_poky
from tests.processes import wait_until_gone
from yoctovirt.build.kas.resolve import graph_figures, read_output
from yoctovirt.errors import BuildError

CELL = "mine/scarthgap/qemux86-64"
CHOICE = ("pins", "resolve", "--role", "mine", "--release", "scarthgap", "--machine", "qemux86-64")


@pytest.fixture
def poky(tmp_path: Path) -> Iterator[FakePoky]:
    fake = fake_poky(tmp_path)
    yield fake
    wait_until_gone(*fake.pids())


def stored(poky: FakePoky) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((poky.workspace / "resolved.json").read_text())
    return dict(data["cells"])


def test_a_cell_that_resolves_is_stored_and_asked_once(poky: FakePoky) -> None:
    done = poky.call(*CHOICE)
    assert done.returncode == 0, done.stderr
    assert "2 recipes, 2 tasks, 1 edges" in done.stdout
    assert poky.seen()["argv"][1:] == ["-g", "my-image"]
    assert poky.seen()["env"]["BB_NO_NETWORK"] == "1"
    assert poky.seen()["cwd"] == str(poky.workspace / "resolve" / "scarthgap")
    entry = stored(poky)[CELL]
    assert entry["verdict"] == "ok"
    assert entry["figures"]["bb_files"] == 2914
    assert entry["figures"]["masked"] == 37
    assert "Parsing of 2914" in (poky.workspace / entry["log"]).read_text()
    assert str(poky.workspace) not in json.dumps(entry)

    (row,) = [
        line for line in poky.call("roles").stdout.splitlines()
        if line.startswith("mine ") and "MiB" not in line
    ]  # fmt: skip
    assert row.split() == ["mine", "?", "?", "ok", "?", "?", "?"]
    assert row == row.rstrip()
    about = poky.call("roles", "mine").stdout
    assert f"{CELL:40} ok          2 recipes, 2 tasks, 1 edges" in about
    assert 'nographic slirp qemuparams="-m 1024 -smp 1"' in about

    (poky.control / "seen.json").unlink()
    again = poky.call(*CHOICE)
    assert again.returncode == 0
    assert again.stdout == done.stdout
    assert not (poky.control / "seen.json").exists(), "bitbake was not asked again"
    assert len(list((poky.workspace / "runs").iterdir())) == 1
    poky.call(*CHOICE, "--force")
    assert (poky.control / "seen.json").exists()


def test_a_role_alone_is_the_cells_that_it_is_made_for(poky: FakePoky) -> None:
    """Each other cell is minutes of bitbake, or a release whose layers nobody has."""
    assert poky.call("pins", "resolve", "--role", "mine").returncode == 0
    assert set(stored(poky)) == {CELL}
    assert poky.call("pins", "resolve", "--role", "mine", "--release", "scarthgap").returncode == 0
    assert set(stored(poky)) == {CELL, "mine/scarthgap/qemuarm64"}


def test_a_change_of_the_role_makes_it_stale(poky: FakePoky) -> None:
    assert poky.call(*CHOICE).returncode == 0
    source = poky.workspace / "kas/inc/mine.yml"
    source.write_text(source.read_text() + "# only a comment\n")
    listed = json.loads(poky.call("roles", "mine", "--json").stdout)[0]["cells"]
    assert next(cell["state"] for cell in listed if cell["release"] == "scarthgap") == "ok"
    source.write_text(source.read_text() + 'local_conf_header: {more: A = "1"}\n')
    listed = json.loads(poky.call("roles", "mine", "--json").stdout)[0]["cells"]
    (cell,) = [c for c in listed if (c["release"], c["machine"]) == ("scarthgap", "qemux86-64")]
    assert cell["state"] == "stale"
    assert "have changed since" in cell["reason"]
    (poky.control / "seen.json").unlink()
    assert poky.call(*CHOICE).returncode == 0
    assert (poky.control / "seen.json").exists(), "what is stale is asked again"


def test_a_cell_that_does_not_resolve(poky: FakePoky) -> None:
    poky.do("unresolved")
    done = poky.call(*CHOICE)
    assert done.returncode == 4, done.stderr
    assert f"do not resolve: {CELL}" in done.stderr
    entry = stored(poky)[CELL]
    assert entry["verdict"] == "fails"
    assert entry["reason"].startswith("Nothing RPROVIDES 'gone' (but")
    assert (entry["unresolved_count"], entry["error_count"]) == (1, 1)

    # Whoever asks for it gets the reason, at once.
    for verb in ("config", "build"):
        asked = poky.call(verb, "mine", "--release", "scarthgap")
        assert asked.returncode == 2, asked.stderr
        assert f"mine on scarthgap for qemux86-64 does not resolve: {entry['reason']}" in (
            asked.stderr
        )
        assert "pins resolve --role mine" in asked.stderr
    # With files of one's own that may be mended.
    mended = poky.workspace / "mended.yml"
    mended.write_text("header: {version: 19}\n")
    assert poky.call("config", "mine", "--with", str(mended)).returncode == 0
    poky.do("build")
    assert poky.call(*CHOICE, "--force").returncode == 0
    assert poky.call("config", "mine").returncode == 0


def test_a_release_without_the_repository_needs_no_bitbake(poky: FakePoky) -> None:
    source = poky.workspace / "kas/inc/mine.yml"
    source.write_text(source.read_text() + "  meta-nowhere: {layers: {meta-nowhere: }}\n")
    done = poky.call(*CHOICE)
    assert done.returncode == 4
    assert stored(poky)[CELL]["reason"] == (
        "release scarthgap has no repository meta-nowhere, of which the role takes layers"
    )
    assert not (poky.control / "seen.json").exists()


@pytest.mark.parametrize(
    ("what", "code", "words"),
    [
        ("host", 3, "bitbake finds fault with this host"),
        ("silent", 4, "kas ended with status"),
    ],
)
def test_what_says_nothing_of_the_cell_is_not_stored(
    poky: FakePoky, what: str, code: int, words: str
) -> None:
    poky.do(what)
    done = poky.call(*CHOICE)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert not (poky.workspace / "resolved.json").exists()


def test_a_mirror_that_lacks_a_commit_does_not_keep_others_from_being_tried(
    poky: FakePoky,
) -> None:
    other = poky.workspace / "kas/inc/other"
    broken = (poky.workspace / "kas/inc/mine.yml").read_text().replace(poky.commit, "f" * 40)
    other.with_suffix(".yml").write_text(broken)
    (poky.workspace / "kas/inc/other.role.yml").write_text(
        (poky.workspace / "kas/inc/mine.role.yml").read_text()
    )
    done = poky.call(
        "pins", "resolve", "--role", "other", "--role", "mine", "--release", "scarthgap",
        "--machine", "qemux86-64",
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert "is found nowhere" in done.stderr
    assert set(stored(poky)) == {CELL}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "say what to resolve"),
        (("--role", "mein"), "did you mean mine"),
        (("--role", "mine", "--release", "scarthgab"), "did you mean scarthgap"),
        (("--role", "mine", "--machine", "qemuarm46"), "did you mean qemuarm64"),
        (("--role", "mine", "--feature", "podmann"), "did you mean podman"),
        (("--role", "mine", "--feature", "podman"), "cannot take in the feature podman"),
        (("--role", "reference"), "made of Debian packages"),
    ],
)
def test_bad_input(poky: FakePoky, arguments: tuple[str, ...], words: str) -> None:
    done = poky.call("pins", "resolve", *arguments)
    assert done.returncode == 2, done.stderr
    assert words in done.stderr


def test_results_that_are_broken_are_named(poky: FakePoky) -> None:
    path = poky.workspace / "resolved.json"
    (poky.workspace / "yoctovirt.yml").write_text("version: 1\n")
    for text, words in (("{", "is not a file of results"), ('{"version": 9}', "version is 9")):
        path.write_text(text)
        done = poky.call("roles")
        assert done.returncode == 2
        assert str(path) in done.stderr
        assert words in done.stderr


# What bitbake says -----------------------------------------------------------------


def test_errors_paths_and_figures_of_an_output() -> None:
    text = """\
2026-11-21 03:23:11 - INFO     - To start the default build, run: bitbake
WARNING: Host distribution "debian-12" has not been validated
Parsing of 2583 .bb files complete (3 cached, 2580 parsed). 4012 targets, 83 skipped, 1 masked, \
0 errors.
ERROR: Layer x is not compatible with the core layer which only supports these series: scarthgap
ERROR: ParseError at /ws/layers/scarthgap/meta-x/a.bb:45: unparsed line: 'x'
ERROR: Nothing PROVIDES 'b' (but /ws/layers/scarthgap/meta-x/c.bb DEPENDS on it)
ERROR: Nothing PROVIDES 'b' (but /ws/layers/scarthgap/meta-x/c.bb DEPENDS on it)
ERROR: Nothing PROVIDES 'virtual/kernel'
quick-kernel PROVIDES virtual/kernel but was skipped: incompatible with host aarch64-poky-linux
ERROR: Nothing RPROVIDES 'q' (but /ws/resolve/../layers/scarthgap/meta-x/d.bb RDEPENDS on it)
q was skipped: incompatible
"""
    said = read_output(text, [Path("/ws/layers/scarthgap")])
    assert said.unresolved == [
        "Nothing PROVIDES 'b' (but meta-x/c.bb DEPENDS on it)",
        "Nothing PROVIDES 'virtual/kernel'; quick-kernel PROVIDES virtual/kernel but was skipped: "
        "incompatible with host aarch64-poky-linux",
        "Nothing RPROVIDES 'q' (but meta-x/d.bb RDEPENDS on it); q was skipped: incompatible",
    ]
    assert said.errors == [
        "Layer x is not compatible with the core layer which only supports these series: scarthgap",
        "ParseError at meta-x/a.bb:45: unparsed line: 'x'",
    ]
    assert said.figures == {
        "warnings": 1, "bb_files": 2583, "cached": 3, "parsed": 2580, "targets": 4012,
        "skipped": 83, "masked": 1,
    }  # fmt: skip


def test_a_graph_that_is_missing_or_empty(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="no pn-buildlist"):
        graph_figures(tmp_path)
    (tmp_path / "pn-buildlist").write_text("one\n")
    (tmp_path / "task-depends.dot").touch()
    with pytest.raises(BuildError, match=r"no task-depends\.dot"):
        graph_figures(tmp_path)
