"""Commands over the serial console: real shells on real terminals."""

from __future__ import annotations

import shutil
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.boot.bridge import Terminal
from yoctovirt.boot.console import Console
from yoctovirt.boot.results import CommandTimeoutError, NodeUnreachableError
from yoctovirt.boot.serial import SerialShell
from yoctovirt.boot.watch import wait_for_login

SHELLS = {
    "bash": ["bash", "--norc", "-i"],
    "bash-login": ["bash", "--noprofile", "-l", "-i"],
    "dash": ["dash", "-i"],
    "busybox": ["busybox", "ash", "-i"],
}


def terminal_of(tmp_path: Path, shell: str, password: bool = False) -> Terminal:
    argv = SHELLS[shell]
    if shutil.which(argv[0]) is None:
        pytest.skip(f"{argv[0]} is not installed on this host")
    return Terminal(tmp_path / "serial.sock", *argv, password=password)


@pytest.fixture(params=list(SHELLS))
def terminal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Terminal]:
    made = terminal_of(tmp_path, request.param)
    yield made
    made.close()


@pytest.fixture
def bash(tmp_path: Path) -> Iterator[Terminal]:
    made = terminal_of(tmp_path, "bash")
    yield made
    made.close()


def shell_on(terminal: Terminal, scale: float = 1.0) -> SerialShell:
    return SerialShell(terminal.path, terminal.path.with_name("lock"), scale)


def test_from_the_login_prompt_to_exact_answers(terminal: Terminal) -> None:
    shell = shell_on(terminal)
    console = Console(terminal.path)
    wait_for_login(console, 20, lambda: None)
    with shell.session(console):
        shell.log_in(console, asked=True)
        assert [shell.run(f"exit {n}").exit_status for n in (0, 1, 7, 127, 255)] == [
            0, 1, 7, 127, 255
        ]  # fmt: skip
        assert shell.run("kill -9 $$").exit_status == 137
        assert shell.run("printf 'no line end'").output == "no line end"
        assert shell.run("true").output == ""
        assert shell.run("echo a; echo b >&2; echo; echo c").output == "a\nb\n\nc\n"
    console.close()
    # Another client of the console, later: the shell is still there.
    result = shell.run("echo 'ä €uro 😀 \"quoted\" $HOME `id` \\ *'")
    assert result.output == 'ä €uro 😀 "quoted" $HOME `id` \\ *\n'
    assert result.transport == "serial"
    long = "x" * 3000
    assert shell.run(f"echo {long}; printf %s {long} | wc -c").output == f"{long}\n3000\n"
    several = "for i in 1 2; do\n  echo $i 'it''s'\ndone\nexit 3"
    result = shell.run(several)
    assert (result.output, result.exit_status) == ("1 its\n2 its\n", 3)
    assert shell.run("cat; test -t 0 || echo no terminal").output == "no terminal\n"
    assert shell.run("no-such-command").exit_status == 127
    assert shell.run("echo yv-begin; echo yv-end:0:").output == "yv-begin\nyv-end:0:\n"


def test_commands_of_a_session_do_not_see_one_another(terminal: Terminal) -> None:
    """They share a shell from the second on; the login shell has the console again behind it."""
    shell = shell_on(terminal)
    with shell.session():
        assert shell.run("login_shell=$PPID; echo $PPID").exit_status == 0
        assert shell.run("cd /; WORD=1; export WORD; set -e; false; echo on").exit_status == 1
        here = shell.run("pwd").output
        assert shell.run('pwd; echo "${WORD:-none}"; false; echo on').output == f"{here}none\non\n"
        assert here != "/\n"
        assert [shell.run(f"exit {n}").exit_status for n in (0, 7, 255)] == [0, 7, 255]
        assert shell.run("cat; test -t 0 || test -t 1 || echo no terminal").output == (
            "no terminal\n"
        )
        # What could see the shell that they share has one of its own.
        one, other = (shell.run("echo $$").output for _ in range(2))
        assert one != other
        with pytest.raises(CommandTimeoutError) as caught:
            shell.run("echo begun; sleep 60", 1)
        assert caught.value.transcript.split() == ["begun"]
        assert shell.run("echo again").output == "again\n"
        standing = int(shell.run("exec sh -c 'echo $PPID'").output)
        assert shell.run("echo again").output == "again\n"
    deadline = time.monotonic() + 10
    while Path(f"/proc/{standing}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{standing}").exists()
    assert shell.run("echo and on").output == "and on\n"


def test_a_client_that_is_gone_leaves_a_shell(terminal: Terminal) -> None:
    """It was killed in its session: the next one's commands find the shell that it started."""
    shell = shell_on(terminal)
    with shell.session():
        shell.run("true")
        shell.run("true")
        shell._ready = False  # as if it had not come to the end
    other = shell_on(terminal)
    with other.session():
        assert [other.run(f"echo {n}").output for n in range(3)] == ["0\n", "1\n", "2\n"]
    assert other.run("echo 3; exit 5").exit_status == 5


def test_a_getty_left_flow_control_on(terminal: Terminal) -> None:
    """And somebody's Ctrl-S stopped the line."""
    shell = shell_on(terminal)
    shell.run("true")
    modes = termios.tcgetattr(terminal.slave)
    modes[0] |= termios.IXON | termios.IXOFF
    termios.tcsetattr(terminal.slave, termios.TCSANOW, modes)
    terminal.receive(b"\x13")
    assert shell.run("echo well").output == "well\n"
    assert not termios.tcgetattr(terminal.slave)[0] & (termios.IXON | termios.IXOFF)


def test_a_megabyte_comes_whole_and_in_time(bash: Terminal) -> None:
    start = time.monotonic()
    result = shell_on(bash).run("seq -f %09.0f 0 99999", timeout=50)
    assert result.output == "".join(f"{number:09d}\n" for number in range(100000))
    assert time.monotonic() - start < 50


def test_bytes_that_are_no_text_are_replaced(bash: Terminal) -> None:
    assert shell_on(bash).run(r"printf 'a\377b'").output == "a\ufffdb"


def test_lines_of_the_kernel_before_a_command_do_no_harm(bash: Terminal) -> None:
    shell = shell_on(bash)
    shell.run("true")
    bash.say(b"[  12.345678] eth0: link becomes ready\r\n[  12.4] login: not a login\r\n")
    assert shell.run("echo well").output == "well\n"
    bash.say(b"\x1b[?2004h\x1b[6n[  13.0] random: crng init done\r\n$ ")
    assert shell.run("echo well").output == "well\n"


def test_a_command_that_does_not_end(bash: Terminal) -> None:
    shell = shell_on(bash)
    shell.run("true")
    with pytest.raises(CommandTimeoutError, match="no end of the command within 1 s") as caught:
        shell.run("echo before; sleep 600; echo after", timeout=1)
    assert "before" in caught.value.transcript
    assert "after" not in caught.value.transcript
    assert caught.value.command.startswith("echo before")
    # The next one finds the shell again: that command was broken off.
    assert shell.run("echo again").output == "again\n"


def test_a_shell_that_was_left_is_entered_again(bash: Terminal) -> None:
    shell = shell_on(bash)
    assert shell.run("echo one").output == "one\n"
    with shell.session() as console:
        console.sendline("exit")
        wait_for_login(console, 20, lambda: None)
    assert shell.run("echo two").output == "two\n"


def test_a_wrong_name_given_before_us(bash: Terminal) -> None:
    shell = shell_on(bash)
    with shell.session() as console:
        console.sendline("nobody-of-that-name")
        assert console.expect(["Password: "], timeout=20) == 0
    assert shell.run("echo $((40 + 2))").output == "42\n"


def test_what_runs_there_is_interrupted(bash: Terminal) -> None:
    shell = shell_on(bash, scale=0.2)
    shell.run("true")
    with shell.session() as console:
        console.sendline("sleep 600")
    assert shell.run("echo free", timeout=60).output == "free\n"


def test_a_node_that_asks_for_a_password(tmp_path: Path) -> None:
    terminal = terminal_of(tmp_path, "bash", password=True)
    shell = shell_on(terminal)
    with pytest.raises(NodeUnreachableError, match="a password is asked for") as caught:
        shell.run("true")
    assert "empty-root-password" in caught.value.hint
    terminal.close()


def test_a_console_that_is_closed(bash: Terminal) -> None:
    shell = shell_on(bash)
    with shell.session() as console:
        shell.log_in(console, asked=False)
        bash.hang_up()
        with pytest.raises(NodeUnreachableError, match="closed"):
            shell.run("true")
    with pytest.raises(NodeUnreachableError, match="cannot be opened"):
        shell.run("true")


def test_nobody_answers(tmp_path: Path) -> None:
    from tests.unit.boot.bridge import Bridge

    mute = Bridge(tmp_path / "serial.sock")
    mute.say(b"Booting the kernel.\r\n")
    shell = SerialShell(mute.path, tmp_path / "lock", scale=0.05)
    with pytest.raises(NodeUnreachableError, match="no shell on the console") as caught:
        shell.run("true")
    assert "Booting the kernel." in caught.value.message
    mute.close()


def test_sessions_take_turns(bash: Terminal) -> None:
    import threading

    results: list[str] = []

    def work(number: int) -> None:
        results.append(shell_on(bash).run(f"sleep 0.1; echo {number}").output)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(results) == ["0\n", "1\n", "2\n", "3\n"]
