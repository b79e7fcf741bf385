"""Faults of a node that was ready: one node, from those that can be undone to the last one."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.integration.conftest import Yoctovirt, wait_for
from yoctovirt.boot.node import Node, find_node
from yoctovirt.boot.results import CommandTimeoutError, NodeRefusedError, NodeUnreachableError
from yoctovirt.boot.ssh import SshShell
from yoctovirt.config.workspace import find_workspace

pytestmark = [pytest.mark.node, pytest.mark.faults]


#: The daemons are not what is tested here, and on a busy host systemd must not give up the
#: console's device for lost.
LIGHT = (
    "--bootparams=systemd.mask=docker.service systemd.mask=openvswitch-switch.service",
    "--bootparams=systemd.default_timeout_start_sec=900",
    "--no-settle",
)


@pytest.fixture(scope="module")
def booted(reference: Yoctovirt) -> Iterator[Yoctovirt]:
    done = reference.run("boot", "reference", "--name", "faulty", "--detach", *LIGHT, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    yield reference
    reference.run("stop", "faulty", "--now")


@pytest.fixture
def node(booted: Yoctovirt) -> Iterator[Node]:
    found = find_node(find_workspace(booted.workspace), "faulty")
    yield found
    found.close()


def new_shell(node: Node, scale: float = 1.0) -> SshShell:
    return SshShell(node.address(), scale, node.trouble)


def test_sshd_stopped(node: Node) -> None:
    assert node.serial.run("systemctl stop ssh.service ssh.socket 2>/dev/null; true").ok
    try:
        with pytest.raises(NodeUnreachableError, match="does not answer within 6 s") as caught:
            new_shell(node).connect(6)
        assert "--ssh-timeout" in caught.value.hint
    finally:
        assert node.serial.run("systemctl start ssh.service").ok
    assert node.run("echo well").output == "well\n"


def test_wrong_key(node: Node) -> None:
    keys = "/root/.ssh/authorized_keys"
    assert node.serial.run(f"mv {keys} {keys}.away").ok
    try:
        with pytest.raises(NodeUnreachableError, match="refuses our key") as caught:
            new_shell(node).connect(60)
        assert "authorized_keys" in caught.value.hint
    finally:
        assert node.serial.run(f"mv {keys}.away {keys}").ok
    new_shell(node).connect(240)


def test_sshd_that_does_not_go_on(node: Node) -> None:
    """Our key is neither taken nor refused: that is told, and it is tried again."""
    waits = ("AuthorizedKeysCommand /bin/sleep 3000", "AuthorizedKeysCommandUser root")
    conf = "/etc/ssh/sshd_config"
    lines = "\\n".join(waits)
    assert node.serial.run(f"cp {conf} /root/; sed -i '1i {lines}' {conf}; "
                           "mv /root/.ssh/authorized_keys /root/.ssh/away; "
                           "systemctl restart ssh", timeout=120).ok  # fmt: skip
    try:
        with pytest.raises(NodeUnreachableError, match="no login came to its end") as caught:
            new_shell(node).connect(25)
        assert not isinstance(caught.value, NodeRefusedError)
        assert "(last: no answer to our key within" in caught.value.message
        assert "AuthorizedKeysCommand" in caught.value.hint
    finally:
        assert node.serial.run(f"mv /root/sshd_config {conf}; pkill -f '[s]leep 3000'; "
                               "mv /root/.ssh/away /root/.ssh/authorized_keys; "
                               "systemctl restart ssh", timeout=120).ok  # fmt: skip
    new_shell(node).connect(240)


def test_host_key_changed(node: Node) -> None:
    """A node that made itself a new key is met as a stranger: by us, and by OpenSSH."""
    key = "/etc/ssh/ssh_host_ed25519_key"
    made = node.serial.run(
        f"mkdir /root/kept; mv {key} {key}.pub /root/kept; ssh-keygen -q -t ed25519 -N '' -f {key} "
        "&& systemctl restart ssh", timeout=120,
    )  # fmt: skip
    try:
        assert made.ok, made.output
        with pytest.raises(NodeUnreachableError, match="is not the one of this node") as caught:
            new_shell(node).connect(240)
        assert "made a new key" in caught.value.hint
    finally:
        assert node.serial.run("mv -f /root/kept/* /etc/ssh/; systemctl restart ssh").ok
    new_shell(node).connect(240)


def test_cable_pulled(node: Node) -> None:
    """No packet passes, the node itself is well; afterwards it is used as if nothing had been."""
    card = next(
        line.split(":")[0] for line in node.qmp.hmp("info network").splitlines() if "model=" in line
    )
    assert node.run("true").ok
    node.qmp.execute("set_link", name=card, up=False)
    try:
        said = "sshd does not answer a new connection either"
        with pytest.raises((CommandTimeoutError, NodeUnreachableError), match=said):
            node.run("sleep 1; echo done", timeout=3)
        assert node.serial.run("echo by the console").output == "by the console\n"
    finally:
        node.qmp.execute("set_link", name=card, up=True)
    assert node.run("echo well", timeout=60).output == "well\n"


def test_clock_jump(node: Node, booted: Yoctovirt) -> None:
    """Ten years ahead while commands run: no deadline moves, and the check of the clock tells."""
    begun = time.monotonic()
    jump = "date -s '+10 years' >/dev/null; sleep 2; echo done"
    try:
        assert node.run(jump, timeout=30).output == "done\n"
        assert node.serial.run("sleep 1; date +%Y", timeout=30).output.strip() > "2030"
        assert node.run("echo well").output == "well\n"
        assert time.monotonic() - begun < 120
        done = booted.run("smoke", "faulty", "--suite", "base", "-k", "clock", timeout=300)
        assert done.returncode == 1, done.stdout + done.stderr
        assert "the clock of the node is +3" in done.stdout + done.stderr
    finally:
        assert node.run(f"date -s @{int(time.time())}").ok


def test_flood_while_commands_run(node: Node) -> None:
    """Somebody writes to the console without end; SSH does not mind, and serial still ends."""
    start = "nohup sh -c 'exec yes flood >/dev/ttyS0' >/dev/null 2>&1 & echo $!"
    writer = node.run(start).output.strip()
    try:
        size = node.console_log.stat().st_size
        wait_for(lambda: node.console_log.stat().st_size > size + 200_000, 30, "the flood")
        assert node.run("echo well").output == "well\n"
        assert node.trouble.deadly() is None
    finally:
        assert node.run(f"kill {writer}").ok
    # What the terminal still held back comes first.
    assert "over the flood" in node.serial.run("echo over the flood", timeout=120).output


def test_restart_that_was_announced(node: Node) -> None:
    before = node.run("cat /proc/sys/kernel/random/boot_id").output
    with node.expect_reboot(300):
        node.run("systemctl --no-block reboot -f")
    assert node.run("cat /proc/sys/kernel/random/boot_id").output != before


AGAIN = '''
"""Suite again: a node that is restarted by a check."""

import pytest

ALONE = True


@pytest.mark.deadline(300)
def test_comes_back(node):
    """What was written before is there after a restart."""
    node.check("echo before >/root/left; sync; touch /run/lost")
    with node.expect_reboot():
        node.run("systemctl reboot")
    assert node.check("cat /root/left") == "before\\n"
    node.check("test -e /run/lost", status=1, why="that was no restart")


def test_goes_on(node):
    """The next check has a node."""
    node.check("true")
'''
RUDE = '''
"""Suite rude: a node that restarts under a check."""

ALONE = True


def test_restarts(node):
    """Nobody has announced it."""
    node.check("sleep 2; COMMAND; sleep 300", timeout=400)


def test_never_reached(node):
    """Not run."""
    node.check("true")
'''


def own_suite(booted: Yoctovirt, name: str, text: str) -> None:
    folder = booted.workspace / "smoke"
    folder.mkdir(exist_ok=True)
    (folder / f"test_{name}.py").write_text(text)


def test_restart_by_a_check(node: Node, booted: Yoctovirt) -> None:
    own_suite(booted, "again", AGAIN)
    done = booted.run("smoke", "faulty", "--suite", "again", timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    run = booted.last_record()
    assert [(check["id"], check["outcome"]) for check in run["checks"]] == [
        ("again::comes_back", "passed"), ("again::goes_on", "passed"),
    ]  # fmt: skip
    assert node.run("true").ok


@pytest.mark.parametrize("command", ["echo b >/proc/sysrq-trigger", "systemctl reboot"])
def test_restart_that_nobody_announced(node: Node, booted: Yoctovirt, command: str) -> None:
    """Of a sudden, or in good order: the run ends with the reason, and no check waits for it."""
    own_suite(booted, "rude", RUDE.replace("COMMAND", command))
    node.ssh.connect(240)
    begun = time.monotonic()
    done = booted.run("smoke", "faulty", "--suite", "rude", timeout=900)
    taken = time.monotonic() - begun
    assert done.returncode == 5, done.stdout + done.stderr
    words = "node faulty broke under the checks: node faulty restarted, and nobody had announced it"
    assert words in done.stderr
    assert "with node.expect_reboot()" in done.stderr
    run = booted.last_record()
    assert run["error"]["broken"]["node"] == "faulty"
    first, second = run["checks"]
    assert "restarted, and nobody had announced it" in first["message"]
    assert second["message"].startswith("not run: node faulty restarted")
    assert taken < 240, "not the 20 minutes that the command had"
    node.close()
    node.ssh.connect(400)


def test_panic(node: Node, booted: Yoctovirt) -> None:
    """The command that caused it ends at once, with the kernel's line; so does the next call."""
    begun = time.monotonic()
    with pytest.raises(NodeUnreachableError, match="the kernel panicked") as caught:
        node.run("echo c > /proc/sysrq-trigger; sleep 300", timeout=300)
    assert time.monotonic() - begun < 60, "not the 20 minutes that the command had"
    assert "sysrq triggered crash" in caught.value.message
    done = booted.run("smoke", "faulty", "--suite", "base", timeout=300)
    assert done.returncode == 5, done.stdout + done.stderr
    checks = booted.last_record()["checks"]
    assert all(check["outcome"] != "passed" for check in checks)
    assert any("the kernel panicked" in check["message"] for check in checks)
