"""Commands over SSH: a server in this process that runs real shells."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.boot.sshd import Place
from yoctovirt.boot.results import CommandTimeoutError, NodeUnreachableError
from yoctovirt.boot.subshell import needs_its_own


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Callable[..., Place]]:
    made: list[Place] = []

    def make(shell: str = "bash", most: int = 10) -> Place:
        path = shutil.which("busybox" if shell == "ash" else shell)
        if path is not None and shell == "ash":
            (tmp_path / "ash").symlink_to(path)
            path = str(tmp_path / "ash")
        if path is None:
            pytest.skip(f"{shell} is not installed on this host")
        made.append(Place(tmp_path, path, most))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.mark.parametrize("name", ["bash", "dash", "ash", "zsh"])
def test_a_shell_stays_and_commands_do_not_see_one_another(
    place: Callable[..., Place], name: str
) -> None:
    there = place(name)
    run = there.shell.run
    for _ in range(3):
        assert run("exit 0").exit_status == 0
    assert there.server.commands == ["exit 0"] * 3
    assert run("cd /; export WORD=1; set -e; false; echo on").exit_status == 1
    here = Path.cwd()
    assert run('pwd; echo "${WORD:-none}"; false; echo on').output == f"{here}\nnone\non\n"
    assert [run(f"exit {n}").exit_status for n in (0, 1, 7, 127, 255)] == [0, 1, 7, 127, 255]
    assert run("printf 'no line end'").output == "no line end"
    assert run("echo a; echo b >&2; echo; echo c").output == "a\nb\n\nc\n"
    assert run("cat; test -t 0 || echo no terminal").output == "no terminal\n"
    assert run("for i in 1 2; do\n  echo $i 'it''s'\ndone\nexit 3").output == "1 its\n2 its\n"
    assert run("no-such-command").exit_status == 127
    assert run("if").exit_status != 0
    assert run("head -c 3000000 /dev/zero | tr '\\0' x").output == "x" * 3_000_000
    assert run("sh -c 'kill -9 \"$1\"' - 1 2>/dev/null; exec sh -c 'exit 4'").exit_status == 4
    # One session was enough for all of these.
    assert there.server.commands[3:] == ['exec "$SHELL"']


def test_what_could_tell_has_a_session_of_its_own(place: Callable[..., Place]) -> None:
    there = place()
    for _ in range(4):
        there.shell.run("true")
    before = len(there.server.commands)
    assert there.shell.run("(sleep 0.3; echo late) & echo soon").output == "soon\nlate\n"
    assert there.shell.run("echo $$").output == f"{there.server.children[-1].pid}\n"
    long = "x" * 5000
    assert there.shell.run(f"echo {long}").output == f"{long}\n"
    came: list[bytes] = []
    assert there.shell.run("echo followed", follow=came.append).exit_status == 0
    assert b"".join(came) == b"followed\n"
    assert len(there.server.commands) == before + 4
    assert there.shell.run("echo and on").output == "and on\n"
    assert len(there.server.commands) == before + 4


@pytest.mark.parametrize(
    ("command", "own"),
    [
        ("ls && cat x 2>&1 >/dev/null", False), ("ls &>/dev/null", False), ("ls <&3", False),
        ("echo $HOME ${x:-y} $? $1", False), ("sleep 9 &", True), ("a & b", True),
        ("echo $$", True), ("echo ${$}", True), ("echo $PPID", True), ("echo $!", True),
        ("echo $0", True), ("echo ${BASHPID}", True), ("nohup x", True), ("x" * 4001, True),
    ],
)  # fmt: skip
def test_needs_its_own(command: str, own: bool) -> None:
    assert needs_its_own(command) is own


def test_a_login_shell_that_is_no_posix_shell(
    place: Callable[..., Place], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """fish, and the menu of an appliance: each command has a session, and nothing is lost."""
    monkeypatch.setattr("yoctovirt.boot.sshturn._ANSWER", 1.0)
    there = place("fish")
    assert [there.shell.run(f"echo {n}").output for n in range(6)] == [f"{n}\n" for n in range(6)]
    assert there.server.commands.count('exec "$SHELL"') == 1


def test_a_server_that_runs_no_shell(place: Callable[..., Place]) -> None:
    there = place()
    there.server.refused = 'exec "$SHELL"'
    assert [there.shell.run(f"echo {n}").output for n in range(6)] == [f"{n}\n" for n in range(6)]
    assert there.server.commands.count('exec "$SHELL"') == 1


def test_one_session_at_a_time(place: Callable[..., Place]) -> None:
    """sshd's MaxSessions 1: no shell stays, and the commands go on."""
    there = place(most=1)
    assert [there.shell.run(f"echo {n}").output for n in range(6)] == [f"{n}\n" for n in range(6)]
    there.shell.put(b"there", str(there.shell.address.key) + ".copy")
    assert there.shell.run("echo & wait").exit_status == 0


def test_the_shell_that_stays_is_killed(place: Callable[..., Place]) -> None:
    there = place()
    for _ in range(4):
        there.shell.run("true")
    standing = there.server.children[-1].pid
    started = time.monotonic()
    with pytest.raises(NodeUnreachableError, match="ended a command without a status"):
        there.shell.run(f"kill -9 {standing}", 20)
    assert time.monotonic() - started < 10
    assert there.shell.run("echo again").output == "again\n"
    assert there.server.commands[-1] == 'exec "$SHELL"'


def test_a_deadline_keeps_what_came(place: Callable[..., Place]) -> None:
    there = place()
    for _ in range(4):
        there.shell.run("true")
    with pytest.raises(CommandTimeoutError) as caught:
        there.shell.run("echo begun; sleep 60", 1)
    assert caught.value.transcript == "begun\n"
    assert there.shell.run("echo again").output == "again\n"
