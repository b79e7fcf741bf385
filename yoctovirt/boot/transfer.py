"""Files to a node and from it: over SSH, or over the serial console where there is no network.

Small images have neither an SFTP server nor scp: ``cat`` and ``base64`` are all that is needed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import shlex
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yoctovirt.base.deadline import Deadline
from yoctovirt.base.files import disk_error
from yoctovirt.boot.results import NodeUnreachableError
from yoctovirt.errors import BootError, UsageError

if TYPE_CHECKING:
    from yoctovirt.boot.serial import SerialShell
    from yoctovirt.boot.ssh import SshShell

#: Called with how many bytes are done, of how many (0: not known).
Progress = Callable[[int, int], None]
_BLOCK = 32768
#: Seconds without a byte, before scaling, after which a transfer is given up.
_STALL = 30.0


def _quiet(done: int, total: int) -> None:
    """Show nothing."""


def upload(ssh: SshShell, source: Path, remote: str, progress: Progress = _quiet) -> int:
    """Copy the file *source* to *remote*, with its mode; return its size.

    It is written aside and renamed: nobody on the node sees half of it. Raises UsageError
    where *source* cannot be read, BootError with what the node said.
    """
    try:
        status = source.stat()
        local = source.open("rb")
    except OSError as error:
        raise UsageError(f"{source} cannot be read: {error.strerror}") from error
    if source.is_dir():
        local.close()
        raise UsageError(f"{source} is a folder", "pack it first: tar -c")
    part, target = shlex.quote(f"{remote}.yoctovirt-part"), shlex.quote(remote)
    command = (
        f"if [ -d {target} ]; then echo {target} is a folder >&2; exit 21; fi; "
        f"cat > {part} && [ $(wc -c < {part}) -eq {status.st_size} ] && "
        f"chmod {status.st_mode & 0o7777:o} {part} && mv {part} {target} || "
        f"{{ s=$?; rm -f {part}; exit $s; }}"
    )
    done = 0
    with local, ssh.channel(command, _STALL) as channel:
        with suppress(OSError):  # the node says why, below
            while block := local.read(_BLOCK):
                channel.sendall(block)
                done += len(block)
                progress(done, status.st_size)
            channel.shutdown_write()
        _finish(channel, f"{source} could not be copied to {remote} on the node")
    return done


def download(ssh: SshShell, remote: str, target: Path, progress: Progress = _quiet) -> int:
    """Copy the file *remote* of the node to *target*, whole or not at all; return its size.

    Raises BootError with what the node said, InfrastructureError where *target* cannot be
    written.
    """
    quoted = shlex.quote(remote)
    # Its size comes first, on a line of its own.
    command = f"[ -f {quoted} ] || {{ ls {quoted} >&2; echo no file >&2; exit 1; }}; " \
              f"wc -c < {quoted} && cat {quoted}"  # fmt: skip
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    head, total, done = b"", -1, 0
    try:
        with part.open("wb") as local, ssh.channel(command, _STALL) as channel:
            while block := channel.recv(_BLOCK):
                if total < 0:
                    head += block
                    if b"\n" not in head:
                        continue
                    size, _, block = head.partition(b"\n")
                    total = int(size)
                local.write(block)
                done += len(block)
                progress(done, total)
            _finish(channel, f"{remote} of the node could not be copied")
        if done != total:
            raise BootError(f"{remote} of the node came with {done} bytes of {total}")
        part.replace(target)
    except TimeoutError as error:
        raise NodeUnreachableError(f"nothing more came of {remote}: the node stands still") from (
            error
        )
    except OSError as error:
        raise disk_error(error, target) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
    return done


def _finish(channel: Any, failure: str) -> None:
    """Wait for the end of a transfer; raise BootError with what the node said where it failed."""
    said = b""
    with suppress(OSError):
        while block := channel.recv_stderr(_BLOCK):
            said += block
    status = channel.recv_exit_status()
    if status != 0:
        text = said.decode(errors="replace").strip().rpartition("\n")[2]
        raise BootError(f"{failure}: {text or f'exit status {status}'}")


# Over the console ---------------------------------------------------------------

#: Bytes of a line of base64; a terminal takes 4096 at most.
_LINE = 900
#: Lines that may be under way: the guest's buffers hold 64 KiB, and drop what is beyond.
_WINDOW = 16


def serial_write(
    shell: SerialShell,
    data: bytes,
    remote: str,
    mode: int = 0o644,
    timeout: float = 120.0,
    progress: Progress = _quiet,
) -> None:
    """Write *data* to the file *remote* over the console; what arrived is compared.

    *timeout* is in seconds, scaled. Raises NodeUnreachableError where that fails.
    """
    text = base64.b64encode(data).decode()
    lines = [text[start : start + _LINE] for start in range(0, len(text), _LINE)]
    part, target = shlex.quote(f"{remote}.yoctovirt-part"), shlex.quote(remote)
    turns, rest = divmod(len(lines), _WINDOW)
    # A read of a terminal gives one line, and dd counts reads: so many lines, and no byte more.
    # The shell's own "read" asks for each byte: a thousand times slower.
    script = (
        f": > {part} || exit 1; "
        f"{{ n=0; while [ $n -lt {turns} ]; do dd bs=1024 count={_WINDOW} 2>/dev/null || break; "
        'n=$((n+1)); echo yv-a""ck-$n: >&2; done; '
        f"[ {rest} -eq 0 ] || dd bs=1024 count={rest} 2>/dev/null; }} | base64 -d > {part} && "
        f"{_checksum(part)} && chmod {mode:o} {part} && mv {part} {target}"
    )
    deadline = Deadline(shell.scaled(timeout))
    with shell.conversation(script, deadline) as talk:
        for number, line in enumerate(lines, 1):
            talk.say(line)
            if number % _WINDOW == 0:
                if not talk.wait_for(f"yv-ack-{number // _WINDOW}:"):
                    break  # it has failed, and says why
                progress(min(len(data), number * _LINE * 3 // 4), len(data))
        result = talk.finish()
    _compare(result.output, data, remote)
    progress(len(data), len(data))


def serial_read(shell: SerialShell, remote: str, timeout: float = 120.0) -> bytes:
    """Return the content of the file *remote*, read over the console and compared.

    *timeout* is in seconds, scaled. Raises NodeUnreachableError where it cannot be read, or
    was damaged on the way.
    """
    quoted = shlex.quote(remote)
    result = shell.run(f"{_checksum(quoted)} && base64 {quoted}", timeout)
    if not result.ok:
        raise NodeUnreachableError(f"{remote} cannot be read: {result.output.strip()[-300:]}")
    sums, _, text = result.output.partition("\nyv-data\n")
    try:
        data = base64.b64decode("".join(text.split()), validate=True)
    except binascii.Error as error:
        raise NodeUnreachableError(f"{remote} was damaged on the console: {error}") from error
    _compare(sums + "\nyv-data", data, remote)
    return data


def _checksum(quoted: str) -> str:
    """Return shell commands that print size and, where it can be had, SHA-256 of a file."""
    return (
        f"wc -c < {quoted} && {{ sha256sum < {quoted} 2>/dev/null || echo none; }} && echo yv-data"
    )


def _compare(said: str, data: bytes, remote: str) -> None:
    words = said.partition("yv-data")[0].split()
    fields = [word for word in words if not word.startswith("yv-ack-")]
    size, digest = (*fields[:2], "", "")[:2]
    if size != str(len(data)) or digest not in ("none", hashlib.sha256(data).hexdigest()):
        raise NodeUnreachableError(
            f"{remote} was damaged on the console: {len(data)} bytes here, {size or 'none'} there",
            "something else writes to the console: look into console-<node>.log of the run",
        )
