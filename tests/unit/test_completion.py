"""Completion of names: each parameter that takes one completes it; what is offered fits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete

from yoctovirt.base.files import Lock
from yoctovirt.cli import cli
from yoctovirt.cli.lazy import LazyGroup

#: In a metavar, or as the name of an option: what is meant is one of our names.
_NAMES = re.compile(r"\b(ROLE|NODE|HOST|RUN2?)\b|--(release|machine|feature|role|suite|host)\b")


def commands(
    group: click.Group, words: tuple[str, ...] = ()
) -> Iterator[tuple[str, click.Command]]:
    ctx = click.Context(group)
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, (*words, name))
        else:
            yield " ".join((*words, name)), command


def said(command: click.Command, param: click.Parameter) -> str:
    metavar = param.make_metavar(click.Context(command)).upper()
    return " ".join([metavar, *(param.opts if isinstance(param, click.Option) else ())])


def test_each_parameter_that_takes_a_name_completes_it() -> None:
    assert isinstance(cli, LazyGroup)
    missing, found = [], 0
    for words, command in commands(cli):
        for param in command.params:
            if isinstance(param.type, click.Choice | click.Path) or getattr(
                param, "is_flag", False
            ):
                continue
            if _NAMES.search(said(command, param)) and param.name != "forwards":  # host's ports
                found += 1
                if param._custom_shell_complete is None:
                    missing.append(f"{words}: {param.name}")
    assert missing == []
    assert found > 50


def offered(*words: str) -> list[str]:
    """Return what is offered for the last of *words*."""
    shell = ShellComplete(cli, {}, "yoctovirt", "_YOCTOVIRT_COMPLETE")
    return [item.value for item in shell.get_completions(list(words[:-1]), words[-1])]


@contextmanager
def named(workspace: Path) -> Iterator[Path]:
    """Yield a workspace with two runs, a host, a node, and what a killed one has left."""
    for run in ("20260101T000000-one", "20260102T000000-two"):
        (workspace / "runs" / run).mkdir(parents=True)
        (workspace / "runs" / run / "run.json").write_text("{}")
    (workspace / "runs" / "no-record").mkdir()
    (workspace / "yoctovirt.yml").write_text("version: 1\n")
    (workspace / "nodes.yml").write_text("nodes: {board-1: {ssh: 192.0.2.7}}\n")
    (workspace / "nodes" / "was-killed").mkdir(parents=True)
    (workspace / "nodes" / "was-killed.lock").touch()
    lock = Lock(workspace / "nodes" / "stands-here.lock")
    assert lock.acquire()
    yield workspace
    lock.release()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("build", "contr"), ["controller"]),
        (("ci", "quick", "--release", "ki"), ["kirkstone"]),
        (("build", "docker-host", "--machine", "qemua"), ["qemuarm64"]),
        (("ci", "reference", "--suite", "base,doc"), ["base,docker", "base,docker-compose"]),
        (("ssh", ""), ["stands-here", "board-1"]),
        (("stop", ""), ["stands-here"]),
        (("stop", "stands-here", ""), []),
        (("ci", "boar"), ["board-1"]),
        (("runs", "compare", ""), ["20260102T000000-two", "20260101T000000-one"]),
        (("verify", "20260102"), ["20260102T000000-two"]),
        (("warm", "drop", ""), []),
    ],
    ids=lambda value: " ".join(value),
)
def test_names_of_a_workspace(tmp_path: Path, words: tuple[str, ...], expected: list[str]) -> None:
    with named(tmp_path / "ws") as workspace:
        assert offered("--workspace", str(workspace), *words) == expected
        assert (workspace / "nodes" / "was-killed").is_dir(), "a Tab changes nothing"
    assert offered("--workspace", str(workspace), "stop", "") == []
    assert offered("--workspace", str(tmp_path / "none"), "ssh", "") == []


def test_features_are_those_of_the_roles_of_the_call() -> None:
    assert offered("config", "kvm-host", "--feature", "") == ["sbom"]
    assert offered("build", "quick", "--feature", "") == []
    assert "podman" in offered("config", "docker-host", "--feature", "")
    assert "ceph" in offered("build", "--feature", ""), "no role yet"
    assert "ceph" in offered("config", "no-such-role", "--feature", "")


def test_what_stands_there_is_not_offered_again() -> None:
    assert "quick" in offered("build", "")
    assert "quick" not in offered("build", "quick", "")
    assert "base" not in offered("smoke", "--suite", "base,docker,")
    assert "base,docker,glance" in offered("smoke", "--suite", "base,docker,g")


def test_roles_of_the_workspace_are_offered(tmp_path: Path) -> None:
    assert offered("--workspace", str(tmp_path), "build", "mi") == []
    (tmp_path / "yoctovirt.yml").write_text("version: 1\n")
    own = tmp_path / "kas" / "inc"
    own.mkdir(parents=True)
    (own / "mine.role.yml").touch()
    assert offered("--workspace", str(tmp_path), "build", "mi") == ["mine"]


@pytest.mark.parametrize("text", ["nodes: [", "nodes: {a: {shs: b}}"])
def test_a_file_that_is_wrong_is_no_error_of_a_tab(tmp_path: Path, text: str) -> None:
    (tmp_path / "yoctovirt.yml").write_text("version: 1\n")
    (tmp_path / "nodes.yml").write_text(text)
    assert offered("--workspace", str(tmp_path), "ssh", "") == []
    assert "quick" in offered("--workspace", str(tmp_path), "smoke", "q")
