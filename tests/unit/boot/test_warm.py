"""Warm states: what they fit, and why a boot is cold."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.boot.images import image
from yoctovirt.base.screen import Screen
from yoctovirt.boot import warm as module
from yoctovirt.boot.accel import Accelerator
from yoctovirt.boot.launcher import BootRequest
from yoctovirt.boot.qemuargs import BootOptions
from yoctovirt.boot.resume import Resume
from yoctovirt.boot.warm import (
    Entry,
    Warm,
    entries,
    host_cpu,
    remove_unfinished,
    warm_dir,
    with_generation,
    write_entry,
)
from yoctovirt.config.workspace import Workspace
from yoctovirt.errors import UsageError


class Lines(Screen):
    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.lines: list[str] = []

    def line(self, text: str = "") -> None:
        self.lines.append(text.strip())


@pytest.fixture
def request_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(module, "choose_accelerator", lambda *_: Accelerator("tcg", "a reason"))
    deploy = image(tmp_path, "scarthgap")
    workspace = Workspace(tmp_path / "ws", tmp_path / "cache")

    def make(name: str = "node", **options: Any) -> BootRequest:
        made = BootOptions(warm=True, **options)
        return BootRequest(workspace, deploy, None, name, made, tmp_path)

    return make


def kept(warm: Warm, created: str = "2026-01-01") -> Entry:
    for name in warm.names:
        (warm.folder / name).mkdir(parents=True)
        (warm.folder / name / "state").write_text("memory")
    machines = dict.fromkeys(warm.names, "pc-q35-7.2")
    keys = dict.fromkeys(warm.names, "ssh-ed25519 AAAA")
    entry = Entry(warm.folder, warm.names, created, warm.parts, machines, keys)
    write_entry(entry)
    return entry


def reason(warm: Warm) -> str:
    screen = Lines()
    assert warm.find(screen) is None
    (line,) = screen.lines
    assert line.startswith("cold boot, no warm state fits: ")
    return line.partition(": ")[2]


def test_what_was_kept_is_found(request_of: Any) -> None:
    warm = Warm([request_of()], {})
    assert reason(warm) == "none is kept yet"
    kept(warm)
    screen = Lines()
    found = Warm([request_of()], {}).find(screen)
    assert found is not None
    assert screen.lines == []
    resume = found.resumes()["node"]
    assert resume.folder == warm.folder / "node"
    assert "-machine type=pc-q35-7.2" in resume.qemuparams()


def test_other_names_are_other_states(request_of: Any) -> None:
    kept(Warm([request_of()], {}))
    assert reason(Warm([request_of("other")], {})) == "none is kept yet"
    assert reason(Warm([request_of(), request_of("other")], {})) == "none is kept yet"


@pytest.mark.parametrize(
    "options",
    [{"memory": 999}, {"cpus": 3}, {"qemuparams": ("-device x",)}, {"bootparams": ("quiet",)},
     {"disks": (1 << 30,)}],
)  # fmt: skip
def test_other_arguments(request_of: Any, options: dict[str, Any]) -> None:
    kept(Warm([request_of()], {}))
    assert reason(Warm([request_of(**options)], {})) == (
        "the node is given something else (memory, CPUs, disks, arguments)"
    )


def test_ports_of_the_host_do_not_matter(request_of: Any) -> None:
    kept(Warm([request_of()], {}))
    assert Warm([request_of(ssh_port=2222)], {}).find(Lines()) is not None


def test_another_build_of_the_image(request_of: Any) -> None:
    request = request_of()
    warm = Warm([request], {})
    entry = kept(warm)
    os.utime(request.deploy.rootfs, ns=(1, 1))
    later = Warm([request], {})
    assert reason(later) == "the image is another build"
    later.drop_outdated()
    assert not entry.folder.exists()


def test_other_arguments_are_no_reason_to_drop(request_of: Any) -> None:
    entry = kept(Warm([request_of()], {}))
    Warm([request_of(memory=999)], {}).drop_outdated()
    assert entry.folder.exists()


def test_another_host_and_qemu(request_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    warm = Warm([request_of()], {})
    kept(warm)
    monkeypatch.setattr(module, "host_cpu", lambda: "another")
    monkeypatch.setattr(module, "choose_accelerator", lambda *_: Accelerator("kvm", "usable"))
    monkeypatch.setattr(module, "_qemu", lambda *_: Path("/bin/sh"))
    assert reason(Warm([request_of()], {})) == (
        "QEMU is another one; the CPU of this host has changed; the accelerator is another one"
    )


def test_another_network(request_of: Any) -> None:
    kept(Warm([request_of()], {"node": "private 192.168.7.8"}))
    assert reason(Warm([request_of()], {"node": "tap 192.168.7.8"})) == (
        "it was joined with other nodes"
    )


def test_a_state_that_is_not_whole(request_of: Any) -> None:
    warm = Warm([request_of()], {})
    kept(warm)
    (warm.folder / "node" / "state").unlink()
    assert reason(warm) == "files of it are missing"


def test_entries_that_cannot_be_read(request_of: Any) -> None:
    warm = Warm([request_of()], {})
    entry = kept(warm)
    for text in ("", "[]", "{}", '{"schema": 2}'):
        (entry.folder / "warm.json").write_text(text)
        assert entries(warm.workspace) == []


def test_the_cpu_of_the_host(tmp_path: Path) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text("model name\t: A\ncpu MHz\t: 1\nflags\t: a b\n\nmodel name\t: B\n")
    first = host_cpu(path)
    path.write_text("model name\t: A\ncpu MHz\t: 2\nflags\t: a b\n\nmodel name\t: C\n")
    assert host_cpu(path) == first
    path.write_text("model name\t: A\ncpu MHz\t: 2\nflags\t: a\n")
    assert host_cpu(path) != first


def test_persist_is_something_else(request_of: Any) -> None:
    with pytest.raises(UsageError, match="--warm and --persist exclude each other"):
        Warm([request_of(persist=True)], {})


def test_the_device_that_tells_of_a_resume(request_of: Any, tmp_path: Path) -> None:
    request = request_of(qemuparams=("-device x",))
    assert with_generation(request).options.qemuparams == (
        "-device vmgenid,guid=auto", "-device x",
    )  # fmt: skip
    arm = replace(request, deploy=image(tmp_path / "arm", "qemuarm64"))
    assert with_generation(arm).options.qemuparams == ("-device x",)


def test_a_save_that_was_killed_is_cleaned_up(request_of: Any) -> None:
    workspace = request_of().workspace
    folder = warm_dir(workspace)
    for name in ("a.tmp-999999999", "b.tmp-1", "node-12345678"):
        (folder / name).mkdir(parents=True)
    remove_unfinished(workspace)
    assert {path.name for path in folder.iterdir()} == {"b.tmp-1", "node-12345678"}


def test_a_removal_that_was_killed_leaves_no_state(
    request_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before its first file goes the entry is none any more; the next save removes the rest."""
    warm = Warm([request_of()], {})
    entry = kept(warm)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("yoctovirt.boot.warm.shutil.rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            entry.drop()
    (left,) = warm_dir(warm.workspace).iterdir()
    assert (left / "warm.json").is_file()
    assert entries(warm.workspace) == []
    assert warm.find(Screen(quiet=True)) is None
    remove_unfinished(warm.workspace)
    assert not list(warm_dir(warm.workspace).iterdir())


def test_strange_folders_reach_qemu_whole() -> None:
    import shlex

    resume = Resume(Path("/a b'c/node"), "virt-7.2", "")
    words = shlex.split(resume.qemuparams()[1])
    assert words[0] == "-incoming"
    assert shlex.split(words[1].removeprefix("exec:cat<")) == ["/a b'c/node/state"]
