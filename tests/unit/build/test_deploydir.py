"""A deploy directory is verified before a node is started from it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.samples import IMAGE, bzimage, deploy_dir, ext4
from yoctovirt.build.deploydir import open_deploy_dir
from yoctovirt.errors import BuildError, UsageError


def test_a_whole_one_is_opened(tmp_path: Path) -> None:
    path = deploy_dir(tmp_path / "deploy")
    deploy = open_deploy_dir(path)
    assert deploy.path == path
    assert deploy.image == IMAGE
    assert deploy.kernel == path / "bzImage"
    assert deploy.rootfs == path / f"{IMAGE}.ext4"
    assert deploy.testdata["DISTRO"] == "poky"
    assert deploy.packages() == [
        ("busybox", "core2_64", "1.36.1"),
        ("glibc", "core2_64", "2.39+git0"),
    ]
    assert deploy.client_key is None
    assert deploy.host_key is None
    assert deploy.kernel is not None
    assert deploy.files() == sorted([deploy.kernel, deploy.rootfs, deploy.qemuboot.source])


def test_what_a_boot_does_not_need_may_be_missing(tmp_path: Path) -> None:
    path = deploy_dir(tmp_path)
    (path / f"{IMAGE}.manifest").unlink()
    (path / f"{IMAGE}.testdata.json").unlink()
    deploy = open_deploy_dir(path)
    assert (deploy.manifest, deploy.packages(), deploy.testdata) == (None, [], {})


def test_keys_and_an_initrd_of_the_build_are_found(tmp_path: Path) -> None:
    path = deploy_dir(tmp_path, qb_opt_append="-initrd @DEPLOY_DIR_IMAGE@/initrd")
    (path / "initrd").write_bytes(b"x")
    (path / "id_ed25519").write_text("key")
    (path / "ssh_host_ed25519_key.pub").write_text("ssh-ed25519 AAAA\n")
    deploy = open_deploy_dir(path)
    assert deploy.client_key == path / "id_ed25519"
    assert deploy.host_key == "ssh-ed25519 AAAA"
    assert path / "initrd" in deploy.files()


def test_a_relative_path_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deploy_dir(tmp_path / "deploy")
    monkeypatch.chdir(tmp_path)
    assert open_deploy_dir(Path("deploy")).kernel == tmp_path / "deploy" / "bzImage"


def test_no_such_folder_is_the_fault_of_the_call(tmp_path: Path) -> None:
    for path in (tmp_path / "gone", tmp_path / "file"):
        (tmp_path / "file").write_text("")
        with pytest.raises(UsageError, match="is no deploy directory") as caught:
            open_deploy_dir(path)
        assert caught.value.hint


# Damage -------------------------------------------------------------------------

Damage = Callable[[Path], object]


def cut(path: Path, size: int) -> None:
    with path.open("r+b") as file:
        file.truncate(size)


def dangle(path: Path) -> None:
    path.unlink()
    path.symlink_to("gone")


ROOTFS, CONF, DATA = f"{IMAGE}.ext4", f"{IMAGE}.qemuboot.conf", f"{IMAGE}.testdata.json"


@pytest.mark.parametrize(
    ("name", "damage", "words"),
    [
        ("bzImage", Path.unlink, "is missing"),
        ("bzImage", dangle, r"is missing \(a dangling link\)"),
        ("bzImage", lambda path: cut(path, 0), "is empty"),
        ("bzImage", lambda path: cut(path, 3000), "is truncated: 3000 bytes of 6144"),
        ("bzImage", lambda path: cut(path, len(bzimage()) - 1), "is truncated"),
        ("initrd", Path.unlink, "is missing"),
        ("initrd", lambda path: cut(path, 0), "is empty"),
        (ROOTFS, Path.unlink, "is missing"),
        (ROOTFS, dangle, r"is missing \(a dangling link\)"),
        (ROOTFS, lambda path: cut(path, 0), "is empty"),
        (ROOTFS, lambda path: cut(path, 1500), "holds no ext4 file system"),
        (ROOTFS, lambda path: cut(path, 500_000), "is truncated: 500000 bytes of 1048576"),
        (ROOTFS, lambda path: cut(path, (1 << 20) - 1), "is truncated"),
        (ROOTFS, lambda path: path.write_bytes(b"\0" * (1 << 20)), "holds no ext4 file system"),
        (CONF, Path.unlink, r"has no \*\.qemuboot\.conf"),
        (CONF, dangle, "cannot be read"),
        (CONF, lambda path: cut(path, 0), r"has no section \[config_bsp\]"),
        (CONF, lambda path: cut(path, 40), "is damaged|does not say which QEMU"),
        (CONF, lambda path: path.write_bytes(b"\xff\xfe\x00"), "cannot be read"),
        (CONF, lambda path: path.write_text("no section = here\n"), "is damaged"),
        (DATA, lambda path: cut(path, 0), "is truncated or no JSON"),
        (DATA, lambda path: cut(path, 20), "is truncated or no JSON"),
        (DATA, lambda path: path.write_bytes(b'{"a": "\xff"}'), "is truncated or no JSON"),
        (DATA, lambda path: path.write_text("[]"), "holds no mapping"),
    ],
)
def test_damage_is_seen_and_named(tmp_path: Path, name: str, damage: Damage, words: str) -> None:
    path = deploy_dir(tmp_path, qb_opt_append="-initrd @DEPLOY_DIR_IMAGE@/initrd")
    (path / "initrd").write_bytes(b"x")
    open_deploy_dir(path)
    damage(path / name)
    with pytest.raises(BuildError, match=words) as caught:
        open_deploy_dir(path)
    assert str(path) in caught.value.message
    assert caught.value.hint or "cannot be read" in caught.value.message


def test_a_folder_in_the_place_of_a_file_is_seen(tmp_path: Path) -> None:
    path = deploy_dir(tmp_path)
    (path / "bzImage").unlink()
    (path / "bzImage").mkdir()
    with pytest.raises(BuildError, match="bzImage is missing"):
        open_deploy_dir(path)


def test_a_kernel_that_is_no_bzimage_is_taken_as_it_is(tmp_path: Path) -> None:
    # An Image of arm64 has another header: what cannot be checked is left to QEMU.
    path = deploy_dir(tmp_path, qb_default_kernel="Image", kernel_imagetype="Image")
    (path / "Image").write_bytes(b"MZ\0\0" + b"\0" * 1000)
    assert open_deploy_dir(path).kernel == path / "Image"


def test_an_image_with_a_boot_loader_may_name_no_kernel(tmp_path: Path) -> None:
    path = deploy_dir(tmp_path, qb_default_kernel="none", qb_default_fstype="wic")
    (path / ROOTFS).rename((path / ROOTFS).with_suffix(".wic"))
    deploy = open_deploy_dir(path)
    assert deploy.kernel is None
    assert deploy.files() == sorted([deploy.rootfs, deploy.qemuboot.source])


def test_no_kernel_and_no_boot_loader(tmp_path: Path) -> None:
    path = deploy_dir(tmp_path, qb_default_kernel="none")
    with pytest.raises(BuildError, match="its ext4 image has no boot loader"):
        open_deploy_dir(path)


def test_a_larger_file_than_the_file_system_is_no_damage(tmp_path: Path) -> None:
    path = deploy_dir(tmp_path)
    (path / ROOTFS).write_bytes(ext4() + b"\0" * 4096)
    assert open_deploy_dir(path).rootfs == path / ROOTFS


# Several images, dated files ----------------------------------------------------


def test_several_images_need_a_choice(tmp_path: Path) -> None:
    deploy_dir(tmp_path)
    deploy_dir(tmp_path, "core-image-full-qemux86-64")
    with pytest.raises(UsageError, match="holds several images") as caught:
        open_deploy_dir(tmp_path)
    assert "core-image-full-qemux86-64, core-image-minimal-qemux86-64" in caught.value.message
    assert "--image" in caught.value.hint
    chosen = open_deploy_dir(tmp_path, "core-image-full-qemux86-64")
    assert chosen.rootfs.name == "core-image-full-qemux86-64.ext4"


def test_an_unknown_image_is_answered_with_near_matches(tmp_path: Path) -> None:
    deploy_dir(tmp_path)
    with pytest.raises(UsageError, match="has no image 'core-image-minmal") as caught:
        open_deploy_dir(tmp_path, "core-image-minmal-qemux86-64")
    assert IMAGE in caught.value.hint


def dated(path: Path, *stamps: str, kirkstone: bool = False) -> Path:
    """Make *path* as Yocto does: dated files, and links to the last ones.

    kirkstone has ``.rootfs`` after the date, and in the names of some files only;
    later releases have it before the date, and everywhere.
    """
    for stamp in stamps:
        deploy_dir(path, f"{IMAGE}.rootfs-{stamp}")
    for suffix in ("ext4", "manifest", "qemuboot.conf", "testdata.json"):
        name = f"{IMAGE}.rootfs-{stamps[-1]}.{suffix}"
        if kirkstone:
            middle = ".rootfs" if suffix in ("ext4", "manifest") else ""
            old = name
            name = f"{IMAGE}-{stamps[-1]}{middle}.{suffix}"
            (path / old).rename(path / name)
        (path / f"{link_name(kirkstone)}.{suffix}").symlink_to(name)
    (path / "bzImage").rename(path / "bzImage--6.6-r0-qemux86-64-20261101.bin")
    (path / "bzImage").symlink_to("bzImage--6.6-r0-qemux86-64-20261101.bin")
    return path


def link_name(kirkstone: bool) -> str:
    return IMAGE if kirkstone else f"{IMAGE}.rootfs"


@pytest.mark.parametrize("kirkstone", [True, False])
def test_a_dated_file_and_its_link_are_one_image(tmp_path: Path, kirkstone: bool) -> None:
    path = dated(tmp_path / "deploy", "20261101120000", kirkstone=kirkstone)
    deploy = open_deploy_dir(path)
    assert deploy.image == link_name(kirkstone)
    assert deploy.rootfs == path / f"{deploy.image}.ext4"
    assert deploy.testdata["DISTRO"] == "poky"
    assert len(deploy.packages()) == 2
    assert deploy.rootfs.resolve() in deploy.files()
    for name in (deploy.image, IMAGE):
        assert open_deploy_dir(path, name).rootfs == deploy.rootfs


def test_the_link_says_which_of_two_builds_is_the_image(tmp_path: Path) -> None:
    path = dated(tmp_path / "deploy", "20261101120000", "20261102120000")
    deploy = open_deploy_dir(path)
    assert deploy.image == f"{IMAGE}.rootfs"
    assert deploy.rootfs.resolve().name == f"{IMAGE}.rootfs-20261102120000.ext4"
    # The older one can still be had by its whole name.
    older = f"{IMAGE}.rootfs-20261101120000"
    assert open_deploy_dir(path, older).rootfs == path / f"{older}.ext4"


def test_dated_files_without_a_link_need_a_choice(tmp_path: Path) -> None:
    path = dated(tmp_path / "deploy", "20261101120000", "20261102120000")
    (path / f"{IMAGE}.rootfs.qemuboot.conf").unlink()
    with pytest.raises(UsageError, match="holds several images"):
        open_deploy_dir(path)


def test_the_name_of_the_recipe_is_enough(tmp_path: Path) -> None:
    # "bitbake core-image-minimal" made it: this is the name that its user knows.
    path = dated(tmp_path / "a", "20261101120000")
    assert open_deploy_dir(path, "core-image-minimal").image == f"{IMAGE}.rootfs"
    deploy_dir(tmp_path / "b")
    assert open_deploy_dir(tmp_path / "b", "core-image-minimal").image == IMAGE


def test_a_copy_without_its_dated_files_is_seen(tmp_path: Path) -> None:
    path = dated(tmp_path / "deploy", "20261101120000")
    (path / f"{IMAGE}.rootfs-20261101120000.ext4").unlink()
    with pytest.raises(BuildError, match="a dangling link"):
        open_deploy_dir(path)
