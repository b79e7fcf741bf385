"""Nothing is left behind: real processes, really killed."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.processes import SECONDS, alive, wait_for, wait_until_absent, wait_until_gone
from yoctovirt.base.files import Lock, is_locked
from yoctovirt.base.process import Guarded


@pytest.fixture
def pids(tmp_path: Path) -> Iterator[Path]:
    """File for process ids; whatever is still there at the end is killed."""
    path = tmp_path / "pids"
    yield path
    if path.exists():
        for word in path.read_text().split():
            if alive(int(word)):
                os.kill(int(word), signal.SIGKILL)


# A family: the command, a child, a child in a session of its own, and a daemon that
# has forked twice, closed all its files and ignores polite signals, as some do.
FAMILY = """
import os, signal, subprocess, sys, time
out = sys.argv[1]
def say():
    with open(out, "a") as file:
        file.write(f"{os.getpid()}\\n")
if os.fork() == 0:
    say(); signal.pause()
if os.fork() == 0:
    os.setsid(); say(); signal.pause()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        os.chdir("/"); os.closerange(0, 64); say()
        while True: signal.pause()
    os._exit(0)
say()
while True: signal.pause()
"""

OWNER = """
import sys, time
from pathlib import Path
from yoctovirt.base.files import Lock
from yoctovirt.base.process import Guarded
base = Path(sys.argv[1])
lock = Lock(base / "node.lock"); assert lock.acquire()
guarded = Guarded([sys.executable, "-c", sys.argv[2], str(base / "pids")], lock=lock, grace=0.1,
                  output=(base / "log").open("wb"), remove=[base / "removed"],
                  discard=[base / "discarded", base / "link"])
lock.release()
print(guarded.pid, flush=True)
sys.stdin.read()
if sys.argv[3] == "detach":
    guarded.detach()
if sys.argv[3] == "raise":
    raise RuntimeError("unexpected")
"""


class Owner:
    """A process of yoctovirt that owns a guarded family of processes."""

    guard = 0

    def __init__(self, base: Path, way: str = "wait") -> None:
        self.base = base
        for name in ("removed", "discarded", "kept"):
            (base / name / "below").mkdir(parents=True)
            (base / name / "below" / "file").write_text("x")
        (base / "link").symlink_to(base / "kept")
        self.process = subprocess.Popen(
            [sys.executable, "-c", OWNER, str(base), FAMILY, way],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.family: list[int] = []

    def started(self) -> Owner:
        assert self.process.stdout is not None
        self.guard = int(self.process.stdout.readline())
        self.family = wait_for(self.base / "pids", 4)
        return self

    def end(self) -> str:
        """Let it end by itself, and return what it printed on standard error."""
        return self.process.communicate(timeout=SECONDS)[1]


StartOwner = Callable[..., Owner]


@pytest.fixture
def start_owner(tmp_path: Path, pids: Path) -> Iterator[StartOwner]:
    owners: list[Owner] = []

    def start(way: str = "wait") -> Owner:
        owners.append(Owner(tmp_path, way))
        return owners[-1].started()

    yield start
    for owner in owners:
        if alive(owner.guard):
            os.kill(owner.guard, signal.SIGTERM)
        with owner.process:
            owner.process.kill()


def assert_nothing_left(base: Path, owner: Owner) -> None:
    wait_until_gone(owner.guard, *owner.family)
    assert not (base / "removed").exists()
    assert not (base / "discarded").exists()
    # A link is removed, not what it points to.
    assert not (base / "link").is_symlink()
    assert (base / "kept" / "below" / "file").exists()
    assert not is_locked(base / "node.lock")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGSEGV])
def test_no_process_outlives_an_owner_that_is_killed(
    tmp_path: Path, start_owner: StartOwner, number: signal.Signals
) -> None:
    owner = start_owner()
    assert is_locked(tmp_path / "node.lock")
    assert all(alive(pid) for pid in (owner.guard, *owner.family))
    owner.process.send_signal(number)
    owner.end()
    assert_nothing_left(tmp_path, owner)


@pytest.mark.parametrize("way", ["wait", "raise"])
def test_no_process_outlives_an_owner_that_forgets(
    tmp_path: Path, start_owner: StartOwner, way: str
) -> None:
    owner = start_owner(way)
    errors = owner.end()
    assert ("RuntimeError: unexpected" in errors) == (way == "raise")
    assert_nothing_left(tmp_path, owner)


def test_a_detached_command_lives_on_until_its_guard_is_told(
    tmp_path: Path, start_owner: StartOwner
) -> None:
    owner = start_owner("detach")
    errors = owner.end()
    assert owner.process.returncode == 0, errors
    assert errors == ""
    guard = os.pidfd_open(owner.guard)
    assert select.select([guard], [], [], 1.0)[0] == []
    os.close(guard)
    assert all(alive(pid) for pid in (owner.guard, *owner.family))
    assert is_locked(tmp_path / "node.lock")
    assert (tmp_path / "removed").exists()
    # This is what "yoctovirt stop" does.
    os.kill(owner.guard, signal.SIGTERM)
    assert_nothing_left(tmp_path, owner)


def test_a_guard_that_is_signalled_from_a_terminal_goes_on(
    tmp_path: Path, start_owner: StartOwner
) -> None:
    # Ctrl-C reaches the whole process group: the owner decides what it means.
    owner = start_owner()
    os.kill(owner.guard, signal.SIGINT)
    os.kill(owner.guard, signal.SIGHUP)
    assert os.getpgid(owner.guard) != os.getpgid(owner.process.pid)
    with pytest.raises(subprocess.TimeoutExpired):
        owner.process.wait(0.3)
    assert all(alive(pid) for pid in owner.family)
    owner.process.kill()
    owner.end()
    assert_nothing_left(tmp_path, owner)


# Normal ends --------------------------------------------------------------------


def ended(guarded: Guarded) -> int:
    try:
        return guarded.wait(SECONDS)
    finally:
        guarded.close()


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ("exit 0", 0),
        ("exit 7", 7),
        ("exit 255", 255),
        ("kill -KILL $$", 137),
        ("kill -SEGV $$", 139),
        ("kill -TERM $$", 143),
        ("kill -PIPE $$", 141),
    ],
)
def test_the_exit_status_is_passed_through(script: str, status: int) -> None:
    assert ended(Guarded(["sh", "-c", script])) == status


def test_a_program_that_is_not_there_ends_with_127_and_says_so(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        assert ended(Guarded(["no-such-tool-yv"], output=log)) == 127
    assert (tmp_path / "log").read_text() == "no-such-tool-yv: No such file or directory\n"


def test_output_folder_and_environment(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        status = ended(
            Guarded(
                ["sh", "-c", 'pwd; echo "$WORD"; cat; echo error >&2'],
                cwd=tmp_path,
                env={"PATH": os.environ["PATH"], "WORD": "here"},
                output=log,
            )
        )
    assert status == 0
    assert (tmp_path / "log").read_text() == f"{tmp_path}\nhere\nerror\n"


@pytest.mark.parametrize("status", [0, 3])
def test_a_normal_end_removes_what_is_to_be_removed_and_keeps_the_rest(
    tmp_path: Path, status: int
) -> None:
    for name in ("removed", "discarded"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("x")
    guarded = Guarded(
        ["sh", "-c", f"exit {status}"],
        remove=[tmp_path / "removed", tmp_path / "never-there"],
        discard=[tmp_path / "discarded"],
    )
    assert ended(guarded) == status
    assert not (tmp_path / "removed").exists()
    assert (tmp_path / "discarded" / "file").exists()


def test_a_daemon_that_the_command_leaves_ends_with_it(tmp_path: Path, pids: Path) -> None:
    script = f'setsid sh -c "trap : TERM; echo \\$\\$ >> {pids}; while :; do sleep 600; done" &'
    wait = f"while [ ! -s {pids} ]; do sleep 0.01; done"
    assert ended(Guarded(["sh", "-c", f"{script}\n{wait}"])) == 0
    wait_until_gone(*wait_for(pids))


def test_the_lock_is_held_by_the_guard_only_and_as_long_as_the_command_runs(
    tmp_path: Path, pids: Path
) -> None:
    lock = Lock(tmp_path / "node.lock")
    assert lock.acquire()
    script = f"readlink /proc/self/fd/* > {tmp_path}/fds 2>&1; echo $$ >> {pids}; read line"
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    guarded = Guarded(["sh", "-c", f"({script}) < {fifo}"], lock=lock)
    lock.release()
    with fifo.open("w") as writer:
        wait_for(pids)
        assert is_locked(lock.path)
        assert "node.lock" not in (tmp_path / "fds").read_text()
        writer.write("end\n")
    assert ended(guarded) == 0
    assert not is_locked(lock.path)


def test_a_descriptor_that_is_passed_on_reaches_the_command(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w+") as file:
        number = file.fileno()
        guarded = Guarded(["sh", "-c", f"echo through > /dev/fd/{number}"], pass_fds=[number])
        assert ended(guarded) == 0
    assert (tmp_path / "file").read_text() == "through\n"


# Told to end --------------------------------------------------------------------

PATIENT = """
import signal, sys
def on(number, frame):
    with open(sys.argv[1] + ".got", "a") as file: file.write(f"{number}\\n")
    if number == signal.SIGINT: sys.exit(42)
for number in (signal.SIGINT, signal.SIGTERM): signal.signal(number, on)
import os
with open(sys.argv[1], "a") as file: file.write(f"{os.getpid()}\\n")
while True: signal.pause()
"""


def test_an_interrupt_lets_the_command_clean_up(tmp_path: Path, pids: Path) -> None:
    (tmp_path / "discarded").mkdir()
    guarded = Guarded([sys.executable, "-c", PATIENT, str(pids)], discard=[tmp_path / "discarded"])
    wait_for(pids)
    assert guarded.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        guarded.wait(0.05)
    guarded.interrupt()
    assert ended(guarded) == 42
    assert (tmp_path / "pids.got").read_text() == "2\n"
    # It has ended by itself: what it made is its own matter.
    assert (tmp_path / "discarded").exists()


def test_stop_asks_first_and_insists_after_the_grace(tmp_path: Path, pids: Path) -> None:
    for name in ("removed", "discarded"):
        (tmp_path / name).mkdir()
    guarded = Guarded(
        [sys.executable, "-c", PATIENT, str(pids)],
        grace=0.3,
        remove=[tmp_path / "removed"],
        discard=[tmp_path / "discarded"],
    )
    (pid,) = wait_for(pids)
    start = time.monotonic()
    assert guarded.stop() == 128 + signal.SIGKILL
    assert time.monotonic() - start >= 0.3
    assert (tmp_path / "pids.got").read_text() == "15\n"
    assert not alive(pid)
    assert not (tmp_path / "removed").exists()
    assert not (tmp_path / "discarded").exists()


def test_stop_does_not_wait_for_the_grace_where_it_is_not_needed(pids: Path) -> None:
    guarded = Guarded(["sh", "-c", f"echo $$ >> {pids}; exec sleep 600"], grace=SECONDS * 10)
    wait_for(pids)
    start = time.monotonic()
    assert guarded.stop() == 128 + signal.SIGTERM
    assert time.monotonic() - start < SECONDS
    guarded.close()


def test_stop_in_the_moment_of_the_start_is_heard() -> None:
    start = time.monotonic()
    for _ in range(10):
        guarded = Guarded(["sleep", "600"], grace=30)
        assert guarded.stop() == 128 + signal.SIGTERM
    assert time.monotonic() - start < 30


def test_stop_after_the_end_gives_the_status_again() -> None:
    guarded = Guarded(["sh", "-c", "exit 4"])
    assert guarded.wait(SECONDS) == 4
    assert guarded.stop() == 4
    assert guarded.poll() == 4


def test_close_ends_the_command_too(tmp_path: Path, pids: Path) -> None:
    guarded = Guarded(["sh", "-c", f"echo $$ >> {pids}; exec sleep 600"], discard=[tmp_path / "d"])
    (tmp_path / "d").mkdir()
    (pid,) = wait_for(pids)
    guarded.close()
    assert guarded.wait(SECONDS) == 128 + signal.SIGTERM
    assert not alive(pid)
    wait_until_absent(tmp_path / "d")


def test_the_command_dies_where_its_guard_is_killed(pids: Path) -> None:
    guarded = Guarded(["sh", "-c", f"echo $$ >> {pids}; exec sleep 600"])
    (pid,) = wait_for(pids)
    os.kill(guarded.pid, signal.SIGKILL)
    assert ended(guarded) == -signal.SIGKILL
    wait_until_gone(pid)
