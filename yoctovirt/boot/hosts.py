"""Nodes that nobody boots here: boards and servers that answer SSH (``nodes.yml``, ``--host``)."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path
from typing import Any

from yoctovirt.base.files import Lock, make_folder, write_atomically
from yoctovirt.base.process import CommandLog, run_quick
from yoctovirt.base.schema import check_file
from yoctovirt.base.screen import Screen
from yoctovirt.base.suggest import did_you_mean
from yoctovirt.base.yamlfile import load_mapping
from yoctovirt.boot.access import read_host_key
from yoctovirt.boot.node import Node, NodeState, lock_path, node_dir, running_nodes
from yoctovirt.boot.qemuargs import BootOptions
from yoctovirt.boot.results import NodeRefusedError, NodeUnreachableError
from yoctovirt.boot.settle import settle
from yoctovirt.config.roles import Role
from yoctovirt.config.workspace import NODES_FILE, Workspace
from yoctovirt.errors import UsageError

#: Seconds, scaled by ``timeout_scale``: for the SSH of a host that is on, and from power to SSH.
SSH_SECONDS, BOOT_SECONDS = 30.0, 300.0
#: Seconds for a power command.
_POWER_SECONDS = 120.0
_ADDRESS = re.compile(r"(?:([^@]+)@)?(\[[^\]]+\]|[^:@]+)(?::(\d+))?")


@dataclass(frozen=True)
class Host:
    """A board or server, as ``nodes.yml`` or ``--host`` describes it."""

    name: str
    address: str
    user: str = "root"
    port: int = 22
    key: Path | None = None  #: None: the agent's, and those in ~/.ssh
    host_key: str | None = None  #: None: what OpenSSH's known_hosts say, or the serial console
    role: str | None = None
    memory: int | None = None  #: MiB that it is to have; None: what it says itself
    cpus: int | None = None
    timeout_scale: float = 1.0
    boot_timeout: float = BOOT_SECONDS
    serial: dict[str, Any] = field(default_factory=dict)
    power: dict[str, str] = field(default_factory=dict)  #: ``cmd_on``, ``cmd_off``, ``cmd_cycle``


@lru_cache(maxsize=1)
def _schema() -> dict[str, Any]:
    text = Path(__file__).with_name("nodes.schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def load_hosts(workspace: Workspace) -> dict[str, Host]:
    """Return the hosts of the workspace's ``nodes.yml`` by name; none where there is no such file.

    Raises UsageError, with line and column, where it does not fit its schema.
    """
    path = workspace.path / NODES_FILE
    if not path.exists():
        return {}
    values = load_mapping(path)
    check_file(path, values, _schema(), "see docs/nodes.md")
    found: dict[str, Host] = {}
    for name, entry in values["nodes"].items():
        kinds = sorted({"device", "tcp", "command"} & set(entry.get("serial", {})))
        if "serial" in entry and (
            len(kinds) != 1 or ("speed" in entry["serial"] and kinds != ["device"])
        ):
            raise UsageError(
                f"{path}: nodes.{name}.serial: {' and '.join(kinds) or 'nothing'} given",
                "give one of device (with speed), tcp, command",
            )
        found[name] = _host(name, entry["ssh"], entry, f"{path}: nodes.{name}.ssh")
    return found


def host_from_address(text: str) -> Host:
    """Return the host of ``--host [user@]address[:port]``; raise UsageError for another form."""
    if not re.fullmatch(_schema()["$defs"]["node"]["properties"]["ssh"]["pattern"], text):
        raise UsageError(
            f"--host {text!r} is no address", "write [user@]host[:port], IPv6 in brackets"
        )
    match = _ADDRESS.fullmatch(text)
    assert match is not None
    name = re.sub(r"[^A-Za-z0-9._-]", "-", match[2].strip("[]")).strip("-.")
    return _host(name or "host", text, {}, "--host")


def _host(name: str, ssh: str, entry: dict[str, Any], where: str) -> Host:
    match = _ADDRESS.fullmatch(ssh)
    assert match is not None  # the schema has seen to it
    port = int(match[3] or 22)
    if not 0 < port < 65536:
        raise UsageError(f"{where}: there is no port {port}", "a port is 1 to 65535")
    key = Path(entry["key"]).expanduser() if "key" in entry else None
    if key is not None and not key.is_file():
        raise UsageError(f"{where.removesuffix('ssh')}key: there is no file {key}")
    rest = {name: entry[name] for name in (
        "host_key", "role", "memory", "cpus", "timeout_scale", "boot_timeout", "serial", "power",
    ) if name in entry}  # fmt: skip
    return Host(name, match[2].strip("[]"), match[1] or "root", port, key, **rest)


def find_any_node(workspace: Workspace, name: str) -> Node:
    """Return the running node *name*, or the host of nodes.yml; UsageError for neither."""
    nodes, hosts = running_nodes(workspace), load_hosts(workspace)
    if name in nodes:
        return nodes[name]
    if name in hosts:
        folder = _own_folder(workspace, name)
        make_folder(folder, 0o700)
        return _node(hosts[name], folder, folder, None)
    known = {*nodes, *hosts}
    hint = did_you_mean(name, known) if known else "start one with 'yoctovirt boot ROLE --detach'"
    raise UsageError(f"no node {name!r} is running in {workspace.path}", hint)


def _own_folder(workspace: Workspace, name: str) -> Path:
    """Return where we keep what belongs to a host and not to a run: who uses its console."""
    return workspace.nodes / ".hosts" / name


def _node(host: Host, folder: Path, own: Path, role: Role | None, run: str = "") -> Node:
    state = NodeState(
        name=host.name,
        role=role.name if role else host.role,
        promises=list(role.promises) if role else [],
        allowed_failed_units=list(role.allowed_failed_units) if role else [],
        image="", deploy_dir="", accelerator="none",
        accelerator_reason=f"{host.user}@{host.address}:{host.port} is no machine of ours",
        timeout_scale=host.timeout_scale, memory_mib=host.memory or 0, cpus=host.cpus or 0,
        run=run, command=[], guard_pid=os.getpid(),
        started=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        ssh_host=host.address, ssh_port=host.port, ssh_user=host.user,
        ssh_key=str(host.key or ""),
        ssh_host_key=host.host_key or known_host_key(host.address, host.port) or "",
        kind="host", serial=host.serial, serial_lock=str(own / "serial.lock"),
        known_hosts=str(folder / "known_hosts"),
    )  # fmt: skip
    node = Node(folder, state)
    if state.ssh_host_key:
        _pin(node)
    return node


def _pin(node: Node) -> None:
    address = node.address()
    write_atomically(address.known_hosts, address.known_hosts_line(), 0o600)


def known_host_key(address: str, port: int, files: tuple[str, ...] = ()) -> str | None:
    """Return the host key that OpenSSH's known_hosts have for *address*, None without one."""
    import paramiko

    name = address if port == 22 else f"[{address}]:{port}"
    for text in files or ("~/.ssh/known_hosts", "/etc/ssh/ssh_known_hosts"):
        keys = paramiko.HostKeys()
        with suppress(OSError, paramiko.SSHException):
            keys.load(str(Path(text).expanduser()))
        found = keys.lookup(name)
        for algorithm in ("ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"):
            if found is not None and algorithm in found:
                return f"{algorithm} {found[algorithm].get_base64()}"
    return None


def offered_key(address: str, port: int, seconds: float) -> str | None:
    """Return the host key that whoever answers there shows; it is not to be trusted."""
    import socket

    import paramiko

    try:
        with socket.create_connection((address, port), seconds) as line:
            transport = paramiko.Transport(line)
            try:
                transport.banner_timeout = seconds
                transport.start_client(timeout=seconds)
                key = transport.get_remote_server_key()
                return f"{key.get_name()} {key.get_base64()}"
            finally:
                transport.close()
    except (OSError, EOFError, paramiko.SSHException):
        return None


@contextmanager
def attached(
    workspace: Workspace,
    host: Host,
    role: Role | None,
    run: Path,
    log: CommandLog,
    screen: Screen,
    options: BootOptions,
) -> Iterator[Node]:
    """Yield *host* as a node of the workspace, ready to be worked on.

    Of *options* the deadlines count: their factor, for SSH, for its init. Its power is switched
    on before, where nodes.yml has a command for it, and off afterwards.
    Raises UsageError where somebody else has it, NodeUnreachableError where it does not answer.
    """
    lock = Lock(lock_path(workspace, host.name))
    if not lock.acquire():
        raise UsageError(
            f"node {host.name} is in use ({lock.read()})", "wait until the other run has ended"
        )
    host = replace(host, timeout_scale=host.timeout_scale * options.timeout_scale)
    folder = node_dir(workspace, host.name)
    node: Node | None = None
    try:
        lock.write(f"by process {os.getpid()}")
        shutil.rmtree(folder, ignore_errors=True)
        make_folder(folder, 0o700)
        own = _own_folder(workspace, host.name)
        make_folder(own, 0o700)
        node = _node(host, folder, own, role, str(run))
        _power(host, "on", log, screen)
        try:
            _contact(node, host, log, screen, options.ssh_timeout)
            if options.settle:
                settle(node, screen, options.settle_timeout)
            node.state.state = "ready"
            node.save()
            yield node
        finally:
            node.close()
            _power(host, "off", log, screen)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.release()


def _power(host: Host, what: str, log: CommandLog, screen: Screen) -> bool:
    command = host.power.get(f"cmd_{what}")
    if command is None:
        return False
    screen.note(f"{host.name}: power {what}")
    run_quick(["sh", "-c", command], log, timeout=_POWER_SECONDS)
    return True


def _contact(node: Node, host: Host, log: CommandLog, screen: Screen, limit: float | None) -> None:
    """Connect within *limit* seconds, switching the power off and on once where that fails."""
    scale = host.timeout_scale
    switched = "cmd_on" in host.power
    try:
        seconds = (host.boot_timeout if switched else SSH_SECONDS) * scale
        _connect(node, host, limit or seconds)
    except NodeUnreachableError as error:
        if isinstance(error, NodeRefusedError) or not _power(host, "cycle", log, screen):
            raise
        screen.note(f"{error.message.splitlines()[0]}; waiting for it after the power cycle")
        _connect(node, host, limit or host.boot_timeout * scale)
    told = node.run("grep MemTotal /proc/meminfo; grep -c ^processor /proc/cpuinfo").output.split()
    if len(told) == 4 and told[1].isdigit() and told[3].isdigit():
        node.state.memory_mib = host.memory or int(told[1]) // 1024
        node.state.cpus = host.cpus or int(told[3])
    node.save()


def _connect(node: Node, host: Host, seconds: float) -> None:
    state = node.state
    if not state.ssh_host_key and state.serial:
        # Over its console the host itself says who it is.
        state.ssh_host_key = read_host_key(node)
        _pin(node)
    if not state.ssh_host_key:
        raise _unknown_key(host, offered_key(host.address, host.port, min(seconds, 15.0)), seconds)
    node.ssh.connect(seconds)


def _unknown_key(host: Host, shown: str | None, seconds: float) -> NodeUnreachableError:
    where = f"{host.address}:{host.port}"
    if shown is None:
        return NodeUnreachableError(
            f"no SSH server answers on {where} of {host.name} within {min(seconds, 15.0):.0f} s",
            "is it on, and is the address right?",
        )
    digest = hashlib.sha256(base64.b64decode(shown.split()[1])).digest()
    fingerprint = "SHA256:" + base64.b64encode(digest).decode().rstrip("=")
    return NodeRefusedError(
        f"the host key of {host.name} ({where}) is not known; what answers there shows "
        f"{fingerprint}",
        "if that is its key, connect once with ssh, so that it stands in ~/.ssh/known_hosts, or "
        f"write into {NODES_FILE}:\n  host_key: {shown}",
    )
