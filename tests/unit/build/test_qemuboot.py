from __future__ import annotations

from pathlib import Path

import pytest

from tests.samples import qemuboot
from yoctovirt.build.qemuboot import QemuBoot, load_qemuboot
from yoctovirt.errors import BuildError


def load(tmp_path: Path, text: str) -> QemuBoot:
    path = tmp_path / "x.qemuboot.conf"
    path.write_text(text)
    return load_qemuboot(path)


def test_values_are_found_by_any_spelling_of_their_name(tmp_path: Path) -> None:
    boot = load(tmp_path, qemuboot(qb_mem="-m 512"))
    assert boot.get("qb_mem") == boot.get("QB_MEM") == "-m 512"
    assert boot.get("qb_none") == ""
    assert boot.get("qb_none", "-m 256") == "-m 256"


def test_an_empty_value_is_as_good_as_none(tmp_path: Path) -> None:
    boot = load(tmp_path, qemuboot() + "qb_smp =\n")
    assert boot.get("qb_smp", "-smp 1") == "-smp 1"
    assert boot.words("qb_smp") == []


def test_percent_signs_and_equal_signs_are_taken_as_they_are(tmp_path: Path) -> None:
    boot = load(tmp_path, qemuboot(qb_kernel_cmdline_append="a=%(b)s c=100%"))
    assert boot.get("qb_kernel_cmdline_append") == "a=%(b)s c=100%"


def test_words_are_split_as_a_shell_does(tmp_path: Path) -> None:
    boot = load(tmp_path, qemuboot(qb_opt_append="-device 'a b',x=1 -append \"c d\""))
    assert boot.words("qb_opt_append") == ["-device", "a b,x=1", "-append", "c d"]


def test_quotes_that_do_not_match_are_an_error_with_name_and_value(tmp_path: Path) -> None:
    boot = load(tmp_path, qemuboot(qb_opt_append="-device 'a b"))
    with pytest.raises(BuildError, match=r"x\.qemuboot\.conf: qb_opt_append: .*-device 'a b"):
        boot.words("QB_OPT_APPEND")


def test_the_kernel_is_the_default_one_or_the_type(tmp_path: Path) -> None:
    assert load(tmp_path, qemuboot(qb_default_kernel="vmlinux")).kernel() == tmp_path / "vmlinux"
    second = load(tmp_path, qemuboot(qb_default_kernel="", kernel_imagetype="zImage"))
    assert second.kernel() == tmp_path / "zImage"
    with pytest.raises(BuildError, match="names no kernel"):
        load(tmp_path, qemuboot(qb_default_kernel="", kernel_imagetype="")).kernel()


def test_the_file_system_type(tmp_path: Path) -> None:
    assert load(tmp_path, qemuboot(qb_default_fstype="")).fstype == "ext4"
    assert load(tmp_path, qemuboot(qb_default_fstype="squashfs")).fstype == "squashfs"


def test_the_folder_of_the_build_host_does_not_count(tmp_path: Path) -> None:
    boot = load(tmp_path, qemuboot(deploy_dir_image="/srv/builder/tmp/deploy/images/qemux86-64"))
    assert boot.deploy_dir == tmp_path
    assert boot.kernel() == tmp_path / "bzImage"


def test_files_of_the_deploy_directory_in_options(tmp_path: Path) -> None:
    text = "-initrd @DEPLOY_DIR_IMAGE@/initrd -drive if=pflash,file=@DEPLOY_DIR_IMAGE@/ovmf.bin -s"
    boot = load(tmp_path, qemuboot(qb_opt_append=text))
    assert boot.deployed_files() == [tmp_path / "initrd", tmp_path / "ovmf.bin"]
    assert f"file={tmp_path}/ovmf.bin" in " ".join(boot.words("qb_opt_append"))


def test_a_folder_with_a_space_in_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "my images"
    folder.mkdir()
    boot = load(folder, qemuboot(qb_opt_append="-initrd @DEPLOY_DIR_IMAGE@/initrd"))
    assert boot.words("qb_opt_append") == ["-initrd", f"{folder}/initrd"]
    assert boot.deployed_files() == [folder / "initrd"]


def test_a_file_without_the_name_of_qemu_is_truncated(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="qb_system_name") as caught:
        load(tmp_path, qemuboot(qb_system_name=""))
    assert "build the image again" in caught.value.hint


def test_a_module_of_a_hypervisor_is_a_file_without_its_arguments(tmp_path: Path) -> None:
    text = '-initrd "@DEPLOY_DIR_IMAGE@/bzImage root=/dev/vda rw,@DEPLOY_DIR_IMAGE@/initrd"'
    boot = load(tmp_path, qemuboot(qb_opt_append=text))
    assert boot.deployed_files() == [tmp_path / "bzImage", tmp_path / "initrd"]
    assert boot.words("qb_opt_append") == [
        "-initrd",
        f"{tmp_path}/bzImage root=/dev/vda rw,{tmp_path}/initrd",
    ]
