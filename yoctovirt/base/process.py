"""External commands: shown so that a person can paste them, recorded, never left behind."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from yoctovirt.base.files import Lock
from yoctovirt.base.secrets import MASK, is_secret_name, mask
from yoctovirt.errors import InfrastructureError

_GUARD = Path(__file__).with_name("guard.py")


def paste_form(
    argv: Sequence[str], cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> str:
    """Return *argv* as a line for a shell, with folder and added environment.

    Secrets are masked: what an option or a variable holds whose name says so, and what
    :mod:`yoctovirt.base.secrets` knows.
    """
    words = list(argv)
    for index, word in enumerate(words):
        name, equals, _ = word.partition("=")
        if not is_secret_name(name.lstrip("-").replace("-", "_")):
            continue
        if equals:
            words[index] = f"{name}={MASK}"
        elif word.startswith("--") and index + 1 < len(words):
            words[index + 1] = MASK
    line = shlex.join(mask(word) for word in words)
    for key, value in sorted((env or {}).items(), reverse=True):
        shown = MASK if is_secret_name(key) else mask(value)
        line = f"{key}={shlex.quote(shown)} {line}"
    return f"cd {shlex.quote(str(cwd))} && {line}" if cwd else line


class CommandLog:
    """Where external commands are noted: a file of the run record, and the screen."""

    def __init__(self, path: Path | None = None, show: Callable[[str], None] | None = None) -> None:
        self._path = path
        self._show = show

    def note(
        self,
        argv: Sequence[str],
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        show: bool = False,
    ) -> str:
        """Record a command before it runs; with *show* print it as well."""
        line = paste_form(argv, cwd, env)
        if self._path is not None:
            with self._path.open("a", encoding="utf-8", errors="backslashreplace") as out:
                out.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} {line}\n")
        if show and self._show is not None:
            self._show(line)
        return line


def run_quick(
    argv: Sequence[str],
    log: CommandLog,
    *,
    timeout: float = 60.0,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> str:
    """Run a host command that ends soon and return what it printed.

    Raises InfrastructureError where it is missing, fails, or takes longer than
    *timeout* seconds.
    """
    line = log.note(argv, cwd, env)
    try:
        process = subprocess.Popen(
            argv,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # so that all of it can be stopped
        )
    except FileNotFoundError as error:
        if cwd is not None and not cwd.is_dir():
            raise InfrastructureError(f"there is no folder {cwd} to run in: {line}") from error
        raise missing_tool(argv[0]) from error
    except OSError as error:
        raise InfrastructureError(f"{argv[0]} cannot be run: {error.strerror}: {line}") from error
    with process:
        try:
            text = process.communicate(timeout=timeout)[0]
        except BaseException as error:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                raise InfrastructureError(
                    f"{argv[0]} did not end within {timeout:.0f} s: {line}"
                ) from error
            raise
    if process.returncode != 0:
        said = text.strip()
        if "No space left on device" in said:
            raise InfrastructureError(
                f"the disk is full: {line}: {said}", "free some space and try again"
            )
        raise InfrastructureError(f"{line} failed with exit status {process.returncode}: {said}")
    return text


#: Debian package of each program that yoctovirt itself starts.
PACKAGES = {
    "mke2fs": "e2fsprogs",
    "mmdebstrap": "mmdebstrap",
    "mount": "mount",
    "newuidmap": "uidmap",
    "qemu-img": "qemu-utils",
    "qemu-system-aarch64": "qemu-system-arm",
    "qemu-system-x86_64": "qemu-system-x86",
}


def missing_tool(name: str) -> InfrastructureError:
    """Return the error for a program that is not on this host."""
    package = PACKAGES.get(Path(name).name)
    hint = f"apt-get install {package}" if package else "install it, or add it to PATH"
    return InfrastructureError(f"{name} is not installed on this host", hint)


class Guarded:
    """A long-running command behind a guard process (see :mod:`yoctovirt.base.guard`).

    It ends when we end, however that happens, unless :meth:`detach` was called.
    Paths in *remove* go at every end of it, those in *discard* where it was stopped;
    *grace* is how many seconds it has to end after SIGTERM, *linger* how many its
    descendants have to end by themselves after it. *lock* is held by the
    guard for as long as the command runs, and so are the descriptors in *held*; it dates what
    is written to *stamp*.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        output: IO[bytes] | int | None = None,
        grace: float = 5.0,
        linger: float = 0.0,
        remove: Iterable[Path] = (),
        discard: Iterable[Path] = (),
        lock: Lock | None = None,
        stamp: Path | None = None,
        pass_fds: Sequence[int] = (),
        held: Sequence[int] = (),
    ) -> None:
        read_end, write_end = os.pipe()
        guard = [
            sys.executable,
            "-I",
            "-S",
            str(_GUARD),
            f"--watch-fd={read_end}",
            f"--grace={grace}",
            f"--linger={linger}",
            *(f"--remove={path}" for path in remove),
            *(f"--discard={path}" for path in discard),
            *([f"--stamp={stamp}"] if stamp else []),
            *(f"--keep-fd={fd}" for fd in pass_fds),
            "--",
            *argv,
        ]
        inherited = [read_end, *pass_fds, *held] + ([lock.fileno()] if lock else [])
        self._pipe = write_end
        try:
            self._process = subprocess.Popen(
                guard,
                cwd=cwd,
                env=dict(env) if env is not None else None,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT if output is not None else None,
                pass_fds=inherited,
                # Out of the terminal's process group before the first Ctrl-C can come.
                start_new_session=True,
            )
        except BaseException:
            os.close(write_end)
            raise
        finally:
            os.close(read_end)
        self.pid = self._process.pid

    def _say(self, word: bytes) -> None:
        with suppress(BrokenPipeError, OSError):
            os.write(self._pipe, word)

    def interrupt(self) -> None:
        """Send SIGINT to the command."""
        self._say(b"I")

    def detach(self) -> None:
        """Let the command live on after us."""
        self._say(b"D")
        # A detached guard is init's child from now on; nobody waits for it here.
        self._process.returncode = 0

    def poll(self) -> int | None:
        """Return the exit status of the command, 128 + N where signal N ended it, or None."""
        return self._process.poll()

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; subprocess.TimeoutExpired where it does not come in time."""
        return self._process.wait(timeout)

    def stop(self) -> int:
        """Stop the command and all below it, and wait until that is done."""
        self._say(b"T")
        status = self._process.wait()
        self.close()
        return status

    def close(self) -> None:
        """Close our end of the pipe: without :meth:`detach` this ends the command, too."""
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1
