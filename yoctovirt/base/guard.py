"""Run a command and let nothing of it outlive its owner.

A program of its own, started as ``python -I guard.py``: it stands between
yoctovirt and a long-running child (QEMU, runqemu, mmdebstrap, kas). The owner
holds the other end of a pipe. When that end is closed, for whatever reason
(kill -9 included), the command and all its descendants are stopped and the
paths given by ``--discard`` are removed; those given by ``--remove`` are removed
at every end of the command. A parent-death signal alone would not do: scripts such
as runqemu stand in between, and their children would live on.

``--stamp`` names a file that grows (the console log): its size, with the time, is noted in
``<file>.times``, so that each part of it can be dated.

Bytes on the pipe: ``D`` detach (the end of the owner no longer matters),
``I`` send SIGINT to the command, ``T`` stop it now.

It imports the standard library only, and little of it: a guard is started with
every node, and stays as long as the node does.
"""

import ctypes
import os
import select
import shutil
import signal
import sys
import time

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _descendants(root: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):  # noqa: PTH208 - pathlib costs start-up time
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", encoding="ascii", errors="replace") as stat:  # noqa: PTH123
                fields = stat.read().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] not in "ZX":
            children.setdefault(int(fields[1]), []).append(int(entry))
    found: list[int] = []
    todo = [root]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def _signal_all(pids: list[int], number: int) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except OSError:
            continue


def _reap_orphans(child: int) -> None:
    """Collect descendants that became ours when their parents ended; never *child*."""
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None or ended.si_pid == child:
            return
        os.waitpid(ended.si_pid, 0)


def _ended(pid: int) -> bool:
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def _stop(child: int, grace: float) -> None:
    """Ask the command to end; the sweep that follows makes all end after *grace* seconds."""
    _signal_all([child], signal.SIGTERM)
    end = time.monotonic() + grace
    while time.monotonic() < end and not _ended(child):
        time.sleep(0.02)


def _let_finish(child: int, seconds: float, stop_now: list[bool]) -> None:
    """Give what the command has left (a server that writes its caches) *seconds* to end."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not stop_now[0]:
        _reap_orphans(child)
        if not [pid for pid in _descendants(os.getpid()) if pid != child]:
            return
        time.sleep(0.05)


def _sweep(child: int) -> None:
    """Kill all that is left below us."""
    for _ in range(250):
        left = _descendants(os.getpid())
        if not left:
            return
        _signal_all(left, signal.SIGKILL)
        time.sleep(0.02)
        _reap_orphans(child)


class _Stamps:
    """Notes when a file has grown, and how far."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._size = 0

    def note(self) -> None:
        try:
            size = os.stat(self._path).st_size  # noqa: PTH116
            if size == self._size:
                return
            self._size = size
            with open(f"{self._path}.times", "a", encoding="ascii") as out:  # noqa: PTH123
                out.write(f"{time.time():.1f} {size}\n")
        except OSError:
            return


def _spawn(command: list[str], keep: list[int]) -> int:
    owner = os.getpid()
    # A SIGTERM between fork and exec would run our handler in the child, and be lost.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    pid = os.fork()
    if pid:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        return pid
    try:
        os.setpgid(0, 0)
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != owner:
            os._exit(126)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        for fd in keep:
            os.set_inheritable(fd, True)
        os.execvp(command[0], command)  # noqa: S606
    except OSError as error:
        os.write(2, f"{command[0]}: {error.strerror}\n".encode())
    os._exit(127)


def main(arguments: list[str]) -> int:
    """Guard one command; ``--`` ends our own options."""
    split = arguments.index("--")
    options, command = arguments[:split], arguments[split + 1 :]
    watch, grace, linger = -1, 5.0, 0.0
    remove, discard, keep = [], [], []
    stamps = None
    for option in options:
        key, _, value = option.partition("=")
        if key == "--watch-fd":
            watch = int(value)
        elif key == "--grace":
            grace = float(value)
        elif key == "--linger":
            linger = float(value)
        elif key == "--remove":
            remove.append(value)
        elif key == "--discard":
            discard.append(value)
        elif key == "--stamp":
            stamps = _Stamps(value)
        elif key == "--keep-fd":
            keep.append(int(value))
        else:
            raise ValueError(f"unknown option {option}")

    if os.getsid(0) != os.getpid():
        os.setsid()
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    stop_now = [False]

    def on_term(_number: int, _frame: object) -> None:
        stop_now[0] = True

    signal.signal(signal.SIGTERM, on_term)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    for fd in (watch, *keep):
        os.set_inheritable(fd, False)
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
        # Whatever else was inherited (a lock that says "this node runs")
        # stays open in the guard, and only there.
        if int(name) > 2:
            try:
                os.set_inheritable(int(name), False)
            except OSError:
                continue

    child = _spawn(command, keep)
    for fd in keep:
        os.close(fd)
    poller = select.poll()
    child_fd = os.pidfd_open(child)
    poller.register(child_fd, select.POLLIN)
    poller.register(watch, select.POLLIN)
    try:
        while True:
            ready = dict(poller.poll(1000 if stamps is None else 500))
            if stamps is not None:
                stamps.note()
            if child_fd in ready:
                _let_finish(child, linger, stop_now)
                break
            if stop_now[0]:
                _stop(child, grace)
                remove += discard
                break
            if watch in ready:
                word = os.read(watch, 1)
                if word == b"D":
                    poller.unregister(watch)
                elif word == b"I":
                    _signal_all([child], signal.SIGINT)
                else:  # T, or the owner is gone
                    _stop(child, grace)
                    remove += discard
                    break
            _reap_orphans(child)
    finally:
        _sweep(child)
        for path in remove:
            if os.path.isdir(path) and not os.path.islink(path):  # noqa: PTH112, PTH114
                shutil.rmtree(path, ignore_errors=True)
            elif os.path.lexists(path):
                try:
                    os.unlink(path)  # noqa: PTH108
                except OSError:
                    continue
    try:
        _, status = os.waitpid(child, 0)
    except ChildProcessError:
        return 125
    _reap_orphans(child)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
