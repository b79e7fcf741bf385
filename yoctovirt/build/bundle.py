"""A bundle: one file with all that another machine needs to boot and test an image.

A tar archive compressed by zstd (``tar --zstd -tf FILE`` shows it), in this order: the index
``bundle.json``, then what it lists: ``deploy/`` (kernel, root file system, ``*.qemuboot.conf``,
manifest, ``testdata.json``, keys), ``kas.yml`` (the configuration that was built, with its pins),
``scripts/runqemu`` (of the release; one script that needs no other file of its layers). Behind
the compressed frame stands a skippable frame (RFC 8878, 3.1.2) with the SHA-256 of it: a file
that was cut or changed is known before anything is unpacked. The same image, packed by the same
version of yoctovirt and of zstd, gives the same bytes: no times, owners or paths of the host.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from yoctovirt import __version__
from yoctovirt.base.files import check_replaceable, disk_error, free_bytes
from yoctovirt.build.deploydir import CLIENT_KEY, HOST_KEY, DeployDir
from yoctovirt.config.kasfile import to_yaml
from yoctovirt.config.roles import Role, role_as_mapping
from yoctovirt.errors import BuildError, InfrastructureError, UsageError

if TYPE_CHECKING:
    from yoctovirt.build.builders import Built

FORMAT, VERSION = "yoctovirt-bundle", 1
INDEX = "bundle.json"
CONFIG = "kas.yml"
RUNQEMU = "scripts/runqemu"
#: Bytes that are read at a time, and that are left out of a file on disk where all are zero.
BLOCK = 1 << 16
#: The skippable frame: its magic number, the length of what follows, our word, the digest.
_MARK = b"yoctovirt-bundle"
TRAILER_BYTES = 8 + len(_MARK) + 32
#: Of an image of Debian packages (2.5 GiB, 850 MiB of it data) level 3 makes 266 MiB in 6 s of one
#: CPU, level 6 249 MiB in 16 s, level 9 238 MiB in 25 s, level 12 236 MiB in 55 s.
_LEVEL = 6


@dataclass(frozen=True)
class Member:
    """A file of a bundle."""

    path: str  #: in the bundle
    bytes: int
    data: int  #: bytes of blocks that are not all zero: what it takes on disk
    sha256: str
    mode: int

    def as_json(self) -> dict[str, Any]:
        """Return it in the form in which the index has it."""
        return {"path": self.path, "bytes": self.bytes, "data": self.data,
                "sha256": self.sha256, "mode": f"{self.mode:04o}"}  # fmt: skip


@dataclass(frozen=True)
class Packed:
    """A bundle that was written."""

    path: Path
    bytes: int
    sha256: str  #: of the whole file, as sha256sum prints it
    members: tuple[Member, ...]


def trailer(digest: bytes) -> bytes:
    """Return the skippable frame that says the SHA-256 of what stands before it."""
    content = _MARK + digest
    return b"\x50\x2a\x4d\x18" + len(content).to_bytes(4, "little") + content


def blocks(source: IO[bytes]) -> Iterator[bytes]:
    """Yield what *source* holds, in blocks."""
    while block := source.read(BLOCK):
        yield block


def write_bundle(path: Path, built: Built, role: Role | None) -> Packed:
    """Pack the image of *built*, made for *role*, into the file *path*.

    It is written aside and renamed. Raises UsageError where *path* cannot be a file,
    InfrastructureError where the disk is full, BuildError where the image changes meanwhile.
    """
    path = path.absolute()
    check_replaceable(path)
    if not path.parent.is_dir():
        raise UsageError(
            f"{path}: there is no folder {path.parent}", "name a file in a folder that is there"
        )
    sources = _sources(built)
    members = [_measured(name, source) for name, source in sorted(sources.items())]
    wanted = sum(member.data for member in members)
    index = {
        "format": FORMAT,
        "version": VERSION,
        "tool": f"yoctovirt {__version__}",
        "role": {"name": role.name, **role_as_mapping(role)} if role else None,
        "features": list(built.features),
        "release": built.release,
        "image": built.deploy.image,
        "files": [member.as_json() for member in members],
    }
    head = (json.dumps(index, indent=1, sort_keys=True) + "\n").encode()
    _remove_stale(path)
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    # Who has the private key is root on each node of the image.
    mode = 0o600 if built.deploy.client_key else 0o644
    try:
        try:
            digest = hashlib.sha256()
            with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as out:
                _compress(_Hashing(out, digest), head, members, sources)
                end = trailer(digest.digest())
                out.write(end)
                out.flush()
                os.fsync(out.fileno())
                size = out.tell()
            aside.replace(path)
        except OSError as error:
            found = disk_error(error, path)
            room = f" ({wanted >> 20} MiB are packed, {free_bytes(path.parent) >> 20} MiB are free)"
            raise InfrastructureError(found.message + room, found.hint) from error
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
    digest.update(end)
    return Packed(path, size, digest.hexdigest(), tuple(members))


def _sources(built: Built) -> dict[str, Path | bytes]:
    """Return what is packed, by its name in the bundle: a file, or its content."""
    deploy = built.deploy
    found: dict[str, Path | bytes] = {}
    names = [f"{deploy.image}.qemuboot.conf", deploy.rootfs.name, f"{deploy.image}.testdata.json"]
    names += [one.name for one in (deploy.kernel, deploy.manifest) if one is not None]
    names += [CLIENT_KEY, f"{CLIENT_KEY}.pub", HOST_KEY]
    for name in names:
        if (deploy.path / name).is_file():
            found[f"deploy/{name}"] = deploy.path / name
    for extra in deploy.qemuboot.deployed_files():
        found[f"deploy/{_inside(deploy, extra)}"] = extra
    if built.config is not None:
        found[CONFIG] = to_yaml(built.config).encode()
    if built.runqemu is not None:
        found[RUNQEMU] = built.runqemu
    return found


def _inside(deploy: DeployDir, path: Path) -> Path:
    plain = Path(os.path.normpath(path))
    if not plain.is_relative_to(deploy.path):
        raise BuildError(
            f"{deploy.qemuboot.source} names {path}, which does not lie in the deploy directory",
            "another machine would not have it: deploy it beside the image",
        )
    return plain.relative_to(deploy.path)


def _open(source: Path | bytes) -> IO[bytes]:
    return io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")


def _measured(name: str, source: Path | bytes) -> Member:
    digest, size, data = hashlib.sha256(), 0, 0
    zero = bytes(BLOCK)
    try:
        with _open(source) as opened:
            for block in blocks(opened):
                digest.update(block)
                size += len(block)
                data += 0 if block == zero[: len(block)] else len(block)
    except OSError as error:
        raise BuildError(
            f"{source!s} cannot be read: {error.strerror}", "build the image again"
        ) from error
    base = name.rpartition("/")[2]
    mode = 0o755 if name == RUNQEMU else 0o600 if base == CLIENT_KEY else 0o644
    return Member(name, size, data, digest.hexdigest(), mode)


class _Hashing:
    """A file for writing that notes the digest of what goes into it."""

    def __init__(self, out: IO[bytes], digest: Any) -> None:
        self._out, self._digest = out, digest

    def write(self, data: bytes) -> int:
        self._digest.update(data)
        return self._out.write(data)


class _Checked:
    """A source for tarfile that makes sure that it gives what the index says."""

    def __init__(self, source: IO[bytes], member: Member, name: str) -> None:
        self._source, self._member, self._name = source, member, name
        self._digest = hashlib.sha256()
        self._left = member.bytes

    def read(self, size: int = -1, /) -> bytes:
        data = self._source.read(size)
        self._digest.update(data)
        self._left -= len(data)
        changed = len(data) < size or (
            self._left <= 0 and self._digest.hexdigest() != self._member.sha256
        )
        if changed:
            raise BuildError(
                f"{self._name} changed while it was packed",
                "wait until its build has ended, and pack it again",
            )
        return data


def _compress(
    out: _Hashing, head: bytes, members: list[Member], sources: dict[str, Path | bytes]
) -> None:
    import zstandard

    compressor = zstandard.ZstdCompressor(level=_LEVEL, threads=-1, write_checksum=True)
    with (
        compressor.stream_writer(out, closefd=False) as stream,  # type: ignore[arg-type]
        tarfile.open(fileobj=stream, mode="w|", bufsize=BLOCK, format=tarfile.PAX_FORMAT) as tar,
    ):
        tar.addfile(_entry(INDEX, len(head), 0o644), io.BytesIO(head))
        for member in members:
            source = sources[member.path]
            entry = _entry(member.path, member.bytes, member.mode)
            with _open(source) as opened:
                name = member.path if isinstance(source, bytes) else str(source)
                tar.addfile(entry, _Checked(opened, member, name))


def _entry(name: str, size: int, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, mode
    return entry


def _remove_stale(path: Path) -> None:
    """Remove what a call that was killed has left of this file."""
    for left in path.parent.glob(f".{path.name}.*.tmp"):
        pid = left.name.removesuffix(".tmp").rpartition(".")[2]
        if pid.isdigit() and not Path("/proc", pid).exists():
            left.unlink(missing_ok=True)
