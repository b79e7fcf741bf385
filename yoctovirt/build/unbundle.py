"""Open a bundle on another machine: verified as a whole before anything of it is used."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tarfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from yoctovirt.base.files import (
    Lock,
    disk_error,
    free_bytes,
    human_bytes,
    make_folder,
    sha256_file,
)
from yoctovirt.build.builders import Built
from yoctovirt.build.bundle import (
    BLOCK,
    CONFIG,
    FORMAT,
    INDEX,
    RUNQEMU,
    TRAILER_BYTES,
    VERSION,
    Member,
    blocks,
    trailer,
)
from yoctovirt.build.deploydir import open_deploy_dir
from yoctovirt.config.roles import Role, role_from_mapping
from yoctovirt.config.yamlfile import load_mapping
from yoctovirt.errors import InfrastructureError, UsageError

_ZSTD = b"\x28\xb5\x2f\xfd"
#: More than any index has: what claims to be larger is none.
_INDEX_BYTES = 4 << 20
_PATH = re.compile(rf"(?:deploy/(?:[\w+~:@=,-][\w.+~:@=,-]*/)*[\w+~:@=,-][\w.+~:@=,-]*|"
                   rf"{re.escape(CONFIG)}|{re.escape(RUNQEMU)})", re.ASCII)  # fmt: skip
_AGAIN = "fetch it again from the machine that made it (sha256sum tells whether it is the same)"


@dataclass(frozen=True)
class Bundle:
    """A bundle that was verified and unpacked."""

    path: Path
    folder: Path  #: what it holds, unpacked
    sha256: str  #: of the file
    index: dict[str, Any]

    def built(self) -> Built:
        """Return the image, as the build handed it on."""
        config = self.folder / CONFIG
        runqemu = self.folder / RUNQEMU
        return Built(
            open_deploy_dir(self.folder / "deploy", self.index["image"]),
            self.index["release"],
            runqemu if runqemu.is_file() else None,
            load_mapping(config) if config.is_file() else None,
            features=tuple(self.index["features"]),
        )

    def role(self) -> Role | None:
        """Return what :func:`role_of` does."""
        return role_of(self.index, self.path)

    def details(self) -> dict[str, Any]:
        """Return what the run record says of it."""
        return {"bundle": str(self.path), "bytes": self.path.stat().st_size,
                "sha256": self.sha256, "packed_by": self.index["tool"]}  # fmt: skip


def role_of(index: dict[str, Any], path: Path) -> Role | None:
    """Return the role of the image in the bundle *path*, as it was where it was built.

    Raises UsageError where this version of yoctovirt does not understand it.
    """
    values = index["role"]
    if values is None:
        return None
    rest = {key: value for key, value in values.items() if key != "name"}
    try:
        return role_from_mapping(str(values.get("name")), rest, path)
    except UsageError as error:
        raise UsageError(
            f"the role in {path} is not understood: {error.message}",
            f"it was packed by {index['tool']}: use that version here",
        ) from error


def open_bundle(path: Path, folder: Path) -> Bundle:
    """Verify the bundle *path* and unpack it into a folder below *folder*, named by its checksum.

    One that is there already is used, where each of its files is as it was. Raises UsageError
    for a file that is no bundle or of a newer format, InfrastructureError for one that was cut
    or changed, and where the disk is full. Nothing is left half unpacked.
    """
    path = path.absolute()
    _check_file(path)
    index, sha256 = _verified(path)
    members = [_member(one, path) for one in index["files"]]
    make_folder(folder, 0o700)  # a private key may be in it
    final = folder / sha256[:16]
    bundle = Bundle(path, final, sha256, index)
    lock = Lock(folder / f".{final.name}.lock")
    lock.acquire(wait=True)  # another job unpacks the same one
    try:
        for stale in folder.glob(f".{final.name}.*.tmp"):
            shutil.rmtree(stale, ignore_errors=True)
        if final.is_dir() and all(_as_packed(final, member) for member in members):
            return bundle
        _check_space(path, folder, members)
        aside = folder / f".{final.name}.{os.getpid()}.tmp"
        try:
            aside.mkdir(0o700)
            _unpack(path, aside, index, members)
            if final.exists():
                # Of a node that runs, its files stay open where they are.
                final.rename(folder / f".{final.name}.old-{os.getpid()}.tmp")
            aside.rename(final)
        except OSError as error:
            raise disk_error(error, final) from error
        finally:
            for left in folder.glob(f".{final.name}.*.tmp"):
                shutil.rmtree(left, ignore_errors=True)
        return bundle
    finally:
        lock.release()


def read_index(path: Path, *, verify: bool = True) -> dict[str, Any]:
    """Return the index of the bundle *path*; nothing is unpacked.

    Without *verify* what stands behind the index is not looked at. Raises what
    :func:`open_bundle` raises.
    """
    path = path.absolute()
    _check_file(path)
    if not verify:
        with suppress(OSError):
            index = _peek(path)
            if index is not None:
                _check_format(path, index)
                return index
    return _verified(path)[0]


def _check_file(path: Path) -> None:
    """Raise UsageError for what can be read once only, or without an end: a pipe, a device."""
    if path.exists() and not path.is_file() and not path.is_dir():
        raise UsageError(
            f"{path} is no bundle: it is no regular file",
            "write what comes through a pipe into a file first: it is read more than once",
        )


def _verified(path: Path) -> tuple[dict[str, Any], str]:
    """Return index and SHA-256 of the file *path*, which is as it was written."""
    try:
        with path.open("rb") as source:
            size = os.fstat(source.fileno()).st_size
            if not size:
                raise _cut(path, "it is empty")
            begin = source.read(4)
            if begin != _ZSTD:
                raise _foreign(path, "it does not begin as one")
            index = _peek(path)
            if index is not None:
                _check_format(path, index)
            digest, whole = _digest(source, size)
    except OSError as error:
        if isinstance(error, FileNotFoundError | IsADirectoryError | NotADirectoryError):
            raise UsageError(f"{path} is no bundle: {error.strerror}", "name the file") from error
        raise disk_error(error, path) from error
    if digest == _CHANGED:
        raise _changed(path, "its bytes do not fit its checksum")
    if digest == _NO_TRAILER:
        if index is None:
            raise _foreign(path, f"it has no {INDEX}, or was cut within it")
        raise _cut(path, f"its end is missing behind {size} bytes")
    if index is None:
        raise _foreign(path, f"it has no {INDEX}")
    return index, whole


_CHANGED, _NO_TRAILER, _WHOLE = "changed", "no trailer", "whole"


def _digest(source: IO[bytes], size: int) -> tuple[str, str]:
    """Return whether the file is whole, and the SHA-256 of all of it."""
    source.seek(max(0, size - TRAILER_BYTES))
    end = source.read()
    if end[:-32] != trailer(bytes(32))[:-32]:
        return _NO_TRAILER, ""
    source.seek(0)
    digest, left = hashlib.sha256(), size - TRAILER_BYTES
    while left and (block := source.read(min(left, 1 << 20))):
        digest.update(block)
        left -= len(block)
    if trailer(digest.digest()) != end:
        return _CHANGED, ""
    digest.update(end)
    return _WHOLE, digest.hexdigest()


def _cut(path: Path, how: str) -> InfrastructureError:
    return InfrastructureError(f"the bundle {path} was cut off: {how}", _AGAIN)


def _changed(path: Path, how: str) -> InfrastructureError:
    return InfrastructureError(f"the bundle {path} was changed or damaged: {how}", _AGAIN)


def _foreign(path: Path, why: str) -> UsageError:
    return UsageError(
        f"{path} is no bundle: {why}", "make one with 'yoctovirt bundle ROLE -o FILE'"
    )


def _peek(path: Path) -> dict[str, Any] | None:
    """Return the index of what may be a bundle; None where there is none to be read."""
    import zstandard

    try:
        with path.open("rb") as source:
            stream = zstandard.ZstdDecompressor().stream_reader(source)
            with tarfile.open(fileobj=stream, mode="r|") as tar:
                first = tar.next()
                if first is None or first.name != INDEX or first.size > _INDEX_BYTES:
                    return None
                text = tar.extractfile(first)
                index = json.loads(text.read()) if text else None
    except (zstandard.ZstdError, tarfile.TarError, ValueError):
        return None
    return index if isinstance(index, dict) and index.get("format") == FORMAT else None


def _check_format(path: Path, index: dict[str, Any]) -> None:
    version = index.get("version")
    if version != VERSION:
        raise UsageError(
            f"{path} is a bundle of format {version}, and this is yoctovirt for format {VERSION}",
            f"it was packed by {index.get('tool', 'another version')}: use that version here",
        )
    kinds = {"tool": str, "features": list, "image": str, "files": list}
    wrong = [key for key, kind in kinds.items() if not isinstance(index.get(key), kind)]
    if wrong or not isinstance(index.get("role"), dict | None) or "release" not in index:
        raise _changed(path, f"its index has no {(wrong or ['role or release'])[0]}")


def _member(entry: Any, path: Path) -> Member:
    """Return what *entry* of the index says; its path leads nowhere but below the folder."""
    try:
        found = Member(entry["path"], int(entry["bytes"]), int(entry["data"]),
                       str(entry["sha256"]), int(entry["mode"], 8))  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:
        raise _changed(path, f"its index has an entry that is none: {entry!r}") from error
    if not _PATH.fullmatch(found.path):
        raise _changed(path, f"its index names {found.path!r}, which no bundle holds")
    if found.mode not in (0o600, 0o644, 0o755) or found.bytes < 0:
        raise _changed(path, f"its index says impossible things of {found.path}")
    return found


def _as_packed(folder: Path, member: Member) -> bool:
    file = folder / member.path
    with suppress(OSError):
        return file.stat().st_size == member.bytes and sha256_file(file) == member.sha256
    return False


def _check_space(path: Path, folder: Path, members: list[Member]) -> None:
    wanted, free = sum(member.data for member in members), free_bytes(folder)
    if wanted > free:
        raise InfrastructureError(
            f"the disk is full: {path.name} needs {human_bytes(wanted)}, and {folder} has "
            f"{human_bytes(free)}",
            "free some space ('yoctovirt clean' says what the workspace occupies)",
        )


def _unpack(path: Path, folder: Path, index: dict[str, Any], members: list[Member]) -> None:
    """Write what the index lists into *folder*, in its order and nothing else."""
    import zstandard

    try:
        with path.open("rb") as source:
            stream = zstandard.ZstdDecompressor().stream_reader(source)
            with tarfile.open(fileobj=stream, mode="r|", bufsize=BLOCK) as tar:
                tar.next()
                (folder / INDEX).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
                for member in members:
                    _take(path, tar, member, folder / member.path)
                extra = tar.next()
                if extra is not None:
                    raise _changed(path, f"it holds {extra.name!r}, which its index does not list")
    except (zstandard.ZstdError, tarfile.TarError) as error:
        raise _changed(path, str(error)) from error


def _take(path: Path, tar: tarfile.TarFile, member: Member, target: Path) -> None:
    entry = tar.next()
    if entry is None or entry.name != member.path:
        found = f"it holds {entry.name!r}" if entry else "it ends"
        raise _changed(path, f"{found} where its index lists {member.path}")
    content = tar.extractfile(entry) if entry.isreg() else None
    if content is None or entry.size != member.bytes:
        raise _changed(path, f"{member.path} is no file of {member.bytes} bytes")
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, zero = hashlib.sha256(), bytes(BLOCK)
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, member.mode), "wb") as out:
        os.fchmod(out.fileno(), member.mode)
        for block in blocks(content):
            digest.update(block)
            if block == zero[: len(block)]:
                out.seek(len(block), os.SEEK_CUR)
            else:
                out.write(block)
        out.truncate(member.bytes)
    if digest.hexdigest() != member.sha256:
        raise _changed(path, f"{member.path} does not fit its checksum")
