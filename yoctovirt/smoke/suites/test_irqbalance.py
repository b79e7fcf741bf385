"""Suite irqbalance: the interrupts of devices are spread over the CPUs."""

from __future__ import annotations

import re
from typing import NoReturn

import pytest

from yoctovirt.smoke.checked import SmokeNode
from yoctovirt.smoke.cleanup import Undo
from yoctovirt.smoke.notrun import not_run
from yoctovirt.smoke.suites.aids.daemons import why_none_runs
from yoctovirt.smoke.suites.aids.waiting import until

UNITS = ("irqbalance.service",)
DIAGNOSTICS = (
    "cat /proc/interrupts",
    "grep -H . /proc/irq/*/smp_affinity_list",
    "irqbalance --version",
)
#: irqbalance looks every ten seconds; twice that, and some more.
_TWO_TURNS = 30


def online_cpus(text: str) -> list[int]:
    """Return the CPUs of a list like ``0-2,5``."""
    cpus: list[int] = []
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        cpus += range(int(first), int(last or first) + 1)
    return cpus


@pytest.fixture(scope="module")
def cpus(node: SmokeNode) -> list[int]:
    """Return the CPUs that are online."""
    return online_cpus(node.check("cat /sys/devices/system/cpu/online"))


def _says_useless(node: SmokeNode) -> None:
    """With one CPU irqbalance ends by itself, and must say why."""
    said = node.run("irqbalance --foreground --oneshot --debug 2>&1", timeout=30).output
    assert "ineffective on systems with a single" in said, (
        f"with one CPU irqbalance has nothing to spread and should say so, it said:\n{said[-500:]}"
    )


def _one_cpu(node: SmokeNode) -> NoReturn:
    _says_useless(node)
    not_run("the node has one CPU: there is nothing to spread, and irqbalance says so")


def _must_run(node: SmokeNode, cpus: list[int]) -> None:
    node.check("command -v irqbalance", why="irqbalance is not on the node")
    until(node, "pidof irqbalance", 20)
    wrong = why_none_runs(node, "irqbalance")
    assert not wrong, f"irqbalance does not run, and there are {len(cpus)} CPUs: {wrong}"


def test_daemon(node: SmokeNode, cpus: list[int]) -> None:
    """The daemon runs; where there is one CPU it has ended, with that reason."""
    if len(cpus) < 2:
        _says_useless(node)
        return
    _must_run(node, cpus)


def test_policy(node: SmokeNode, cpus: list[int]) -> None:
    """What the daemon was told leaves it CPUs to spread interrupts over."""
    if len(cpus) < 2:
        _one_cpu(node)
    _must_run(node, cpus)
    given = node.check(
        "pid=$(pidof irqbalance); tr '\\0' ' ' </proc/$pid/cmdline; echo\n"
        "tr '\\0' '\\n' </proc/$pid/environ | grep ^IRQBALANCE_ || true",
        timeout=20,
        why="irqbalance does not run",
    )
    assert "--oneshot" not in given, f"irqbalance is told to spread once and end: {given}"
    listed = re.search(r"IRQBALANCE_BANNED_CPULIST=(\S+)", given)
    mask = re.search(r"IRQBALANCE_BANNED_CPUS=(\S+)", given)
    banned = set(online_cpus(listed[1])) if listed else set()
    if mask:
        bits = int(mask[1].replace(",", ""), 16)
        banned |= {cpu for cpu in cpus if bits >> cpu & 1}
    left = [cpu for cpu in cpus if cpu not in banned]
    assert len(left) >= 2, (
        f"irqbalance may use the CPUs {left} of {cpus} only, so it spreads nothing; "
        f"it was given:\n{given}"
    )


def test_spread(node: SmokeNode, cpus: list[int], undo: Undo) -> None:
    """Interrupts that were all sent to one CPU are spread again, while their device is loaded."""
    if len(cpus) < 2:
        _one_cpu(node)
    node.check("pidof irqbalance", why="irqbalance does not run")
    first = cpus[0]
    # Those of drivers with managed interrupts (virtio-blk, NVMe) the kernel lets nobody move.
    moved = node.check(
        "for irq in /proc/irq/[0-9]*; do\n"
        '  grep -q "^ *${irq##*/}:.*-" /proc/interrupts || continue\n'
        f"  (echo {first} >$irq/smp_affinity_list) 2>/dev/null && echo ${{irq##*/}}\n"
        "done; true"
    ).split()
    devices = node.run(
        "grep -E '^ *(" + "|".join(moved) + "):' /proc/interrupts" if moved else "false"
    ).output
    assert len(moved) >= 2, f"fewer than two interrupts can be moved at all: {moved}\n{devices}"
    route = node.run("ip route show default")
    gateway = route.output.split() if route.ok else []
    target = gateway[2] if len(gateway) > 2 else "127.0.0.1"
    undo("kill $(cat /run/yoctovirt-load) 2>/dev/null; rm -f /run/yoctovirt-load")
    node.check(
        f"(while :; do ping -c 50 -i 0.02 -W 1 {target}; done) >/dev/null 2>&1 &\n"
        "echo $! >/run/yoctovirt-load\n"
        # Look at all interrupts anew: what was changed by hand it would leave alone.
        "kill -HUP $(pidof irqbalance)",
        why="irqbalance does not run",
    )
    lists = " ".join(f"/proc/irq/{irq}/smp_affinity_list" for irq in moved)
    spread = until(node, f"cat {lists} | grep -v '^{first}$'", _TWO_TURNS)
    assert spread.ok, (
        f"all interrupts were sent to CPU {first}, and after {_TWO_TURNS} s all still go there:\n"
        f"{devices}"
    )
