"""Suite libvirt: the daemon defines, runs, pauses and removes domains, networks, volumes."""

from __future__ import annotations

import re
import secrets
import xml.etree.ElementTree as ElementTree

import pytest

from yoctovirt.smoke.checked import SmokeNode
from yoctovirt.smoke.cleanup import Undo
from yoctovirt.smoke.notrun import not_run
from yoctovirt.smoke.suites.aids import busybox, guestrom
from yoctovirt.smoke.suites.aids.domains import VIRSH, Domain
from yoctovirt.smoke.suites.aids.waiting import OPEN, until

#: For the evidence of a check that failed.
UNITS = ("libvirtd.service", "virtqemud.service", "virtlogd.service", "virtnetworkd.service",
         "virtstoraged.service", "virtlxcd.service")  # fmt: skip
DIAGNOSTICS = (
    "virsh -c qemu:///system list --all",
    "tail -n 30 /var/log/libvirt/qemu/yoctovirt-*.log",
    "ls -l /dev/kvm /var/lib/libvirt /run/libvirt",
)


@pytest.fixture(scope="module")
def domain(node: SmokeNode, module_undo: Undo) -> Domain:
    """Define a domain; one serves several checks."""
    made = Domain(node, module_undo)
    made.define()
    return made


def test_daemon(node: SmokeNode) -> None:
    """The daemon answers, of one piece (libvirtd) or in parts (virtqemud), and knows its QEMU."""
    told = node.check(f"{VIRSH} version --daemon", why="libvirt's daemon does not answer")
    for what in ("Running hypervisor: QEMU", "Running against daemon:"):
        assert re.search(rf"{what} \d+\.\d+", told), f"virsh version does not say {what!r}:\n{told}"
    running = node.run("pidof libvirtd virtqemud").output.split()
    assert running, f"virsh got an answer, and neither libvirtd nor virtqemud runs:\n{told}"


def test_exit_status(node: SmokeNode) -> None:
    """Virsh ends with 0 where it could do its work, with 1 where it could not."""
    absent = f"yoctovirt-{secrets.token_hex(4)}"
    node.check(f"{VIRSH} list --all", why="virsh fails at a simple question")
    node.check(
        f"{VIRSH} dominfo {absent}",
        status=1,
        why="virsh was asked for a domain that is not there",
    )


def test_capabilities(node: SmokeNode) -> None:
    """The host's architecture is right, and there is an emulator for it that can be run."""
    text = node.check(f"{VIRSH} capabilities")
    root = ElementTree.fromstring(text)
    machine = node.check("uname -m").strip()
    arch = root.findtext("host/cpu/arch")
    assert arch == machine, f"libvirt says the host is {arch}, it is {machine}"
    emulators = [
        found.text
        for guest in root.iterfind("guest/arch")
        if guest.get("name") == machine and (found := guest.find("emulator")) is not None
    ]
    assert emulators, f"libvirt has found no emulator for {machine}"
    node.check(f"{emulators[0]} --version", why="the emulator that libvirt has found does not run")


def test_define_undefine(node: SmokeNode, undo: Undo) -> None:
    """A domain that is defined is listed with its UUID, one that is undefined is gone."""
    made = Domain(node, undo)
    made.define()
    listed = node.check(f"{VIRSH} list --all --name").split()
    assert made.name in listed, f"a domain was defined and is not listed: {listed}"
    assert made.state() == "shut off", f"a domain that was never started is {made.state()!r}"
    uuid = node.check(f"{VIRSH} domuuid {made.name}").strip()
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", uuid), f"UUID {uuid!r}"
    node.check(f"{VIRSH} undefine {made.name}")
    listed = node.check(f"{VIRSH} list --all --name").split()
    assert made.name not in listed, "a domain was undefined and is still listed"


def test_domain_runs(domain: Domain) -> None:
    """A domain of type qemu starts, its guest runs, and QEMU itself runs it."""
    domain.start()
    assert domain.state() == "running", f"the domain was started and is {domain.state()!r}"
    host = guestrom.host_of(domain.console(), domain.word)
    assert host == "TCGTCGTCGTCG", (
        f"a guest of type qemu is run by TCG, this one says {host!r}:\n{domain.console()}"
    )


def test_console(node: SmokeNode, domain: Domain) -> None:
    """What is typed on the domain's console comes to the guest, and its answer comes back."""
    domain.start()
    tty = node.check(f"{VIRSH} ttyconsole {domain.name}").strip()
    assert tty.startswith("/dev/"), f"the domain has no console: virsh ttyconsole gave {tty!r}"
    # QEMU looks once a second whether somebody has come to its terminal. The reader is stopped
    # in any case; a terminal that the shell itself opened would become the shell's own.
    out = node.run(
        f"out=$(mktemp); cat {tty} >$out & reader=$!\n"
        f"turns=0; until grep -aq count $out || [ $turns -ge 10 ]; do "
        f"turns=$((turns + 1)); sleep 1; done\n"
        f"printf Y >{tty} & wait $!\n"
        f"turns=0; until grep -aq heard $out || [ $turns -ge 10 ]; do "
        f"turns=$((turns + 1)); sleep 1; done\n"
        f"kill $reader; wait $reader; cat $out; rm -f $out",
        timeout=60,
    ).output
    assert "count" in out, f"nothing of what the guest says comes out of its console {tty}"
    assert "heard Y" in out, f"'Y' was typed on {tty}, the guest did not hear it:\n{out}"


def test_suspend_resume(node: SmokeNode, domain: Domain) -> None:
    """A suspended domain stands still; resumed, it goes on where it stood."""
    domain.start()
    lines = f"grep -ac count {domain.folder}/console.log"
    out = node.check(
        f"{VIRSH} suspend {domain.name} && {VIRSH} domstate {domain.name} && sleep 1 && "
        f"{lines} && sleep 2 && {lines}",
        why="the domain cannot be suspended",
    ).split("\n")
    state = next(word for word in out if word in ("paused", "running"))
    before, after = (int(word) for word in out if word.isdigit())
    assert state == "paused", f"a suspended domain is {state!r}"
    assert after == before, f"a suspended guest has counted on, from {before} to {after}"
    node.check(f"{VIRSH} resume {domain.name}", why="the domain cannot be resumed")
    goes_on = until(node, f"[ $({lines}) -gt {after} ]", 10)
    assert goes_on.ok, f"the domain was resumed, and its guest still stands at {after}"
    assert domain.state() == "running", f"a resumed domain is {domain.state()!r}"
    counted = guestrom.counts(domain.console())
    assert counted[: after + 1] == list(range(1, after + 2)), f"the guest began anew: {counted}"


def test_shutdown(node: SmokeNode, domain: Domain) -> None:
    """A domain that is asked to shut down gets the power button pressed and turns itself off."""
    domain.start()
    node.check(f"{VIRSH} shutdown {domain.name} --mode acpi")
    off = until(node, f'[ "$({VIRSH} domstate {domain.name})" = "shut off" ]', 20)
    said = domain.console()
    assert "power button" in said, f"the guest was not asked to turn off:\n{said[-300:]}"
    assert off.ok, f"the guest has turned itself off, the domain is {domain.state()!r}"


def test_domain_kvm(node: SmokeNode, undo: Undo) -> None:
    """A domain of type kvm runs under KVM."""
    offered = "<domain type='kvm'/>" in node.check(f"{VIRSH} capabilities")
    usable = node.run(OPEN.format("/dev/kvm"))
    if not usable.ok:
        assert not offered, f"libvirt offers kvm, and /dev/kvm cannot be opened: {usable.output}"
        # What KVM lacks is for the suite kvm to say, where the role promises it.
        not_run(
            f"KVM cannot be used on this node ({usable.output.strip()}), and libvirt offers no "
            "domain of type kvm, as it should"
        )
    assert offered, "/dev/kvm can be opened, and libvirt offers no domain of type kvm"
    made = Domain(node, undo, kind="kvm")
    made.define()
    made.start()
    host = guestrom.host_of(made.console(), made.word)
    assert host == "KVMKVMKVM", f"a guest of type kvm is run by {host!r}"


_LXC = """\
<domain type='lxc'>
  <name>{name}</name>
  <memory unit='MiB'>64</memory>
  <vcpu>1</vcpu>
  <os><type>exe</type><init>/bin/init</init></os>
  <devices>
    <filesystem type='mount'><source dir='{tree}'/><target dir='/'/></filesystem>
    <console type='pty'/>
  </devices>
</domain>
"""


def test_lxc_domain(node: SmokeNode, undo: Undo) -> None:
    """A domain of libvirt's LXC driver runs in namespaces of its own, and is removed."""
    virsh = "virsh -q -c lxc:///"
    node.check(f"{virsh} version", why="this libvirt has no LXC driver, or it does not start")
    node.check(
        "[ -e /sys/module/fuse ] || grep -q fuse /proc/filesystems || modprobe fuse",
        why="libvirt's LXC driver needs the kernel's fuse (CONFIG_FUSE_FS)",
    )
    name = f"yoctovirt-{secrets.token_hex(4)}"
    tree = busybox.make_tree(node)
    undo(f"rm -rf {tree} {tree}.xml")
    undo(f"{virsh} destroy {name} 2>/dev/null; {virsh} undefine {name} 2>/dev/null; true")
    node.put(
        f"#!/bin/sh\necho {name} pid $$ host $(hostname) >/tmp/said\n"
        f"ls /sys/class/net >>/tmp/said\nexec sleep 1000\n".encode(),
        f"{tree}/bin/init",
        0o755,
    )
    node.put(_LXC.format(name=name, tree=tree).encode(), f"{tree}.xml")
    node.check(f"{virsh} define {tree}.xml", why="an LXC domain cannot be defined")
    started = node.run(f"{virsh} start {name}")
    log = node.run(f"tail -n 5 /var/log/libvirt/lxc/{name}.log 2>&1").output
    assert started.ok, f"an LXC domain cannot be started\n{started.output}\n{log}"
    said = until(node, f"grep lo {tree}/tmp/said && cat {tree}/tmp/said", 15).output
    assert f"{name} pid 1 host {name}" in said, (
        f"the init of the domain should have PID 1 and the host name {name}, it said {said!r}"
    )
    state = node.check(f"{virsh} domstate {name}").strip()
    assert state == "running", f"the LXC domain was started and is {state!r}"
    ended = node.run(f"{virsh} destroy {name}")
    # libvirt may find that systemd removed the cgroup while it looked for the last process in it;
    # that is an error message, and the domain has ended all the same.
    assert ended.ok or "cgroup" in ended.output, f"the domain cannot be ended:\n{ended.output}"
    gone = until(node, f'[ "$({virsh} domstate {name})" = "shut off" ]', 15)
    assert gone.ok, f"the domain was ended, and is not shut off:\n{ended.output}"
    node.check(f"{virsh} undefine {name}", why="an LXC domain cannot be undefined")
    left = node.check(f"{virsh} list --all --name").split()
    assert name not in left, f"a removed LXC domain is still listed: {left}"


_NETWORK = """\
<network>
  <name>{name}</name>
  <bridge name='{bridge}' stp='off' delay='0'/>
  <ip address='10.213.{net}.1' netmask='255.255.255.0'>
    <dhcp><range start='10.213.{net}.10' end='10.213.{net}.19'/></dhcp>
  </ip>
</network>
"""


def test_network_dhcp(node: SmokeNode, undo: Undo) -> None:
    """A virtual network gives an address by DHCP, its gateway answers, and it can be removed."""
    tag = secrets.token_hex(3)
    name, bridge, space, net = f"yoctovirt-{tag}", f"yv{tag}", f"yv-{tag}", secrets.randbelow(250)
    mac = f"52:54:00:{tag[:2]}:{tag[2:4]}:{tag[4:]}"
    xml, script = f"/tmp/{name}.xml", f"/tmp/{name}.sh"
    undo(f"{VIRSH} net-destroy {name}; {VIRSH} net-undefine {name}; true")
    undo(f"ip netns del {space}; ip link del {bridge}o; rm -f {xml} {script}")
    node.put(_NETWORK.format(name=name, bridge=bridge, net=net).encode(), xml)
    # What udhcpc calls with what it was given.
    node.put(b'#!/bin/sh\n[ "$1" = bound ] || exit 0\nip addr add $ip/24 dev $interface\n'
             b'echo "lease $ip"\n', script, 0o755)  # fmt: skip
    node.check(f"{VIRSH} net-define {xml}", why="a network cannot be defined")
    node.check(f"{VIRSH} net-start {name}", why="a network cannot be started (dnsmasq?)")
    node.check(
        f"ip netns add {space} && ip link add {bridge}o type veth peer name {bridge}i && "
        f"ip link set {bridge}i address {mac} netns {space} && "
        f"ip link set {bridge}o master {bridge} up && "
        f"ip -n {space} link set {bridge}i up",
        why="a client cannot be put on the network's bridge",
    )
    got = node.run(
        f"{busybox.FIND}ip netns exec {space} $busybox udhcpc -i {bridge}i -n -q -f -t 8 "
        f"-T 2 -s {script} 2>&1",
        timeout=40,
    )
    lease = re.search(rf"lease (10\.213\.{net}\.1\d)\b", got.output)
    assert lease, f"a client on the network got no address by DHCP:\n{got.output}"
    node.check(
        f"ip netns exec {space} ping -c 1 -W 5 10.213.{net}.1",
        why="the network's gateway does not answer its client",
    )
    leases = node.check(f"{VIRSH} net-dhcp-leases {name}")
    assert re.search(rf"{mac}.*\b{lease[1]}\b", leases), f"the lease is not listed:\n{leases}"
    node.check(f"{VIRSH} net-destroy {name} && {VIRSH} net-undefine {name}")
    left = node.check(f"{VIRSH} net-list --all --name").split()
    assert name not in left, f"a removed network is still listed: {left}"
    assert not node.run(f"ip link show {bridge}").ok, f"its bridge {bridge} is still there"


def test_storage_pool(node: SmokeNode, undo: Undo) -> None:
    """A volume in a pool has its size, gives back what was put into it, and can be removed."""
    name = f"yoctovirt-{secrets.token_hex(4)}"
    target = f"/var/lib/libvirt/images/{name}"
    size, data = 4 << 20, f"/tmp/{name}"
    undo(f"rm -rf {target} {data} {data}.back")
    undo(f"{VIRSH} pool-destroy {name}; {VIRSH} pool-undefine {name}; true")
    node.check(
        f"{VIRSH} pool-define-as {name} dir --target {target} && {VIRSH} pool-build {name} && "
        f"{VIRSH} pool-start {name}",
        why="a storage pool cannot be made",
    )
    node.check(
        f"{VIRSH} vol-create-as {name} one.img {size} --allocation {size} --format raw",
        why="a volume cannot be made",
    )
    on_disk = int(node.check(f"wc -c <{target}/one.img"))
    assert on_disk == size, f"a volume of {size} bytes has {on_disk} on the disk"
    node.check(
        f"head -c {size} /dev/urandom >{data} && "
        f"{VIRSH} vol-upload one.img {data} --pool {name} && "
        f"{VIRSH} vol-download one.img {data}.back --pool {name} && cmp {data} {data}.back",
        why="a volume does not give back what was put into it",
    )
    node.check(f"{VIRSH} vol-delete one.img --pool {name}")
    assert not node.run(f"[ -e {target}/one.img ]").ok, "a volume was deleted and is there"
    node.check(f"{VIRSH} pool-destroy {name} && {VIRSH} pool-undefine {name}")
    left = node.check(f"{VIRSH} pool-list --all --name").split()
    assert name not in left, f"a removed pool is still listed: {left}"
