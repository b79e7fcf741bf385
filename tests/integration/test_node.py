"""A node that was left running: found, entered, tested by others, stopped."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

from tests.integration.conftest import Yoctovirt
from yoctovirt.boot.node import find_node
from yoctovirt.config.workspace import find_workspace

pytestmark = pytest.mark.node


def test_listed(node: Yoctovirt) -> None:
    done = node.run("nodes")
    assert "shared" in done.stdout
    assert "ready" in done.stdout
    (state,) = json.loads(node.run("nodes", "--json").stdout)
    assert state["detached"] is True
    assert state["timings"]["ssh"] > 0
    # Where the console asked first, that was before the end of the wait.
    assert state["timings"].get("login", 0.0) <= state["timings"]["ssh"]


@pytest.mark.parametrize("status", [0, 1, 7, 255])
def test_ssh_passes_the_exit_status(node: Yoctovirt, status: int) -> None:
    done = node.run("ssh", "shared", f"echo out; echo err >&2; exit {status}")
    assert done.returncode == status
    assert (done.stdout, done.stderr) == ("out\n", "err\n")


def test_ssh_command_with_options(node: Yoctovirt) -> None:
    done = node.run("ssh", "shared", "ls", "-d", "/etc", "--color=never")
    assert (done.returncode, done.stdout) == (0, "/etc\n")


def test_console_of_a_terminal(node: Yoctovirt) -> None:
    # SSH may have been there first: then nobody has logged in on the console.
    find_node(find_workspace(node.workspace), "shared").serial.run("true")
    argv = node.argv("console", "shared")
    child = pexpect.spawn(argv[0], argv[1:], encoding="utf-8", timeout=60, dimensions=(24, 200))
    try:
        child.expect("leave it with")
        child.sendline("echo serial-$((40 + 2))")
        child.expect("serial-42")
        assert "is in use" in node.run("console", "shared").stderr
        child.send("\x1d")
        child.expect(pexpect.EOF)
    finally:
        child.close()
    assert child.exitstatus == 0


def test_a_wrong_name_at_the_prompt_and_a_graceful_stop(fresh: Yoctovirt) -> None:
    """What was typed at the login prompt before us is no reason to give up."""
    done = fresh.run("boot", "--detach", "--no-settle")
    assert done.returncode == 0, f"without ROLE, the one built last: {done.stderr}"
    argv = fresh.argv("console", "reference")
    child = pexpect.spawn(argv[0], argv[1:], encoding="utf-8", timeout=60, dimensions=(24, 200))
    try:
        child.expect("leave it with")
        child.sendline("")  # a getty that has just come throws away what was typed before
        child.expect("login: ")
        child.sendline("nobody-of-that-name")
        child.expect("Password: $")
        child.send("\x1d")
        child.expect(pexpect.EOF)
    finally:
        child.close()
    found = find_node(find_workspace(fresh.workspace), "reference")
    assert found.serial.run("echo $((40 + 2))").output == "42\n"
    done = fresh.run("stop", "reference")
    assert (done.returncode, done.stdout) == (0, "reference: powered off\n")


def test_console_from_the_first_byte(fresh: Yoctovirt) -> None:
    argv = fresh.argv("boot", "reference", "--console")
    child = pexpect.spawn(argv[0], argv[1:], encoding="utf-8", timeout=300, dimensions=(24, 200))
    child.expect("leave it with")
    child.expect("login: ")
    child.sendline("root")
    child.expect("# ")
    child.send("\x1d")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def test_image_is_never_written(node: Yoctovirt) -> None:
    image = next((node.workspace / "build-reference" / "deploy").glob("*.ext4"))
    before = image.stat().st_mtime_ns
    assert node.run("ssh", "shared", "dd if=/dev/zero of=/big bs=1M count=50; sync").returncode == 0
    assert image.stat().st_mtime_ns == before


def test_serial_survives_long_and_strange_text(node: Yoctovirt) -> None:
    from yoctovirt.boot.results import CommandTimeoutError

    found = find_node(find_workspace(node.workspace), "shared")
    text = "äöü € 'quoted' \"twice\" $HOME `date` \\n " * 120
    result = found.serial.run("cat <<'END'\n" + text + "\nEND\n")
    assert result.output == text + "\n"
    assert found.serial.run("seq 1 20000").output.split() == [str(n) for n in range(1, 20001)]
    with pytest.raises(CommandTimeoutError) as caught:
        found.serial.run("echo begun; sleep 600", timeout=1)
    assert "begun" in caught.value.transcript
    assert found.serial.run("echo still there").output == "still there\n"
    with pytest.raises(CommandTimeoutError) as caught:
        found.ssh.run("echo begun; sleep 600", timeout=1)
    assert "begun" in caught.value.transcript
    assert found.ssh.run("exit 3").exit_status == 3
    found.close()


def test_wrong_host_key_is_refused(node: Yoctovirt) -> None:
    from dataclasses import replace

    from yoctovirt.boot.results import NodeUnreachableError
    from yoctovirt.boot.ssh import SshShell
    from yoctovirt.build.debian.overlay import make_keys

    found = find_node(find_workspace(node.workspace), "shared")
    other = replace(found.address(), host_key=make_keys().host_public)
    with pytest.raises(NodeUnreachableError, match="is not the one of this node"):
        SshShell(other, 4).run("true")


def user_tests(folder: Path, node: Yoctovirt, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, "."],
        cwd=folder, env=node.env, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


def test_fixtures_in_tests_of_users(node: Yoctovirt, tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(
        "def test_release(node):\n    assert 'Linux' in node.check('uname -s')\n"
        "def test_fails(node):\n    node.check('exit 4', why='broken on purpose')\n"
    )
    place = ("--yv-workspace", str(node.workspace), "--yv-node", "shared")
    done = user_tests(tmp_path, node, *place)
    assert "1 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    assert "broken on purpose: `exit 4` exited with 4" in done.stdout
    done = user_tests(tmp_path, node, *place[:2], "--yv-node", "sharde")
    assert done.returncode == 4
    assert "did you mean shared?" in done.stderr


def test_xdist_workers_share_the_node(node: Yoctovirt, tmp_path: Path) -> None:
    (tmp_path / "test_many.py").write_text(
        "import pytest\n"
        "@pytest.mark.parametrize('n', range(6))\n"
        "def test_boot_id(node, n):\n"
        "    via = 'serial' if n % 2 else 'ssh'\n"
        "    print('BOOT', node.check('cat /proc/sys/kernel/random/boot_id', via=via))\n"
    )
    place = ("--yv-workspace", str(node.workspace), "--yv-node", "shared")
    done = user_tests(tmp_path, node, *place, "-n", "2", "-rP")
    assert "6 passed" in done.stdout, done.stdout + done.stderr
    ids = {line for line in done.stdout.splitlines() if line.startswith("BOOT")}
    assert len(ids) == 1, ids


def test_node_booted_by_pytest(fresh: Yoctovirt, tmp_path: Path) -> None:
    """One boot for all workers; it ends with the run."""
    (tmp_path / "test_many.py").write_text(
        "import pytest\n"
        "@pytest.mark.parametrize('n', range(4))\n"
        "def test_name(node, n):\n    print('NODE', node.name, node.check('hostname'))\n"
    )
    place = ("--yv-workspace", str(fresh.workspace), "--yv-boot", "reference")
    done = user_tests(tmp_path, fresh, *place, "-n", "2", "-rP")
    assert "4 passed" in done.stdout, done.stdout + done.stderr
    names = {line for line in done.stdout.splitlines() if line.startswith("NODE")}
    assert len(names) == 1, names
    fresh.assert_nothing_left()


def test_plugin_does_nothing_without_a_node(tmp_path: Path, reference: Yoctovirt) -> None:
    (tmp_path / "test_mine.py").write_text(
        "import sys\n"
        "def test_nothing(request):\n"
        "    assert not {'paramiko', 'pexpect', 'yaml', 'rich'} & set(sys.modules)\n"
        "    assert request.config.pluginmanager.get_plugin('yoctovirt-session') is None\n"
    )
    done = user_tests(tmp_path, reference)
    assert "1 passed" in done.stdout, done.stdout + done.stderr
    (tmp_path / "test_mine.py").write_text("def test_node(node):\n    pass\n")
    assert "fixture 'node' not found" in user_tests(tmp_path, reference).stdout
