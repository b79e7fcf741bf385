"""What a boot gives the node: what its role needs, and what the user wants."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.boot.images import image
from yoctovirt.base.process import CommandLog
from yoctovirt.base.screen import Screen
from yoctovirt.boot.launcher import BootRequest, launched
from yoctovirt.boot.node import Node
from yoctovirt.boot.qemuargs import BootOptions
from yoctovirt.config.roles import NodeNeeds, Role
from yoctovirt.config.workspace import Workspace
from yoctovirt.errors import BootError

NEEDS = NodeNeeds(memory=2048, cpus=3, qemuparams=("-device edu",), bootparams=("quiet",))


def request(tmp_path: Path, options: BootOptions, needs: NodeNeeds | None = NEEDS) -> BootRequest:
    deploy = image(tmp_path, "scarthgap", qb_mem="-m 512")
    role = Role("one", "", "kas", Path("one.role.yml"), node=needs) if needs else None
    return BootRequest(Workspace(tmp_path, tmp_path), deploy, role, "node", options, tmp_path)


def test_what_the_role_needs(tmp_path: Path) -> None:
    options = request(tmp_path, BootOptions()).options_with_role()
    assert (options.memory, options.cpus) == (2048, 3)
    assert (options.qemuparams, options.bootparams) == (("-device edu",), ("quiet",))


def test_the_user_has_the_last_word(tmp_path: Path) -> None:
    wanted = BootOptions(memory=300, cpus=1, qemuparams=("-s",), bootparams=("debug",))
    options = request(tmp_path, wanted).options_with_role()
    assert (options.memory, options.cpus) == (300, 1)
    assert (options.qemuparams, options.bootparams) == (("-device edu", "-s"), ("quiet", "debug"))


@pytest.mark.parametrize(("memory", "given"), [(256, 512), (4096, 4096)])
def test_an_image_may_ask_for_more_memory(tmp_path: Path, memory: int, given: int) -> None:
    needs = replace(NEEDS, memory=memory)
    assert request(tmp_path, BootOptions(), needs).options_with_role().memory == given


def test_without_a_role_the_image_decides(tmp_path: Path) -> None:
    options = BootOptions(ssh_port=2222)
    assert request(tmp_path, options, None).options_with_role() == options


@pytest.mark.parametrize("late", [True, False])
def test_a_qemu_that_ends_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    """Its own words are told, also where its folder was removed before we wrote into it."""
    tools = tmp_path / "tools"
    tools.mkdir()
    qemu = tools / "qemu-system-x86_64"
    qemu.write_text("#!/bin/sh\necho 'qemu: -device edu: no such thing' >&2\nexit 1\n")
    qemu.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    save = Node.save

    def save_late(node: Node) -> None:
        end = time.monotonic() + 20
        while late and node.folder.exists() and time.monotonic() < end:
            time.sleep(0.01)
        save(node)

    monkeypatch.setattr(Node, "save", save_late)
    wanted = request(tmp_path, BootOptions(kvm=False, preflight=False))
    with (
        pytest.raises(BootError, match="no such thing"),
        launched(wanted, CommandLog(), Screen(quiet=True)),
    ):
        pytest.fail("started")
    assert list(wanted.workspace.nodes.glob("*/")) == []
