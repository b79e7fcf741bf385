"""Launch by the release's own runqemu, on a copy of the image's qemuboot.conf.

The copy differs in what would collide with us: the root file system is the
overlay, slirp forwards no port (QEMU is asked for a free one over QMP), and the
paths are absolute. Everything after the launch is shared with plain QEMU.
"""

from __future__ import annotations

import configparser
import os
import re
import shlex
import shutil
from pathlib import Path

from yoctovirt.base.files import write_atomically
from yoctovirt.boot.accel import Accelerator
from yoctovirt.boot.qemuargs import (
    OVERLAY,
    QMP_SOCKET,
    SERIAL_SOCKET,
    BootOptions,
    first_console,
    mac_address,
    memory_mib,
)
from yoctovirt.build.deploydir import DeployDir
from yoctovirt.build.qemuboot import QemuBoot
from yoctovirt.errors import BootError


def write_conf(deploy: DeployDir, folder: Path, name: str, options: BootOptions) -> Path:
    """Write the copied qemuboot.conf into the *folder* of the node and return its path.

    runqemu looks for root file system and kernel beside it: links lead to them.
    """
    boot = deploy.qemuboot
    for target in (deploy.rootfs, deploy.kernel):
        (folder / target.name).symlink_to(target)
    # runqemu takes the folder of the file for the deploy directory.
    values = {
        key: value.replace("@DEPLOY_DIR_IMAGE@", str(boot.deploy_dir))
        for key, value in boot.values.items()
    }
    qemu = shutil.which(boot.get("qb_system_name"))
    native = boot.deploy_dir / boot.get("staging_bindir_native", "/usr/bin")
    if not (native / boot.get("qb_system_name")).exists() and qemu:
        # The build's own QEMU is not here (an image that was copied): take the host's.
        values["staging_bindir_native"] = str(Path(qemu).parent)
        values["staging_dir_native"] = "/usr"
        values["uninative_loader"] = ""
    else:
        for key in ("staging_bindir_native", "staging_dir_native"):
            if boot.get(key):
                values[key] = os.path.normpath(boot.deploy_dir / boot.get(key))
    overlay = folder / OVERLAY
    option = boot.get("qb_rootfs_opt") or "-drive file=@ROOTFS@,if=virtio,format=raw"
    option = re.sub(r"\bformat=\w+", "format=qcow2", option.replace("@ROOTFS@", str(overlay)))
    forward = f",hostfwd=tcp:127.0.0.1:{options.ssh_port}-:22" if options.ssh_port else ""
    values.update(
        deploy_dir_image=str(boot.deploy_dir),
        qb_rootfs_opt=option,
        qb_slirp_opt=f"-netdev user,id=net0{forward}",
        qb_network_device=(
            boot.get("qb_network_device") or "-device virtio-net-pci,netdev=net0,mac=@MAC@"
        ).replace("@MAC@", mac_address(name)),
        qb_mem=f"-m {memory_mib(boot, options.memory)}",
        qb_graphics="",
    )
    if options.cpus:
        values["qb_smp"] = f"-smp {options.cpus}"
    parser = configparser.RawConfigParser()
    parser.read_dict({"config_bsp": values})
    path = folder / f"{deploy.image}.qemuboot.conf"
    lines = [f"{key} = {value}" for key, value in parser["config_bsp"].items()]
    write_atomically(path, "[config_bsp]\n" + "\n".join(lines) + "\n")
    return path


def runqemu_command(
    runqemu: Path,
    boot: QemuBoot,
    conf: Path,
    name: str,
    options: BootOptions,
    accelerator: Accelerator,
    console_log: Path,
) -> list[str]:
    """Return argv of runqemu; raise BootError where the script cannot be run."""
    if not os.access(runqemu, os.X_OK):
        raise BootError(
            f"{runqemu} cannot be run", "check out the layers again with 'yoctovirt build'"
        )
    qemu = [
        "-name", name, "-display", "none",
        "-chardev",
        f"socket,id=console,path={SERIAL_SOCKET},server=on,wait=off,logfile={console_log}",
        "-serial", "chardev:console", "-serial", "null",
        "-qmp", f"unix:{QMP_SOCKET},server=on,wait=off",
        "-S",
    ]  # fmt: skip
    words = [str(runqemu), str(conf), "nographic", "slirp"]
    if accelerator.name == "kvm":
        words.append("kvm")
    words.append(f"qemuparams={' '.join([shlex.join(qemu), *options.qemuparams])}")
    # runqemu names all serial ports, and the last one becomes /dev/console: ours is the first.
    words.append(f"bootparams={' '.join([first_console(boot), *options.bootparams])}")
    return words


def runqemu_complaint(text: str) -> str:
    """Return what runqemu or its QEMU said of a start that failed.

    runqemu ends with status 0 although QEMU failed, and with a traceback where its
    arguments are wrong: its output alone tells.
    """
    errors = re.findall(r"runqemu - ERROR - (.+(?:\n(?!runqemu - ).+)*)", text)
    if errors:
        return "\n".join(error.strip() for error in errors)
    traceback = re.search(
        r"Traceback \(most recent call last\):[\s\S]*?\n(\w+(?:\.\w+)*: .*)", text
    )
    if traceback:
        return f"runqemu broke: {traceback[1]}"
    return "\n".join(text.strip().splitlines()[-6:])
