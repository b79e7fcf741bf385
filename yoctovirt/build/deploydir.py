"""A deploy directory: what a build leaves and a boot needs, verified before use.

The layout is Yocto's ``tmp/deploy/images/<machine>``: kernel, root file system,
``*.qemuboot.conf``, ``*.manifest``, ``*.testdata.json``. The ``debian`` builder
writes the same, plus SSH keys and ``SHA256SUMS``.
"""

from __future__ import annotations

import json
import os
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yoctovirt.base.files import sha256_file
from yoctovirt.base.suggest import did_you_mean
from yoctovirt.build.qemuboot import QemuBoot, load_qemuboot
from yoctovirt.errors import BuildError, InfrastructureError, UsageError

SUMS = "SHA256SUMS"
CLIENT_KEY = "id_ed25519"
HOST_KEY = "ssh_host_ed25519_key.pub"


@dataclass(frozen=True)
class DeployDir:
    """One image of a deploy directory, with all its parts found and plausible."""

    path: Path
    image: str  #: name without suffix, e.g. ``core-image-minimal-qemux86-64``
    qemuboot: QemuBoot
    kernel: Path | None  #: None: the image has a boot loader, which starts what lies in it
    rootfs: Path
    manifest: Path | None
    testdata: dict[str, Any]
    client_key: Path | None  #: private key that root of the image accepts
    host_key: str | None  #: public host key of the image's sshd, where the build knows it

    def packages(self) -> list[tuple[str, str, str]]:
        """Return name, architecture, version of what is installed, from the manifest."""
        if self.manifest is None:
            return []
        rows = [line.split() for line in self.manifest.read_text().splitlines()]
        return [(row[0], row[1], row[2]) for row in rows if len(row) == 3]

    def files(self) -> list[Path]:
        """Return the files that a boot uses."""
        used = [self.qemuboot.source, self.rootfs, *self.qemuboot.deployed_files()]
        if self.kernel is not None:
            used.append(self.kernel)
        return sorted({path.resolve() for path in used})


def open_deploy_dir(path: Path, image: str | None = None) -> DeployDir:
    """Return the image in *path*, by its name where there are several.

    Raises UsageError where there is no such folder or image, BuildError where a
    file of it is missing, truncated or not what its name says.
    """
    path = path.absolute()
    if not path.is_dir():
        raise UsageError(
            f"{path} is no deploy directory: no such folder",
            "name the folder that holds the *.qemuboot.conf of the image",
        )
    conf = _choose(path, image)
    boot = load_qemuboot(conf)
    name = conf.name.removesuffix(".qemuboot.conf")
    kernel = boot.kernel()
    if kernel is not None:
        _check_kernel(kernel)
    elif not boot.fstype.startswith("wic"):
        raise BuildError(
            f"{conf} names no kernel (QB_DEFAULT_KERNEL is none), and its {boot.fstype} image has "
            "no boot loader",
            "set QB_DEFAULT_KERNEL, or QB_DEFAULT_FSTYPE to wic",
        )
    for extra in boot.deployed_files():
        _check_present(extra)
    rootfs = _rootfs(path, name, boot)
    manifest = path / f"{name}.manifest"
    testdata = path / f"{name}.testdata.json"
    key = path / CLIENT_KEY
    host_key = path / HOST_KEY
    return DeployDir(
        path=path,
        image=name,
        qemuboot=boot,
        kernel=kernel,
        rootfs=rootfs,
        manifest=manifest if manifest.is_file() else None,
        testdata=_load_testdata(testdata) if testdata.is_file() else {},
        client_key=key if key.is_file() else None,
        host_key=host_key.read_text().strip() if host_key.is_file() else None,
    )


def check_sums(deploy: DeployDir) -> int:
    """Compare what a boot uses of *deploy* with its ``SHA256SUMS``; return how many files.

    0 where there is no such file: bitbake writes none. Raises InfrastructureError where a file
    is another one, UsageError where the list cannot be read.
    """
    listing = deploy.path / SUMS
    if not listing.is_file():
        return 0
    wanted: dict[str, str] = {}
    for number, line in enumerate(listing.read_text(errors="replace").splitlines(), 1):
        match = re.fullmatch(r"([0-9a-f]{64}) [ *](?:\./)?(.+)", line)
        if match is None:
            raise UsageError(
                f"{listing}:{number}: no line of sha256sum: {line[:80]!r}",
                "make it again: sha256sum FILES > SHA256SUMS",
            )
        wanted[match[2]] = match[1]
    seen = 0
    beside = [deploy.manifest, deploy.path / f"{deploy.image}.testdata.json", deploy.kernel,
              deploy.rootfs, deploy.qemuboot.source, *deploy.qemuboot.deployed_files()]  # fmt: skip
    for path in dict.fromkeys(path for path in beside if path is not None and path.is_file()):
        digest = wanted.get(os.path.relpath(path, deploy.path))
        if digest is not None and sha256_file(path) != digest:
            raise InfrastructureError(
                f"{path} does not fit its checksum in {listing}",
                "copy the folder again, whole; where you changed it yourself, remove SHA256SUMS",
            )
        seen += digest is not None
    return seen


def _choose(path: Path, image: str | None) -> Path:
    # Yocto leaves a dated file and a link to it for each image; the link is the newest.
    confs = {
        conf.name.removesuffix(".qemuboot.conf"): conf for conf in path.glob("*.qemuboot.conf")
    }
    if not confs:
        raise BuildError(
            f"{path} has no *.qemuboot.conf",
            "the build did not finish, or its image does not inherit qemuboot",
        )
    if image is not None:
        for name in (image, f"{image}.rootfs"):
            if name in confs:
                return confs[name]
        # The name of the recipe, without the machine; dated files have a link beside them.
        named = {n: conf for n, conf in _current(confs).items() if n.startswith(f"{image}-")}
        if len(named) == 1:
            return next(iter(named.values()))
        raise UsageError(f"{path} has no image {image!r}", did_you_mean(image, confs))
    confs = _current(confs)
    links = {conf.resolve() for conf in confs.values()}
    if len(links) > 1:
        raise UsageError(
            f"{path} holds several images: {', '.join(sorted(confs))}", "choose one with --image"
        )
    return min(confs.values(), key=lambda conf: (not conf.is_symlink(), len(conf.name)))


def _current(confs: dict[str, Path]) -> dict[str, Path]:
    """Return *confs* without the dated files of images to whose newest one a link points."""
    links = [name for name, conf in confs.items() if conf.is_symlink()]
    return {
        name: conf
        for name, conf in confs.items()
        if conf.is_symlink()
        or not any(re.fullmatch(re.escape(link) + r"-\d{12,}", name) for link in links)
    }


def _check_present(path: Path) -> int:
    if not path.is_file():
        target = " (a dangling link)" if path.is_symlink() else ""
        raise BuildError(
            f"{path} is missing{target}", "build the image again, or copy the folder whole"
        )
    size = path.stat().st_size
    if size == 0:
        raise BuildError(f"{path} is empty", "build the image again, or copy the folder whole")
    return size


def _truncated(path: Path, size: int, wanted: int) -> BuildError:
    return BuildError(
        f"{path} is truncated: {size} bytes of {wanted}",
        "build the image again, or copy the folder whole",
    )


def _check_kernel(path: Path) -> None:
    """Compare an x86 bzImage with what its header says (boot protocol: setup_sects, syssize)."""
    size = _check_present(path)
    with path.open("rb") as kernel:
        head = kernel.read(0x210)
    if head[0x202:0x206] == b"HdrS":
        setup_sectors = head[0x1F1] or 4
        (paragraphs,) = struct.unpack_from("<I", head, 0x1F4)
        wanted = (setup_sectors + 1) * 512 + paragraphs * 16
        if size < wanted:
            raise _truncated(path, size, wanted)


def _rootfs(path: Path, name: str, boot: QemuBoot) -> Path:
    fstype = boot.fstype
    rootfs = path / f"{name}.{fstype}"
    size = _check_present(rootfs)
    if fstype in ("ext2", "ext3", "ext4"):
        with rootfs.open("rb") as image:
            image.seek(1024)
            block = image.read(1024)
        if len(block) < 1024 or block[0x38:0x3A] != b"\x53\xef":
            raise BuildError(f"{rootfs} holds no {fstype} file system", "build the image again")
        blocks, log_size = struct.unpack_from("<I", block, 4)[0], block[0x18]
        wanted = blocks * (1024 << log_size)
        if size < wanted:
            raise _truncated(rootfs, size, wanted)
    return rootfs


def _load_testdata(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise BuildError(
            f"{path} is truncated or no JSON: {error}", "build the image again"
        ) from error
    if not isinstance(values, dict):
        raise BuildError(f"{path} holds no mapping", "build the image again")
    return values
