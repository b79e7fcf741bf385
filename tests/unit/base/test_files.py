from __future__ import annotations

import errno
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from yoctovirt.base.files import (
    Lock,
    disk_error,
    free_bytes,
    human_bytes,
    is_locked,
    locked,
    make_folder,
    sha256_file,
    tree_bytes,
    write_atomically,
)
from yoctovirt.errors import InfrastructureError, UsageError

# Writing ------------------------------------------------------------------------


def test_a_file_is_replaced_whole_and_nothing_stays_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    write_atomically(path, "old")
    before = path.open()
    write_atomically(path, "new")
    with before:
        assert before.read() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_no_file_is_not_replaced_by_one(tmp_path: Path) -> None:
    """Root's ``-o /dev/stdout`` would take it from the whole host."""
    pipe, folder, link = tmp_path / "pipe", tmp_path / "folder", tmp_path / "link"
    os.mkfifo(pipe)
    folder.mkdir()
    link.symlink_to(pipe)
    for path, what in ((pipe, "no regular file"), (folder, "a folder"), (link, "no regular file")):
        with pytest.raises(UsageError, match=f"{path} is {what}"):
            write_atomically(path, "x")
    assert pipe.is_fifo()
    assert link.is_symlink()
    assert sorted(tmp_path.iterdir()) == [folder, link, pipe], "nothing is left beside them"
    pipe.unlink()
    write_atomically(link, "a link to nothing, or to a file, is replaced")
    assert link.is_file()


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    whole = {letter * 200_000 for letter in "ab"}
    write_atomically(path, "a" * 200_000)
    over = threading.Event()

    def write() -> None:
        for turn in range(40):
            write_atomically(path, "ab"[turn % 2] * 200_000)
        over.set()

    writer = threading.Thread(target=write)
    writer.start()
    reads = 0
    while not over.is_set():
        assert path.read_text() in whole
        reads += 1
    writer.join()
    assert reads


def test_the_mode_is_the_one_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "key"
    write_atomically(path, "secret", 0o600)
    assert path.stat().st_mode & 0o777 == 0o600


def test_text_is_utf8_whatever_the_locale_is(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    code = (
        "import sys; from pathlib import Path; from yoctovirt.base.files import write_atomically\n"
        "write_atomically(Path(sys.argv[1]), 'a \\u2013 b \\u00e9')"
    )
    env = {**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert path.read_text(encoding="utf-8") == "a \u2013 b \u00e9"


def test_a_missing_folder_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "gone" / "run.json"
    with pytest.raises(InfrastructureError, match=r"gone/run\.json: No such file"):
        write_atomically(path, "x")


def in_namespace(mount: str, code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run *code* where *mount* (arguments of mount(8)) has changed the file system."""
    folder.mkdir()
    for unshare in (["unshare", "--mount"], ["unshare", "--user", "--map-root-user", "--mount"]):
        if subprocess.run([*unshare, "true"], capture_output=True).returncode == 0:
            break
    else:
        pytest.skip("this host allows no mount namespace (neither root nor user namespaces)")
    script = f'mount {mount} "$0" && exec "$1" -c "$2" "$0"'
    return subprocess.run(
        [*unshare, "sh", "-c", script, str(folder), sys.executable, code],
        capture_output=True,
        text=True,
    )


CATCH = """
import sys
from pathlib import Path
from yoctovirt.base.files import make_folder, write_atomically
from yoctovirt.errors import InfrastructureError
folder = Path(sys.argv[1])
try:
    write_atomically(folder / "run.json", "x" * 500_000)
except InfrastructureError as error:
    print(error.message, error.hint, sorted(p.name for p in folder.iterdir()), sep="|")
try:
    make_folder(folder / "new")
except InfrastructureError as error:
    print(error.message)
"""


def test_a_full_disk_is_said_to_be_full_and_the_half_file_is_gone(tmp_path: Path) -> None:
    folder = tmp_path / "full"
    done = in_namespace("-t tmpfs -o size=64k none", CATCH, folder)
    message, hint, left = done.stdout.strip().split("|")
    assert message == f"the disk is full: could not write {folder / 'run.json'}", done.stderr
    assert str(folder) in hint
    assert left == "[]"


def test_a_read_only_file_system_is_said_to_be_one(tmp_path: Path) -> None:
    folder = tmp_path / "fixed"
    done = in_namespace("-t tmpfs -o ro none", CATCH, folder)
    lines = done.stdout.splitlines()
    assert f"{folder / 'run.json'} cannot be written: Read-only file system" in lines[0], done
    assert f"{folder / 'new'} cannot be written: Read-only file system" in lines[1]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "the disk is full"),
        (errno.EACCES, "cannot be written: Permission denied"),
        (errno.EPERM, "cannot be written: Operation not permitted"),
        (errno.EROFS, "cannot be written: Read-only"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_disk_errors_say_what_is_the_matter(number: int, text: str) -> None:
    error = disk_error(OSError(number, os.strerror(number)), Path("/srv/x"))
    assert text in error.message
    assert "/srv/x" in error.message
    assert error.exit_code == 3


def test_a_folder_where_a_file_stands_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(InfrastructureError, match="runs"):
        make_folder(tmp_path / "runs" / "x")
    assert make_folder(tmp_path / "a" / "b").is_dir()
    assert make_folder(tmp_path / "a" / "b").is_dir()


# Measuring ----------------------------------------------------------------------


def test_holes_do_not_count(tmp_path: Path) -> None:
    image = tmp_path / "image.ext4"
    with image.open("wb") as out:
        out.truncate(1 << 30)
    (tmp_path / "link").symlink_to(image)
    data = tmp_path / "data"
    data.write_bytes(b"x" * 100_000)
    assert 100_000 <= tree_bytes(tmp_path) < 1_000_000
    assert 100_000 <= tree_bytes(data) < 200_000


def test_free_bytes_of_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    free = free_bytes(tmp_path / "not" / "yet")
    assert abs(free - shutil.disk_usage(tmp_path).free) < 1 << 30


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    assert sha256_file(tmp_path / "x").startswith("ba7816bf8f01cfea414140de5dae2223")


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (2048, "2 KiB"), (5 << 20, "5 MiB"), (3 << 29, "1.5 GiB")],
)
def test_human_bytes(count: int, text: str) -> None:
    assert human_bytes(count) == text


# Locks, between real processes --------------------------------------------------

HOLD = """
import sys, time
from pathlib import Path
from yoctovirt.base.files import Lock
lock = Lock(Path(sys.argv[1]))
assert lock.acquire()
lock.write("pid of the test")
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_lock_excludes_other_processes_and_dies_with_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "locks" / "node.lock"
    with holder(path) as process:
        assert is_locked(path)
        lock = Lock(path)
        assert not lock.acquire()
        assert lock.read() == "pid of the test"
        with (
            pytest.raises(InfrastructureError, match=r"node x is busy \(pid of the test\)"),
            locked(path, "node x is busy"),
        ):
            raise AssertionError("was let in")
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not is_locked(path)
        assert lock.acquire()
        lock.release()


def test_waiting_for_a_lock(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    with holder(path) as process:
        lock = Lock(path)
        got = threading.Event()

        def wait() -> None:
            lock.acquire(wait=True)
            got.set()

        waiter = threading.Thread(target=wait, daemon=True)
        waiter.start()
        assert not got.wait(0.2)
        process.kill()
        assert got.wait(60)
        waiter.join()
        assert is_locked(path)
        lock.release()


def test_a_child_that_inherits_the_lock_holds_it_on(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    lock = Lock(path)
    assert lock.acquire()
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=[lock.fileno()]) as child:
        lock.release()
        assert is_locked(path)
        child.kill()
        child.wait()
    assert not is_locked(path)


def test_locked_releases_also_after_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"

    def inside() -> None:
        with locked(path, "busy"):
            assert is_locked(path)
            said = path.read_text()
            assert said.startswith(f"pid {os.getpid()}, since 20")
            assert said.endswith(f": {shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])}")
            raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        inside()
    assert not is_locked(path)


def test_a_lock_that_outlives_its_holder_says_so(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    with holder(path):
        # What a yoctovirt that was killed has left; its guard holds the lock.
        path.write_text("pid 4194305, since 2026-11-21 07:00:00: yoctovirt build x")
        with (
            pytest.raises(InfrastructureError, match="what it had started is ending"),
            locked(path, "busy"),
        ):
            raise AssertionError("was let in")


def test_no_lock_file_means_not_locked(tmp_path: Path) -> None:
    assert not is_locked(tmp_path / "none")
    with pytest.raises(ValueError, match="is not locked"):
        Lock(tmp_path / "none").fileno()


def test_looking_at_a_lock_does_not_take_it_from_anybody(tmp_path: Path) -> None:
    # "yoctovirt nodes" in one terminal must not make "yoctovirt boot" in another one
    # believe that the node runs.
    path = tmp_path / "x.lock"
    path.touch()
    code = (
        "import sys; from pathlib import Path; from yoctovirt.base.files import is_locked\n"
        "print('looking', flush=True)\nwhile True: is_locked(Path(sys.argv[1]))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True
    ) as looker:
        assert looker.stdout is not None
        assert looker.stdout.readline() == "looking\n"
        try:
            refused = 0
            for _ in range(5_000):
                lock = Lock(path)
                refused += not lock.acquire()
                lock.release()
        finally:
            looker.kill()
    assert refused == 0
