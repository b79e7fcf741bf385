"""Suite lxc: a system container is made, started, entered, limited, frozen, copied and removed.

Its root file system comes from the node's own BusyBox, by a template of ours that needs no
download; one check takes LXC's own busybox template.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

import pytest

from yoctovirt.smoke.checked import SmokeNode
from yoctovirt.smoke.cleanup import Undo
from yoctovirt.smoke.suites.aids.busybox import APPLETS, tree_script
from yoctovirt.smoke.suites.nets import unique

UNITS = ("lxc.service", "lxc-net.service")
DIAGNOSTICS = (
    "lxc-ls --fancy",
    "ip addr show lxcbr0",
    "cat /etc/lxc/default.conf",
    "tail -n 40 /tmp/yv*.lxclog",
)
pytestmark = [pytest.mark.usefixtures("started"), pytest.mark.deadline(180)]

_TEMPLATES = "/usr/share/lxc/templates"
#: What LXC calls to make a root file system: with --rootfs=DIR and --path=DIR (of the config).
_OUR_TEMPLATE = f"""#!/bin/sh -e
for word; do
    case $word in
    --rootfs=*) tree=${{word#--rootfs=}} ;;
    --name=*) host=${{word#--name=}} ;;
    --path=*) config=${{word#--path=}}/config ;;
    esac
done
{tree_script((*APPLETS, "rm", "mv", "dd", "mount"))}
mkdir -p "$tree/sbin" "$tree/run" "$tree/root" "$tree/var/run" "$tree/usr/bin"
for name in init poweroff; do ln -sf ../bin/busybox "$tree/sbin/$name"; done
echo 'root:x:0:0:root:/root:/bin/sh' >"$tree/etc/passwd"
echo 'root:x:0:' >"$tree/etc/group"
echo '::ctrlaltdel:/sbin/poweroff' >"$tree/etc/inittab"
printf 'lxc.uts.name = %s\\nlxc.signal.halt = SIGUSR1\\n' "$host" >>"$config"
grep -q '^lxc.rootfs.path' "$config" || echo "lxc.rootfs.path = dir:$tree" >>"$config"
"""


@dataclass(frozen=True)
class Container:
    """A container that exists, and was not started by its fixture."""

    name: str
    address: str  #: on lxcbr0
    gateway: str  #: of the node, on lxcbr0


def _remove(name: str) -> str:
    return (
        f"! lxc-info -n {name} >/dev/null 2>&1 || lxc-destroy -f -n {name} >/dev/null; "
        f"rm -f /tmp/{name}.*"
    )


def _template(node: SmokeNode, undo: Undo) -> str:
    """Put our template on the node and return its path."""
    path = f"/tmp/{unique()}.template"
    undo(f"rm -f {path}")
    node.put(_OUR_TEMPLATE.encode(), path, 0o755)
    return path


@pytest.fixture(scope="module")
def bridge(node: SmokeNode, module_undo: Undo) -> str:
    """Return the node's address on lxcbr0, the bridge started where it is not up."""
    shown = node.run("ip -4 -o addr show dev lxcbr0")
    if not shown.ok:
        start, stop = (
            f"if [ -d /run/systemd/system ]; then systemctl {verb} lxc-net; "
            f"else for net in /usr/libexec/lxc/lxc-net /usr/lib/*/lxc/lxc-net /etc/init.d/lxc-net; "
            f"do [ ! -x $net ] || {{ $net {verb}; exit; }}; done; echo no lxc-net; exit 1; fi"
            for verb in ("start", "stop")
        )
        module_undo(stop)
        node.check(start, why="the bridge lxcbr0 cannot be started")
        shown = node.run("ip -4 -o addr show dev lxcbr0")
    found = re.search(r"inet ([\d.]+)", shown.output)
    assert found, f"lxcbr0 has no address:\n{shown.output}"
    return found.group(1)


@pytest.fixture(scope="module")
def container(node: SmokeNode, module_undo: Undo, bridge: str) -> Container:
    """Make a container with an address on lxcbr0."""
    name = unique()
    module_undo(_remove(name), timeout=120)
    node.check(
        f"lxc-create -n {name} -f /dev/null -t {_template(node, module_undo)} 2>&1 && "
        f"test -s $(lxc-config lxc.lxcpath)/{name}/config",
        timeout=150,
        why="lxc-create makes no container",
    )
    address = f"{bridge.rpartition('.')[0]}.213"
    _configure(
        node,
        name,
        "lxc.net.0.type = veth\nlxc.net.0.link = lxcbr0\nlxc.net.0.flags = up\n"
        f"lxc.net.0.ipv4.address = {address}/24\nlxc.net.0.ipv4.gateway = auto",
    )
    return Container(name, address, bridge)


def _configure(node: SmokeNode, name: str, lines: str) -> None:
    """Replace what the container's configuration says of AppArmor and the network."""
    # A profile that LXC makes itself needs AppArmor's parser, which small images lack.
    node.check(
        f"""config=$(lxc-config lxc.lxcpath)/{name}/config
        grep -v -e '^lxc.apparmor' -e '^lxc.net' "$config" >/tmp/{name}.config
        cat >>/tmp/{name}.config <<'END'
{lines}
END
        [ ! -d /sys/kernel/security/apparmor ] ||
            echo 'lxc.apparmor.profile = unconfined' >>/tmp/{name}.config
        cp /tmp/{name}.config "$config"
        """
    )


@pytest.fixture
def running(node: SmokeNode, container: Container) -> Container:
    """Have the container running."""
    _start(node, container.name)
    return container


def _state(node: SmokeNode, name: str) -> str:
    return node.run(f"lxc-info -n {name} -s -H").output.strip()


def _start(node: SmokeNode, name: str) -> None:
    if _state(node, name) == "RUNNING":
        return
    node.check(
        f"lxc-start -d -n {name} -l INFO -o /tmp/{name}.lxclog || "
        f"{{ status=$?; grep ERROR /tmp/{name}.lxclog | tail -n 5; exit $status; }}",
        why="the container does not start",
    )
    node.check(f"lxc-wait -n {name} -s RUNNING -t 30", why="the container does not get running")


def test_kernel(node: SmokeNode) -> None:
    """The kernel has what LXC requires."""
    node.check("lxc-info --version", why="LXC is not on the node")
    names = "ipc mnt net pid user uts"
    missing = node.run(f"for ns in {names}; do [ -e /proc/self/ns/$ns ] || echo $ns; done").output
    assert not missing.strip(), f"the kernel lacks the namespaces {' '.join(missing.split())}"
    # Without the kernel's configuration at hand the tool can say nothing.
    told = node.run(
        "[ -e /proc/config.gz ] || [ -e /boot/config-$(uname -r) ] || exit 99; lxc-checkconfig"
    )
    if told.exit_status != 99:
        plain = re.sub(r"\x1b\[[0-9;]*[A-Za-z]|\x1b\([AB]", "", told.output)
        lacking = [
            line.strip() for line in plain.splitlines() if line.rstrip().endswith("required")
        ]
        assert told.ok, f"lxc-checkconfig exited with {told.exit_status}:\n{plain[-1000:]}"
        assert not lacking, "the kernel's configuration lacks:\n" + "\n".join(lacking)


def test_create(node: SmokeNode, container: Container) -> None:
    """A container that was created is listed, and has a root file system and a configuration."""
    listed = node.check("lxc-ls -1").split()
    assert container.name in listed, f"lxc-create succeeded, and lxc-ls lists {listed}"
    node.check(
        f"cd $(lxc-config lxc.lxcpath)/{container.name} && test -s config && "
        "test -x rootfs/bin/busybox",
        why="lxc-create left no root file system",
    )


def test_start(node: SmokeNode, running: Container) -> None:
    """A started container runs, and its first process is another one than the node's."""
    pid = node.check(f"lxc-info -n {running.name} -p -H", why="no process of the container").strip()
    spaces = node.check(
        f"readlink /proc/{pid}/ns/pid /proc/1/ns/pid /proc/{pid}/ns/mnt /proc/1/ns/mnt"
    )
    inside, node_pid, mounts, node_mounts = spaces.split()
    assert inside != node_pid, "the container shares the processes of the node"
    assert mounts != node_mounts, "the container shares the file systems of the node"


def test_attach(node: SmokeNode, running: Container) -> None:
    """A command runs inside the container, and its exit status comes through."""
    word = secrets.token_hex(8)
    out = node.check(
        f"lxc-attach -n {running.name} -- /bin/sh -c 'echo {word}; hostname; exit 7'",
        status=7,
        why="lxc-attach does not pass the status on",
    )
    assert out.split() == [word, running.name], f"lxc-attach gave {out!r}"


def test_network(node: SmokeNode, running: Container) -> None:
    """A container on lxcbr0 reaches the node, and the node reaches it."""
    name = running.name
    inside = node.check(f"lxc-attach -n {name} -- /bin/busybox ip -4 addr show eth0")
    assert running.address in inside, f"the container has not {running.address}:\n{inside}"
    node.check(
        f"lxc-attach -n {name} -- /bin/busybox ping -c 2 -W 10 {running.gateway}",
        why=f"the container does not reach the node at {running.gateway}",
    )
    node.check(
        f"ping -c 2 -W 10 {running.address}",
        why=f"the node does not reach the container at {running.address}",
    )


def test_memory_limit(node: SmokeNode, running: Container) -> None:
    """A process that wants more memory than its container may have is ended by the kernel."""
    name = running.name
    unified = node.run("test -e /sys/fs/cgroup/cgroup.controllers").ok
    key = "memory.max" if unified else "memory.limit_in_bytes"
    # dd holds a whole block in memory.
    take = "lxc-attach -n {} -- /bin/busybox dd if=/dev/zero of=/dev/null count=1 bs={}M 2>&1"
    node.check(take.format(name, 64), why="without a limit 64 MiB cannot be had either")
    limit = 32 << 20
    try:
        node.check(f"lxc-cgroup -n {name} {key} {limit}", why="the limit cannot be set")
        told = node.check(f"lxc-cgroup -n {name} {key}").strip()
        assert told == str(limit), f"a limit of {limit} bytes was set, the container has {told!r}"
        if unified:
            node.run(f"lxc-cgroup -n {name} memory.swap.max 0")
        over = node.run(take.format(name, 64))
        assert not over.ok, f"a process took 64 MiB in a container of 32 MiB:\n{over.output}"
        node.check(take.format(name, 8), why="after that, 8 MiB cannot be had in 32 MiB")
    finally:
        node.run(f"lxc-cgroup -n {name} {key} {'max' if unified else '-1'}")


def test_freeze(node: SmokeNode, running: Container, undo: Undo) -> None:
    """A frozen container stands still, and goes on when it is unfrozen."""
    name = running.name
    undo(f"lxc-unfreeze -n {name}; lxc-attach -n {name} -- /bin/rm -f /tmp/turns; true")
    pid = node.check(f"lxc-info -n {name} -p -H").strip()
    node.check(
        f"lxc-attach -n {name} -- /bin/sh -c 'n=0; while [ $n -lt 3000 ]; do n=$((n+1)); "
        "echo $n >/tmp/turns.new; mv /tmp/turns.new /tmp/turns; sleep 0.1; done' "
        "</dev/null >/dev/null 2>&1 &"
    )
    turns = f"/proc/{pid}/root/tmp/turns"
    node.check(
        f"n=0; until [ -s {turns} ]; do n=$((n+1)); [ $n -lt 30 ] || exit 1; sleep 1; done",
        why="a process in the container does not run, or is not seen from the node",
    )
    twice = f"cat {turns}; sleep 2; cat {turns}"
    first, second = node.check(twice).split()
    assert first != second, f"the process does not count before the freeze: {first}"
    node.check(f"lxc-freeze -n {name}", why="the container cannot be frozen")
    assert _state(node, name) == "FROZEN", f"lxc-freeze, and it is {_state(node, name)}"
    first, second = node.check(twice).split()
    assert first == second, f"the container is frozen, and counts on from {first} to {second}"
    node.check(f"lxc-unfreeze -n {name}", why="the container cannot be unfrozen")
    first, second = node.check(twice).split()
    assert first != second, "the container was unfrozen, and stands still"


def test_busybox_template(node: SmokeNode, undo: Undo) -> None:
    """A container made by LXC's busybox template starts."""
    name = unique()
    node.check(
        f"test -x {_TEMPLATES}/lxc-busybox",
        why="LXC's busybox template is not on the node (package lxc-templates)",
    )
    undo(_remove(name), timeout=120)
    node.check(
        f"lxc-create -n {name} -f /dev/null -t busybox 2>&1",
        timeout=150,
        why="LXC's busybox template makes no container",
    )
    _configure(node, name, "lxc.net.0.type = empty")
    _start(node, name)
    node.check(f"lxc-attach -n {name} -- /bin/sh -c 'exit 5'", status=5, why="it does not run")


def test_stop(node: SmokeNode, running: Container) -> None:
    """A stopped container has no process left."""
    name = running.name
    pid = node.check(f"lxc-info -n {name} -p -H").strip()
    node.check(f"lxc-stop -n {name} -t 15", timeout=90, why="the container cannot be stopped")
    state = _state(node, name)
    assert state == "STOPPED", f"the container was stopped, and is {state}"
    assert not node.run(f"test -d /proc/{pid}").ok, f"its first process, {pid}, still runs"


def test_copy(node: SmokeNode, container: Container, undo: Undo) -> None:
    """A copy on an overlay starts, and what it writes is not in the original."""
    name, copy = container.name, f"{container.name}c"
    undo(_remove(copy), timeout=120)
    node.run(f"lxc-stop -n {name} -k")
    node.check(
        f"lxc-copy -n {name} -N {copy} -s -B overlayfs 2>&1",
        why="the container cannot be copied (kernel module overlay?)",
    )
    listed = node.check("lxc-ls -1").split()
    assert copy in listed, f"lxc-copy succeeded, and lxc-ls lists {listed}"
    _start(node, copy)
    node.check(f"lxc-attach -n {copy} -- /bin/sh -c 'test -x /bin/busybox && echo mine >/copied'")
    node.check(
        f"path=$(lxc-config lxc.lxcpath); ! test -e $path/{name}/rootfs/copied",
        why="what the copy wrote is in the original",
    )


def test_destroy(node: SmokeNode, container: Container) -> None:
    """A destroyed container is gone with its files."""
    name = container.name
    node.run(f"lxc-stop -n {name} -k")
    node.check(f"lxc-destroy -n {name} 2>&1", timeout=90, why="the container cannot be destroyed")
    listed = node.check("lxc-ls -1").split()
    assert name not in listed, f"the container was destroyed, and lxc-ls lists {listed}"
    node.check(f"! test -e $(lxc-config lxc.lxcpath)/{name}", why="its files are still on the disk")
