"""nodes.yml and --host: what is understood, and what is refused with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.boot.bridge import closed_port
from yoctovirt.base.process import CommandLog
from yoctovirt.base.screen import Screen
from yoctovirt.boot.hosts import (
    attached,
    find_any_node,
    host_from_address,
    known_host_key,
    load_hosts,
)
from yoctovirt.boot.qemuargs import BootOptions
from yoctovirt.boot.results import NodeUnreachableError
from yoctovirt.build.debian.overlay import make_keys
from yoctovirt.config.workspace import Workspace
from yoctovirt.errors import BootError, UsageError

KEY = make_keys().host_public.strip()
QUIET = Screen(quiet=True)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path, tmp_path / "cache")


def write(workspace: Workspace, text: str) -> None:
    (workspace.path / "nodes.yml").write_text(text)


def test_no_file(workspace: Workspace) -> None:
    assert load_hosts(workspace) == {}


def test_all_that_can_be_said(workspace: Workspace) -> None:
    key = workspace.path / "key"
    key.write_text("a key")
    write(
        workspace,
        f"""\
nodes:
  board-1:
    ssh: joe@lab.example:2222
    key: {key}
    host_key: {KEY}
    role: docker-host
    memory: 4096
    cpus: 4
    timeout_scale: 2
    boot_timeout: 90
    serial: {{device: /dev/ttyUSB0, speed: 9600}}
    power: {{cmd_on: plug on 3, cmd_off: plug off 3, cmd_cycle: plug cycle 3}}
  server:
    ssh: 192.0.2.1
  six:
    ssh: "[2001:db8::1]:22022"
""",
    )
    hosts = load_hosts(workspace)
    board = hosts["board-1"]
    assert (board.user, board.address, board.port) == ("joe", "lab.example", 2222)
    assert (board.key, board.host_key, board.role) == (key, KEY, "docker-host")
    assert (board.memory, board.cpus) == (4096, 4)
    assert (board.timeout_scale, board.boot_timeout) == (2, 90)
    assert board.serial == {"device": "/dev/ttyUSB0", "speed": 9600}
    assert board.power["cmd_cycle"] == "plug cycle 3"
    assert (hosts["server"].user, hosts["server"].port) == ("root", 22)
    assert (hosts["six"].address, hosts["six"].port) == ("2001:db8::1", 22022)


BASE = "nodes:\n  board:\n    ssh: root@192.0.2.1\n"


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("board: 1\n", "1:1", "board: there is no such key"),
        ("{}\n", "1:1", "'nodes' is a required property"),
        ("nodes: {}\n", "1:1", "nodes: "),
        ("nodes:\n  board:\n    key: x\n", "2:3", "nodes.board: 'ssh' is a required property"),
        ("nodes:\n  board:\n    ssh: a b\n", "3:5", "'a b' is not an address"),
        ("nodes:\n  board:\n    ssh: root@\n", "3:5", "is not an address"),
        ("nodes:\n  bad name:\n    ssh: a\n", "1:1", "bad name"),
        (BASE + "    serail: {}\n", "4:5", "nodes.board.serail: there is no such key"),
        (BASE + "    host_key: abc\n", "4:5", "is not a public host key"),
        (BASE + "    serial: {device: ttyS0}\n", "4:14", "is not the path of a serial port"),
        (BASE + "    serial: {tcp: lab}\n", "4:14", "is not host:port"),
        (BASE + "    serial: {speed: 1234, device: /dev/x}\n", "4:14", "1234 is not one of"),
        (BASE + "    power: {cmd_no: x}\n", "4:13", "there is no such key"),
        (BASE + "    cpus: 0\n", "4:5", "less than the minimum"),
        (BASE + "    memory: '2 GiB'\n", "4:5", "is not of type 'integer'"),
    ],
)
def test_bad_files(workspace: Workspace, text: str, where: str, what: str) -> None:
    write(workspace, text)
    with pytest.raises(UsageError) as caught:
        load_hosts(workspace)
    assert caught.value.message.startswith(f"{workspace.path / 'nodes.yml'}:{where}: ")
    assert what in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("serial", "what"),
    [
        ("{tcp: 'lab:1', command: x}", "command and tcp given"),
        ("{speed: 9600}", "nothing given"),
        ("{speed: 9600, tcp: 'lab:1'}", "tcp given"),
    ],
)
def test_one_kind_of_serial_line(workspace: Workspace, serial: str, what: str) -> None:
    write(workspace, BASE + f"    serial: {serial}\n")
    with pytest.raises(UsageError, match=what):
        load_hosts(workspace)


def test_places_that_are_not_there(workspace: Workspace) -> None:
    write(workspace, BASE + "    key: /nowhere/id\n")
    with pytest.raises(UsageError, match=r"nodes\.board\.key: there is no file /nowhere/id"):
        load_hosts(workspace)
    write(workspace, "nodes:\n  board:\n    ssh: a:70000\n")
    with pytest.raises(UsageError, match="there is no port 70000"):
        load_hosts(workspace)


def test_addresses() -> None:
    host = host_from_address("joe@192.0.2.7:2022")
    assert (host.name, host.user, host.address, host.port) == (
        "192.0.2.7", "joe", "192.0.2.7", 2022,
    )  # fmt: skip
    assert host_from_address("[::1]").name == "1"
    for text in ("", "@a", "a b", "a:b", "a@b@c", "root@-oProxyCommand=x"):
        with pytest.raises(UsageError, match="is no address"):
            host_from_address(text)


def test_near_matches(workspace: Workspace) -> None:
    write(workspace, BASE)
    with pytest.raises(UsageError) as caught:
        find_any_node(workspace, "baord")
    assert "did you mean board?" in caught.value.hint


def test_known_hosts(tmp_path: Path) -> None:
    other, port = make_keys().host_public.split(), make_keys().host_public.split()
    known = tmp_path / "known_hosts"
    known.write_text(f"192.0.2.1 {other[0]} {other[1]}\n[192.0.2.1]:2222 {port[0]} {port[1]}\n")
    files = (str(known), "/nowhere")
    assert known_host_key("192.0.2.1", 22, files) == f"{other[0]} {other[1]}"
    assert known_host_key("192.0.2.1", 2222, files) == f"{port[0]} {port[1]}"
    assert known_host_key("192.0.2.2", 22, files) is None


def test_an_unknown_key_is_not_taken(workspace: Workspace) -> None:
    write(workspace, "nodes:\n  board:\n    ssh: 192.0.2.1:2022\n")
    node = find_any_node(workspace, "board")
    with pytest.raises(BootError, match="the host key of board is not known"):
        node.address()
    write(workspace, f"nodes:\n  board:\n    ssh: 192.0.2.1:2022\n    host_key: {KEY}\n")
    address = find_any_node(workspace, "board").address()
    assert address.key is None
    argv = address.argv("true")
    assert "-i" not in argv
    assert argv[-2:] == ["root@192.0.2.1", "true"]
    assert address.known_hosts.read_text().startswith("[192.0.2.1]:2022 ssh-ed25519 ")


def test_a_host_that_does_not_answer(workspace: Workspace) -> None:
    """Its power is cycled once, and switched off at the end; nothing stays in the workspace."""
    switched = workspace.path / "power.log"
    write(
        workspace,
        f"""\
nodes:
  board:
    ssh: 127.0.0.1:{closed_port()}
    host_key: {KEY}
    timeout_scale: 0.01
    boot_timeout: 20
    power:
      cmd_off: echo off >> {switched}
      cmd_cycle: echo cycle >> {switched}
""",
    )
    host = load_hosts(workspace)["board"]
    run = workspace.path
    with (
        pytest.raises(NodeUnreachableError, match="does not answer"),
        attached(workspace, host, None, run, CommandLog(), QUIET, BootOptions()),
    ):
        pytest.fail("attached")
    assert switched.read_text().split() == ["cycle", "off"]
    assert not (workspace.nodes / "board").exists()
    with (
        pytest.raises(NodeUnreachableError, match="does not answer within 2 s"),
        attached(workspace, host, None, run, CommandLog(), QUIET, BootOptions(ssh_timeout=2)),
    ):
        pytest.fail("attached")
    slow = BootOptions(timeout_scale=20)  # times the host's 0.01, times 30 s
    with (
        pytest.raises(NodeUnreachableError, match="does not answer within 4 s"),
        attached(workspace, host, None, run, CommandLog(), QUIET, slow),
    ):
        pytest.fail("attached")
    with attached_lock(workspace), pytest.raises(UsageError, match="node board is in use"):
        attached(workspace, host, None, run, CommandLog(), QUIET, BootOptions()).__enter__()


def attached_lock(workspace: Workspace):  # type: ignore[no-untyped-def]
    from yoctovirt.base.files import locked
    from yoctovirt.boot.node import lock_path

    return locked(lock_path(workspace, "board"), "busy")
