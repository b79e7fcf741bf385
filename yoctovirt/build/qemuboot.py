"""``*.qemuboot.conf``: how an image wants to be started.

Written by OE-core's qemuboot.bbclass from the ``QB_*`` variables, read by runqemu.
"""

from __future__ import annotations

import configparser
import shlex
from dataclasses import dataclass
from pathlib import Path

from yoctovirt.errors import BuildError

_SECTION = "config_bsp"


@dataclass(frozen=True)
class QemuBoot:
    """The settings of one image; :meth:`get` takes names with or without ``QB_``."""

    source: Path
    values: dict[str, str]

    def get(self, name: str, default: str = "") -> str:
        """Return the value of ``name`` (as in the bbclass, any case), or *default*."""
        return self.values.get(name.lower()) or default

    def words(self, name: str) -> list[str]:
        """Return a value split as a shell splits words.

        Raises BuildError where its quotes do not match.
        """
        text = self.get(name)
        try:
            words = shlex.split(text)
        except ValueError as error:
            raise BuildError(f"{self.source}: {name.lower()}: {error}: {text}") from error
        return [word.replace("@DEPLOY_DIR_IMAGE@", str(self.deploy_dir)) for word in words]

    @property
    def deploy_dir(self) -> Path:
        """Folder of kernel and root file system: the one the file lies in.

        ``deploy_dir_image`` is relative to it, or names a folder of the build host
        that need not exist here.
        """
        return self.source.parent

    @property
    def fstype(self) -> str:
        """Suffix of the root file system image (QB_DEFAULT_FSTYPE)."""
        return self.get("qb_default_fstype", "ext4")

    def kernel(self) -> Path | None:
        """Return the path of the kernel (QB_DEFAULT_KERNEL, else KERNEL_IMAGETYPE).

        None where QB_DEFAULT_KERNEL is ``none``: the image brings a boot loader, as Xen's do.
        Raises BuildError where none is named.
        """
        name = self.get("qb_default_kernel") or self.get("kernel_imagetype")
        if name == "none":
            return None
        if not name:
            raise BuildError(
                f"{self.source} names no kernel (qb_default_kernel, kernel_imagetype)",
                "the file is truncated, or not made by qemuboot.bbclass",
            )
        return self.deploy_dir / name

    def deployed_files(self) -> list[Path]:
        """Return files of the deploy directory that QEMU options name (an initrd, a BIOS)."""
        words = [part for word in self.words("qb_opt_append") for part in word.split(",")]
        prefix = f"{self.deploy_dir}/"
        # A module of a hypervisor stands there with its arguments: "bzImage root=/dev/vda".
        return [
            Path(prefix + word.split(prefix, 1)[1].split(" ", 1)[0])
            for word in words
            if prefix in word
        ]


def load_qemuboot(path: Path) -> QemuBoot:
    """Return the settings in *path*; raise BuildError where it is missing or damaged."""
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise BuildError(f"{path} cannot be read: {error}") from error
    except configparser.Error as error:
        raise BuildError(
            f"{path} is damaged: {error.message.splitlines()[0]}", "build the image again"
        ) from error
    if not parser.has_section(_SECTION):
        raise BuildError(f"{path} has no section [{_SECTION}]", "build the image again")
    boot = QemuBoot(path, dict(parser.items(_SECTION)))
    if not boot.get("qb_system_name"):
        raise BuildError(
            f"{path} does not say which QEMU to use (qb_system_name)",
            "the file is truncated: build the image again",
        )
    return boot
