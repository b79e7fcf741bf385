"""Suite base: what every node must have, whatever its role."""

from __future__ import annotations

import fnmatch
import re
import secrets
import time

import pytest

from yoctovirt.smoke.checked import SmokeNode
from yoctovirt.smoke.notrun import not_run
from yoctovirt.smoke.session import session_of

ALWAYS = True

#: Seconds that the clocks of host and node may differ.
CLOCK_TOLERANCE = 60


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one check of each promise of the nodes of this run."""
    if "promise" in metafunc.fixturenames:
        session = session_of(metafunc.config)
        names = session.spread(metafunc) if session else []
        if names:
            rows = [
                (name, promise, commands)
                for name in names
                for promise, commands in session.promise_commands(name).items()
            ]
            metafunc.parametrize(
                ("node", "promise", "commands"), rows, indirect=["node"], scope="session",
                ids=[f"{name}-{promise}" for name, promise, _ in rows],
            )  # fmt: skip
            return
        commands = session.promise_commands() if session else {}
        metafunc.parametrize(("promise", "commands"), commands.items(), ids=list(commands))


def _has_systemd(node: SmokeNode) -> bool:
    return node.run("test -d /run/systemd/system").ok


def test_kernel(node: SmokeNode) -> None:
    """A Linux kernel answers, and has not complained of itself."""
    release = node.check("uname -sr")
    assert release.startswith("Linux "), f"not a Linux kernel: {release!r}"
    log = node.run("dmesg").output
    bad = re.findall(r"^.*(?:Oops:|BUG: |kernel BUG at|general protection fault).*$", log, re.M)
    assert not bad, "the kernel log has:\n" + "\n".join(bad[:5])


def test_init_settled(node: SmokeNode) -> None:
    """The init system has started all that it was to start."""
    if _has_systemd(node):
        # "degraded" is what failed_units judges.
        state = node.run("systemctl is-system-running --wait", timeout=120).output.strip()
        assert state in ("running", "degraded"), f"systemd says {state!r}"
    else:
        name = node.check("cat /proc/1/comm").strip()
        assert name in ("init", "busybox", "systemd", "openrc-init"), f"process 1 is {name!r}"
        waiting = node.run("ps | grep '[/]etc/init.d/rc\\b'").output.strip()
        assert not waiting, f"start scripts still run:\n{waiting}"


def test_failed_units(node: SmokeNode) -> None:
    """No unit has failed that the role does not allow to fail."""
    if not _has_systemd(node):
        not_run("the init system of this node is not systemd: there are no units")
    listed = node.check("systemctl list-units --state=failed --plain --no-legend --full")
    failed = [line.split()[0] for line in listed.splitlines() if line.strip()]
    bad = [
        unit
        for unit in failed
        if not any(fnmatch.fnmatch(unit, allowed) for allowed in node.allowed_failed_units)
    ]
    why = node.run(f"systemctl status --no-pager -n 5 {' '.join(bad)}").output if bad else ""
    assert not bad, f"failed units: {', '.join(bad)}\n{why}"


def test_root_writable(node: SmokeNode) -> None:
    """The root file system can be written, and what was written is read back."""
    name, word = f"/.yoctovirt-{secrets.token_hex(4)}", secrets.token_hex(8)
    try:
        node.check(f"echo {word} > {name} && sync", why="the root file system is not writable")
        got = node.check(f"cat {name}").strip()
        assert got == word, f"wrote {word}, read {got!r}"
    finally:
        node.run(f"rm -f {name}")


def test_disk_space(node: SmokeNode) -> None:
    """The root file system has space left (at least 5 %)."""
    fields = node.check("df -P / | tail -n 1").split()
    used = int(fields[4].rstrip("%"))
    assert used <= 95, f"the root file system is {used} % full: {' '.join(fields)}"


def test_clock(node: SmokeNode) -> None:
    """The clock of the node is right, and it goes."""
    before = time.time()
    told = int(node.check("date +%s"))
    after = time.time()
    assert before - CLOCK_TOLERANCE <= told <= after + CLOCK_TOLERANCE, (
        f"the clock of the node is {told - before:+.0f} s from the host's"
    )
    pair = [
        float(text) for text in node.check("cat /proc/uptime; sleep 1; cat /proc/uptime").split()
    ]
    assert pair[2] - pair[0] >= 0.9, (
        f"a second on the node took {pair[2] - pair[0]:.2f} s of uptime"
    )


def _below_xen(node: SmokeNode) -> bool:
    """Whether this Linux is Xen's first domain."""
    return "control_d" in node.run("cat /proc/xen/capabilities 2>/dev/null").output


def test_resources(node: SmokeNode) -> None:
    """The node has the memory and the CPUs that it was given."""
    if _below_xen(node):
        # The first domain has a share of them, the rest is for guests; Xen has them all.
        told = dict(re.findall(r"^(\w+)\s*: (\d+)$", node.check("xl info"), re.MULTILINE))
        total, cpus = float(told["total_memory"]), int(told["nr_cpus"])
    else:
        total = int(node.check("grep MemTotal /proc/meminfo").split()[1]) / 1024
        cpus = int(node.check("grep -c ^processor /proc/cpuinfo"))
    assert total >= 0.8 * node.memory_mib, f"{total:.0f} MiB of memory, given {node.memory_mib}"
    assert cpus == node.cpus, f"{cpus} CPUs, given {node.cpus}"


def test_network_address(node: SmokeNode) -> None:
    """An interface beside the loopback has an IPv4 address, and there is a default route."""
    listed = node.check("ip -4 -o addr show")
    addresses = re.findall(r"^\d+: (\S+)\s+inet ([\d.]+)", listed, re.MULTILINE)
    outside = [pair for pair in addresses if pair[0] != "lo"]
    assert outside, f"no address beside the loopback's:\n{listed}"
    routes = node.check("ip route show")
    assert "default" in routes, f"no default route:\n{routes}"


def test_names_without_dns(node: SmokeNode) -> None:
    """The node's own names resolve without a name server."""
    name = node.check("hostname").strip()
    assert name, "the node has no host name"
    node.check("ping -c 1 -W 5 localhost", timeout=15, why="localhost cannot be reached by name")


def test_serial_and_ssh_agree(node: SmokeNode) -> None:
    """Serial console and SSH lead to the same running system, and give the same results."""
    word = secrets.token_hex(8)
    # Of what is typed on a serial line Xen hands on seven bits of each byte (serial_rx_interrupt).
    letter = "u" if _below_xen(node) else "ü"
    for command in (
        "cat /proc/sys/kernel/random/boot_id",
        "id -u",
        f"echo {word}; echo '{word} gr{letter}n' >&2; exit 23",
        "printf 'no line end, \\303\\274'",
    ):
        # $$ gives each a shell of its own: a login that prints something is to be seen.
        ssh, serial = (node.run(f": $$; {command}", via=via) for via in ("ssh", "serial"))
        assert (ssh.exit_status, ssh.output) == (serial.exit_status, serial.output), (
            f"`{command}` gave {ssh.exit_status} {ssh.output!r} over SSH, "
            f"{serial.exit_status} {serial.output!r} over the serial console"
        )


def test_promised_software(node: SmokeNode, promise: str, commands: tuple[str, ...]) -> None:
    """The software that the role promises is on the node."""
    where = " || ".join(f"command -v {name}" for name in commands)
    found = node.run(f"PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin; {where}")
    assert found.ok, f"{promise} is promised, and the node has no {' or '.join(commands)}"
