"""The copied qemuboot.conf, the call of runqemu, and what it lets through of failures."""

from __future__ import annotations

import configparser
import shlex
import shutil
from pathlib import Path

import pytest

from tests.samples import IMAGE
from tests.unit.boot.images import image, native
from yoctovirt.boot.accel import Accelerator
from yoctovirt.boot.qemuargs import BootOptions, mac_address
from yoctovirt.boot.runqemu import runqemu_command, runqemu_complaint, write_conf
from yoctovirt.build.deploydir import DeployDir
from yoctovirt.errors import BootError, InfrastructureError, UsageError

TCG, KVM = Accelerator("tcg", "a reason"), Accelerator("kvm", "usable")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "node").mkdir()
    return tmp_path / "node"


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "runqemu"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def conf_of(deploy: DeployDir, folder: Path, **options: object) -> dict[str, str]:
    """Write the copy and read it as runqemu does."""
    path = write_conf(deploy, folder, "node", BootOptions(**options))  # type: ignore[arg-type]
    assert path == folder / f"{IMAGE}.qemuboot.conf"
    parser = configparser.ConfigParser()
    parser.read(path)
    return dict(parser.items("config_bsp"))


# The copy -----------------------------------------------------------------------


@pytest.mark.parametrize("release", ["kirkstone", "scarthgap"])
def test_the_copy_collides_with_nobody(tmp_path: Path, folder: Path, release: str) -> None:
    native(tmp_path)
    deploy = image(tmp_path, release)
    before = deploy.qemuboot.source.read_text()
    conf = conf_of(deploy, folder)
    assert conf["qb_rootfs_opt"] == f"-drive file={folder}/overlay.qcow2,if=virtio,format=qcow2"
    assert conf["qb_slirp_opt"] == "-netdev user,id=net0"
    assert "hostfwd" not in conf["qb_slirp_opt"]
    assert mac_address("node") in conf["qb_network_device"]
    assert conf["qb_graphics"] == ""
    assert conf["deploy_dir_image"] == str(deploy.path)
    assert f"-initrd {deploy.path}/initrd.cpio.gz" in conf["qb_opt_append"]
    assert conf["qb_cpu"] == deploy.qemuboot.get("qb_cpu")
    assert conf["qb_default_fstype"] == "ext4"
    # runqemu looks beside the file for what it boots.
    assert (folder / "bzImage").resolve() == deploy.kernel
    assert (folder / f"{IMAGE}.ext4").resolve() == deploy.rootfs
    assert deploy.qemuboot.source.read_text() == before


def test_what_the_user_changes_stands_in_the_copy(tmp_path: Path, folder: Path) -> None:
    conf = conf_of(image(tmp_path, "scarthgap"), folder, memory=777, cpus=3, ssh_port=2222)
    assert conf["qb_mem"] == "-m 777"
    assert conf["qb_smp"] == "-smp 3"
    assert conf["qb_slirp_opt"].endswith(",hostfwd=tcp:127.0.0.1:2222-:22")


def test_raw_is_rewritten(tmp_path: Path, folder: Path) -> None:
    if shutil.which("qemu-system-aarch64") is None:
        native(tmp_path, "qemu-system-aarch64")
    conf = conf_of(image(tmp_path, "qemuarm64"), folder)
    assert conf["qb_rootfs_opt"] == (
        f"-drive id=disk0,file={folder}/overlay.qcow2,if=none,format=qcow2 "
        "-device virtio-blk-pci,drive=disk0"
    )


def test_a_wic_overlay_has_the_name_by_which_runqemu_believes_its_format(
    tmp_path: Path, folder: Path
) -> None:
    deploy = image(tmp_path, "kirkstone", qb_default_fstype="wic")
    conf = conf_of(deploy, folder)
    assert conf["qb_default_fstype"] == "wic.qcow2"
    link = folder / f"{conf['image_link_name']}.wic.qcow2"
    assert link.readlink() == folder / "overlay.qcow2"
    assert "scsi-hd" in conf["qb_rootfs_opt"]
    assert f"file={folder}/overlay.qcow2,format=qcow2" in conf["qb_rootfs_opt"]


# Where QEMU is ------------------------------------------------------------------


def test_the_builds_own_qemu_is_taken(tmp_path: Path, folder: Path) -> None:
    binary = native(tmp_path)
    conf = conf_of(image(tmp_path, "scarthgap"), folder)
    assert conf["staging_bindir_native"] == str(binary.parent)
    assert conf["staging_dir_native"] == f"{tmp_path}/tmp/work/image/recipe-sysroot-native"


def test_what_rm_work_has_removed_is_not_missed(tmp_path: Path, folder: Path) -> None:
    binary = native(tmp_path, sysroot=False)
    conf = conf_of(image(tmp_path, "scarthgap"), folder)
    assert conf["staging_bindir_native"] == str(binary.parent)
    assert Path(conf["staging_dir_native"]).is_dir()


def test_an_image_that_was_copied_takes_the_hosts(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = tmp_path / "bin"
    host.mkdir()
    qemu = host / "qemu-system-x86_64"
    qemu.write_text("#!/bin/sh\n")
    qemu.chmod(0o755)
    monkeypatch.setenv("PATH", str(host))
    conf = conf_of(image(tmp_path, "scarthgap", uninative_loader="/x/ld.so"), folder)
    assert conf["staging_bindir_native"] == str(host)
    assert conf["staging_dir_native"] == "/usr"
    assert conf["uninative_loader"] == ""
    qemu.unlink()
    (folder / "bzImage").unlink()
    (folder / f"{IMAGE}.ext4").unlink()
    with pytest.raises(InfrastructureError, match="qemu-system-x86_64 is not installed"):
        conf_of(image(tmp_path, "scarthgap"), folder)


# The call -----------------------------------------------------------------------


def test_the_words_that_users_of_runqemu_know(tmp_path: Path, script: Path) -> None:
    boot = image(tmp_path, "scarthgap").qemuboot
    options = BootOptions(qemuparams=("-device 'a b'", "-no-reboot"), bootparams=("quiet", "x=1"))
    argv = runqemu_command(
        script, boot, Path("/n/x.qemuboot.conf"), "node", options, KVM, Path("/run/my console.log")
    )
    assert argv[:2] == [str(script), "/n/x.qemuboot.conf"]
    assert {"nographic", "slirp", "kvm"} <= set(argv)
    (params,) = [word for word in argv if word.startswith("qemuparams=")]
    words = shlex.split(params.removeprefix("qemuparams="))
    # Two -serial: runqemu adds its own otherwise, and ours would not be the first.
    assert words.count("-serial") == 2
    assert "logfile=/run/my console.log" in " ".join(words)
    assert words[-3:] == ["-device", "a b", "-no-reboot"]
    assert "-S" in words
    assert argv[-1] == "bootparams=console=ttyS0 quiet x=1"


def test_kvm_is_asked_for_only_where_it_was_chosen(tmp_path: Path, script: Path) -> None:
    boot = image(tmp_path, "scarthgap").qemuboot
    argv = runqemu_command(script, boot, Path("/c"), "n", BootOptions(), TCG, Path("/l"))
    assert "kvm" not in argv


def test_kernel_arguments_of_a_wic_image_are_refused(tmp_path: Path, script: Path) -> None:
    boot = image(tmp_path, "scarthgap", qb_default_fstype="wic").qemuboot
    options = BootOptions(bootparams=("quiet",))
    with pytest.raises(UsageError, match="--bootparams cannot reach"):
        runqemu_command(script, boot, Path("/c"), "n", options, TCG, Path("/l"))


def test_an_image_without_a_kernel_of_its_own(tmp_path: Path, folder: Path) -> None:
    deploy = image(tmp_path, "scarthgap", qb_default_fstype="wic", qb_default_kernel="none")
    conf = conf_of(deploy, folder)
    assert conf["qb_default_kernel"] == "none"
    assert not (folder / "none").exists()


def test_a_script_that_is_not_there(tmp_path: Path, script: Path) -> None:
    boot = image(tmp_path, "scarthgap").qemuboot
    script.unlink()
    with pytest.raises(BootError, match="cannot be run") as caught:
        runqemu_command(script, boot, Path("/c"), "n", BootOptions(), TCG, Path("/l"))
    assert "yoctovirt build" in caught.value.hint


# Its lies -----------------------------------------------------------------------

FAILED = """\
runqemu - INFO - Running /usr/bin/qemu-system-x86_64 -device virtio-net-pci -m 256 -nosuch

runqemu - INFO - Host uptime: 7180.59

runqemu - ERROR - Failed to run qemu: qemu-system-x86_64: -nosuch: invalid option

runqemu - INFO - Cleaning up
runqemu - INFO - Host uptime: 7180.60

\x1b[?7h
"""
TWO_LINES = """\
runqemu - ERROR - Failed to run qemu: qemu-system-x86_64: warning: a thing
qemu-system-x86_64: Could not set up host forwarding rule 'tcp:127.0.0.1:2222-:22'
runqemu - INFO - Cleaning up
"""
BROKE = """\
runqemu - INFO - Running bitbake -e ...
Traceback (most recent call last):
  File "/ws/layers/poky/scripts/runqemu", line 1766, in <module>
    sys.exit(main())
             ^^^^^^
  File "/usr/lib/python3.11/subprocess.py", line 1950, in _execute_child
    raise child_exception_type(errno_num, err_msg, err_filename)
FileNotFoundError: [Errno 2] No such file or directory: 'bitbake'
runqemu - INFO - Cleaning up
"""
USAGE = "runqemu - ERROR - KERNEL not found: /n/bzImage, /n/bzImage or /n/bzImage*\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (FAILED, "Failed to run qemu: qemu-system-x86_64: -nosuch: invalid option"),
        (
            TWO_LINES,
            "Failed to run qemu: qemu-system-x86_64: warning: a thing\n"
            "qemu-system-x86_64: Could not set up host forwarding rule 'tcp:127.0.0.1:2222-:22'",
        ),
        (
            BROKE,
            "runqemu broke: FileNotFoundError: [Errno 2] No such file or directory: 'bitbake'",
        ),
        (USAGE, "KERNEL not found: /n/bzImage, /n/bzImage or /n/bzImage*"),
        ("qemu-system-x86_64: -m: bad\n", "qemu-system-x86_64: -m: bad"),
        ("", ""),
    ],
)
def test_what_it_said(text: str, said: str) -> None:
    assert runqemu_complaint(text) == said


def test_of_a_long_output_the_end_is_told() -> None:
    text = "".join(f"line {number}\n" for number in range(50))
    assert runqemu_complaint(text).splitlines() == [f"line {number}" for number in range(44, 50)]
