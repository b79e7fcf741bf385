"""Suite system: kernel features, time, entropy, logs, and whether this is what was built."""

from __future__ import annotations

import re

import pytest

from yoctovirt.smoke.checked import SmokeNode
from yoctovirt.smoke.notrun import not_run
from yoctovirt.smoke.session import session_of
from yoctovirt.smoke.suites.aids.daemons import why_none_runs
from yoctovirt.smoke.suites.aids.features import FEATURES, features_for
from yoctovirt.smoke.suites.aids.kernelconfig import describe, read_config
from yoctovirt.smoke.suites.aids.packages import differences, read_installed

ALWAYS = True
DIAGNOSTICS = ("lsmod", "mount", "cat /proc/cgroups", "cat /proc/filesystems")

#: Lines at the level "error" that a sound node may have, each with the reason.
_HARMLESS = (
    r"tsc: (Fast TSC calibration failed|Unable to calibrate)",  # emulated; another way follows
    r"TSC deadline timer|tsc: Marking TSC unstable",
    r"regulatory\.(0|db)",  # a module for radio looks for its rules
    r"firmware_class: See https://",  # says where to read on; what is missing has its own line
    r"blk_update_request: I/O error, dev fd0|I/O error, dev (fd|sr)0",  # drives without a medium
    r"i8042: (No controller found|Can't read CTR)",  # QEMU without a keyboard
    r"kvm.*: ([Uu]nhandled|[Ii]gnored) ((rd|wr)msr|(RD|WR)MSR)|kvm: .*disabled by bios",
    r"Memory cgroup out of memory: Killed process",  # a container's limit that was kept
    r"(libvirtd|virt\w+d)\[\d+\]: ",  # what it told its clients ("Domain not found"); see libvirt
    r"ata\d.*: (SRST|COMRESET) failed",  # slow emulated disks, tried again
    r"RAS: Correctable Errors collector",
    r"mitigation|Speculat|Spectre|MDS CPU bug|RETBleed|SRSO",  # of the host's CPU, not of the node
    r"bpf.*not supported|BPF: .*failed to load",
    r"sshd.*(kex_exchange_identification|Connection (reset|closed) by|MaxStartups)",
    r"audit: (error|backlog)",
    r"getty\[\d+\]: checkname failed",  # what was typed on the console was no name
    r"Failed to (find|insert) module '(autofs4|configs|ip_tables|fuse|msr|dm_mod|efi_pstore)'",
)
_TIME_SERVICES = ("chronyd", "ntpd", "systemd-timesyncd", "openntpd")
_TIME_PATHS = ("/usr/sbin", "/usr/bin", "/usr/lib/systemd", "/lib/systemd")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one check of each kernel feature that the promises of the nodes ask for."""
    if "feature" in metafunc.fixturenames:
        session = session_of(metafunc.config)
        names = session.spread(metafunc) if session else []
        if names:
            rows = [
                (name, feature)
                for name in names
                for feature in features_for(session.promise_commands(name))
            ]
            metafunc.parametrize(("node", "feature"), rows, indirect=["node"], scope="session",
                                 ids=[f"{name}-{feature}" for name, feature in rows])  # fmt: skip
            return
        metafunc.parametrize("feature", features_for(session.promise_commands() if session else []))


@pytest.fixture(scope="module")
def config(node: SmokeNode) -> dict[str, str] | None:
    """Return the configuration of the kernel, for messages."""
    return read_config(node)


def test_kernel_feature(node: SmokeNode, config: dict[str, str] | None, feature: str) -> None:
    """A feature of the kernel that the role's software asks for is there: it is really used."""
    wanted = FEATURES[feature]
    tried = node.run(f"set -e\n{wanted.script}", timeout=30)
    assert tried.ok, (
        f"{feature} does not work (it is for {wanted.meaning}): {tried.output.strip()}\n"
        f"{describe(config, wanted.options)}"
    )


def test_time_service(node: SmokeNode) -> None:
    """The service that keeps the time runs; without one, clock and hardware clock agree."""
    there = " || ".join(
        f"[ -x {folder}/{name} ]" for name in _TIME_SERVICES for folder in _TIME_PATHS
    )
    if node.run(there).ok:
        wrong = why_none_runs(node, *_TIME_SERVICES)
        assert not wrong, f"a time service is installed, none of {_TIME_SERVICES} runs: {wrong}"
        return
    told = node.check(
        "cat /sys/class/rtc/rtc0/since_epoch && date +%s",
        why="there is neither a time service nor a hardware clock",
    ).split()
    apart = int(told[1]) - int(told[0])
    assert abs(apart) <= 2, (
        f"there is no time service, and the clock is {apart:+d} s from the hardware clock"
    )


def test_entropy(node: SmokeNode) -> None:
    """The kernel has entropy: random numbers come at once, and differ."""
    pool = int(node.check("cat /proc/sys/kernel/random/entropy_avail"))
    assert pool >= 128, f"the kernel has {pool} bits of entropy: give the node a virtio-rng"
    read = "dd if=/dev/random bs=32 count=1 2>/dev/null | od -v -An -tx1 | tr -d ' \\n'"
    one, other = (
        node.check(read, timeout=15, why="/dev/random gives nothing").strip() for _ in range(2)
    )
    assert len(one) == 64, f"/dev/random gave {len(one) // 2} of 32 bytes"
    assert one != other, f"/dev/random gave the same twice: {one}"


def test_log_errors(node: SmokeNode) -> None:
    """Neither journal nor kernel log has errors that a sound node would not have."""
    if node.run("[ -d /run/systemd/system ]").ok:
        log = node.check("journalctl -q -b -p err --no-pager -o short-monotonic")
    else:
        # Each line begins with facility * 8 + level; 0 to 3 are errors.
        raw = node.check("dmesg -r")
        log = "\n".join(
            found[2]
            for found in re.finditer(r"^<(\d+)>(.*)$", raw, re.MULTILINE)
            if int(found[1]) & 7 <= 3
        )
    bad = [
        line
        for line in log.splitlines()
        if line.strip() and not any(re.search(known, line) for known in _HARMLESS)
    ]
    assert not bad, f"{len(bad)} errors in the log:\n" + "\n".join(bad[:20])


def test_kernel_as_built(node: SmokeNode) -> None:
    """The kernel that runs is the one of the image's manifest, and its modules are there."""
    release = node.check("uname -r").strip()
    packages = {name for name, _, _ in node.built().packages()}
    kernels = sorted(
        name for name in packages if re.match(r"(kernel|linux)-image-(\w+-)?\d|kernel-\d", name)
    )
    if kernels:
        assert any(release in name for name in kernels), (
            f"Linux {release} runs, the image was built with {', '.join(kernels)}"
        )
    modular = any(name.startswith(("kernel-module-", "linux-image-")) for name in packages)
    assert not modular or node.run(f"[ -s /lib/modules/{release}/modules.dep ]").ok, (
        f"the image has modules, and none for the kernel that runs: no /lib/modules/{release}"
    )


def test_packages_as_built(node: SmokeNode) -> None:
    """What is installed is what the image's manifest says, version by version."""
    manifest = node.built().packages()
    assert manifest, f"the image {node.built().image} was built without a manifest"
    installed = read_installed(node)
    if installed is None:
        not_run("the image has no database of packages to compare with its manifest")
    different = differences(manifest, installed)
    assert not different, f"{len(different)} packages are not as built:\n" + "\n".join(
        different[:20]
    )
