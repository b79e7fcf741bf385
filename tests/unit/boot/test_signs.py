"""What console output means: lines as kernels, systemd and initramfs print them."""

from __future__ import annotations

import random
import time

import pytest

from yoctovirt.boot.signs import SIGNS, ConsoleWatch

LINES = {
    "root": [
        '[    2.081234] VFS: Cannot open root device "vdz" or unknown-block(0,0): error -6',
        "initrd: VFS: Unable to mount root fs on /dev/vdz",
        "ALERT!  /dev/disk/by-label/x does not exist.  Dropping to a shell!",
        "Gave up waiting for root file system device.  Common problems:",
        "Cannot find rootfs.img file in /run/media/* , dropping to a shell",
    ],
    "panic": [
        "[    3.1] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100",
        "Kernel panic - not syncing: sysrq triggered crash",
    ],
    "soft-lockup": [
        "[   56.0] watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [swapper/0:1]",
        "[   21.0] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
        "[   21.0] rcu: INFO: rcu_sched self-detected stall on CPU",
        "[   60.0] BUG: workqueue lockup - pool cpus=0 node=0 flags=0x0 nice=0 stuck for 33s!",
        "[   60.0] NMI watchdog: Watchdog detected hard LOCKUP on cpu 1",
    ],
    "hung-task": ["[  242.7] INFO: task mount:123 blocked for more than 120 seconds."],
    "oops": [
        "[    9.9] BUG: kernel NULL pointer dereference, address: 0000000000000000",
        "[    9.9] BUG: unable to handle page fault for address: ffffffffdeadbeef",
        "[    9.9] Unable to handle kernel NULL pointer dereference at virtual address 00000000",
        "[    9.9] Internal error: Oops: 0000000096000004 [#1] SMP",
        "[    9.9] Oops: 0010 [#1] PREEMPT SMP NOPTI",
        "[    9.9] general protection fault, probably for non-canonical address 0x0: 0000 [#1]",
        "[    9.9] invalid opcode: 0000 [#1] PREEMPT SMP",
        "[    9.9] divide error: 0000 [#1] SMP",
    ],
    "bug": [
        "[    9.9] kernel BUG at mm/slub.c:305!",
        "[    9.9] BUG: KASAN: use-after-free in kobject_get+0x1/0x2",
        "BUG: scheduling while atomic: swapper/0/0/0x00000002",
    ],
    "memory": [
        "[    9.9] Out of memory and no killable processes...",
        "[    9.9] Out of memory: Killed process 1 (systemd) total-vm:100kB",
    ],
    "emergency": [
        'You are in emergency mode. After logging in, type "journalctl -xb" to view',
        "You are in rescue mode. After logging in",
        "Give root password for maintenance",
        "Press Enter for maintenance",
        "Cannot open access to console, the root account is locked.",
        "[\x1b[0;32m  OK  \x1b[0m] Reached target \x1b[0;1;39memergency.target\x1b[0m - Emergency "
        "Mode.",
    ],
    "initramfs": ["(initramfs) ", "dracut:/# ", "mount failed, dropping to a shell"],
    "boot-loader": ["No bootable device.", "BdsDxe: No bootable option or device was found."],
    "getty": ['INIT: Id "S0" respawning too fast: disabled for 5 minutes'],
}
#: What services and healthy kernels print.
HARMLESS = [
    "[    0.5] Kernel command line: root=/dev/vda rw panic=5 BUG_ON=1",
    "myservice[12]: BUG: please report",
    "traps: foo[123] general protection fault ip:55 sp:7f error:0 in foo",
    "[    1.0] VFS: Mounted root (ext4 filesystem) readonly on device 254:0.",
    "Out of memory: Killed process 1234 (stress) total-vm:100kB",
    "[\x1b[0;32m  OK  \x1b[0m] Reached target \x1b[0;1;39mmulti-user.target\x1b[0m - Multi-User.",
    "Generating initramfs image",
    "[    0.3] rcu: Hierarchical RCU implementation.",
    "Last login: Sat Nov 21 on ttyS0",
    "         Starting emergency-broadcast.service - Broadcast...",
    "[    0.9] Freeing initrd memory: 4096K",
]


def test_every_sign_has_its_lines() -> None:
    assert set(LINES) == {sign.name for sign in SIGNS}


@pytest.mark.parametrize(
    ("name", "line"), [(name, line) for name, lines in LINES.items() for line in lines]
)
def test_a_line_is_understood(name: str, line: str) -> None:
    watch = ConsoleWatch()
    end = "" if line.endswith(" ") else "\r\n"
    watch.feed(f"[    0.1] before\r\n{line}{end}")
    assert watch.finding is not None, line
    assert watch.finding.sign.name == name


@pytest.mark.parametrize("line", HARMLESS)
def test_a_harmless_line_is_none(line: str) -> None:
    watch = ConsoleWatch()
    watch.feed(f"{line}\r\n")
    assert watch.finding is None
    assert not watch.login


def test_a_line_may_come_in_any_pieces() -> None:
    text = "".join(f"{line}\r\n" for line in HARMLESS) + LINES["oops"][0] + "\r\nnode login: "
    for seed in range(50):
        choose, watch, rest = random.Random(seed), ConsoleWatch(), text
        while rest:
            size = choose.randint(1, 40)
            watch.feed(rest[:size])
            rest = rest[size:]
        assert watch.finding is not None
        assert watch.finding.sign.name == "oops"
        assert watch.login


def test_what_the_role_allows_is_no_failure() -> None:
    line = LINES["bug"][1]
    watch = ConsoleWatch(allowed=["BUG: KASAN: .* in kobject_get"])
    watch.feed(f"{line}\r\n")
    assert watch.finding is None
    watch.feed(LINES["bug"][0] + "\n")
    assert watch.finding is not None, "another line is not allowed"


def test_under_tcg_the_time_of_a_slow_host_is_no_failure() -> None:
    for name in ("soft-lockup", "hung-task"):
        quick, slow = ConsoleWatch(), ConsoleWatch(patient=True)
        for watch in (quick, slow):
            watch.feed(LINES[name][0] + "\n")
        assert quick.finding is not None
        assert slow.finding is None
        assert [remark.sign.name for remark in slow.remarks] == [name]
    slow.feed(LINES["panic"][0] + "\n")
    assert slow.finding is not None


def test_phases_come_with_their_times() -> None:
    now = [100.0]
    watch = ConsoleWatch(clock=lambda: now[0])
    for after, text in (
        (1.0, "SeaBIOS (version 1.16)\r\n"),
        (2.0, "[    0.000000] Linux version 6.1.0 (gcc)\r\n"),
        (3.5, "systemd[1]: systemd 252 running in system mode\r\n"),
        (9.0, "node login: "),
    ):
        now[0] = 100.0 + after
        watch.feed(text)
    assert watch.phases == {"firmware": 1.0, "kernel": 2.0, "init": 3.5, "login": 9.0}
    assert watch.kernels == 1


def test_binary_bytes_and_escape_codes_confuse_nothing() -> None:
    noise = random.Random(7).randbytes(200_000).decode("utf-8", "replace").replace("\n", " ")
    watch = ConsoleWatch()
    watch.feed(f"{noise}\n\x1b[2J\x1b[1;1Hnode\x1b[0m \x1b[1mlogin:\x1b[0m ")
    assert watch.login
    watch = ConsoleWatch()
    watch.feed(f"{noise}\n[ 1.0] \x1b[31mKernel panic\x1b[0m - not syncing: x\r\n")
    assert watch.finding is not None


def test_a_flood_costs_little_and_is_not_kept() -> None:
    watch = ConsoleWatch()
    flood = "y\n" * 500_000
    start = time.process_time()
    for _ in range(10):
        watch.feed(flood)
    assert time.process_time() - start < 5.0, "10 MB"
    assert len(watch.text) < 1_000_000
    watch.feed("x" * 3_000_000)
    assert len(watch.text) < 1_000_000
    watch.feed("\n[  9.9] Kernel panic - not syncing: after all\n")
    assert watch.finding is not None
