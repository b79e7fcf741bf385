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
from yoctovirt.base.process import missing_tool
from yoctovirt.boot.accel import Accelerator
from yoctovirt.boot.qemuargs import (
    EVENTS_SOCKET,
    OVERLAY,
    QMP_SOCKET,
    SERIAL_SOCKET,
    BootOptions,
    check_bootparams,
    first_console,
    mac_address,
    memory_mib,
    root_disk,
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
        if target is not None:
            (folder / target.name).symlink_to(target)
    # runqemu takes the folder of the file for the deploy directory.
    values = {
        key: value.replace("@DEPLOY_DIR_IMAGE@", str(boot.deploy_dir))
        for key, value in boot.values.items()
    }
    values.update(native_folders(boot))
    overlay = folder / OVERLAY
    if boot.fstype.startswith("wic"):
        # Only of an image of this name runqemu believes that it is qcow2, and only then
        # it takes our option for the disk.
        values["qb_default_fstype"] = "wic.qcow2"
        link = f"{boot.get('image_link_name', deploy.image)}.wic.qcow2"
        (folder / link).symlink_to(overlay)
    forward = f",hostfwd=tcp:127.0.0.1:{options.ssh_port}-:22" if options.ssh_port else ""
    values.update(
        deploy_dir_image=str(boot.deploy_dir),
        qb_rootfs_opt=root_disk(boot, overlay),
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


def native_folders(boot: QemuBoot) -> dict[str, str]:
    """Return where runqemu finds QEMU: the build's own where it is there, else the host's.

    Both folders must exist, or runqemu asks bitbake and ends in a traceback.
    """
    name = boot.get("qb_system_name")
    bindir = boot.deploy_dir / boot.get("staging_bindir_native", "/usr/bin")
    if (bindir / name).exists():
        bindir = Path(os.path.normpath(bindir))
        folder = Path(os.path.normpath(boot.deploy_dir / boot.get("staging_dir_native", "/")))
        # rm_work removes the one of the image, and leaves that of the helper.
        folder = folder if folder.is_dir() else bindir.parent
        return {"staging_bindir_native": str(bindir), "staging_dir_native": str(folder)}
    qemu = shutil.which(name)
    if qemu is None:
        raise missing_tool(name)
    return {
        "staging_bindir_native": str(Path(qemu).parent),
        "staging_dir_native": "/usr",
        "uninative_loader": "",
    }


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
    check_bootparams(boot, options)
    qemu = [
        "-name", name, "-display", "none",
        "-chardev",
        f"socket,id=console,path={SERIAL_SOCKET},server=on,wait=off,logfile={console_log}",
        "-serial", "chardev:console", "-serial", "null",
        "-qmp", f"unix:{QMP_SOCKET},server=on,wait=off",
        "-qmp", f"unix:{EVENTS_SOCKET},server=on,wait=off",
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
