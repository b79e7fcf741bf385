"""Bundles: what goes in comes out, on another machine; what was cut or changed is refused."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from tests.samples import IMAGE, deploy_dir
from yoctovirt.build import bundle as module
from yoctovirt.build import unbundle
from yoctovirt.build.builders import Built
from yoctovirt.build.bundle import INDEX, TRAILER_BYTES, trailer, write_bundle
from yoctovirt.build.deploydir import open_deploy_dir
from yoctovirt.build.unbundle import open_bundle, read_index
from yoctovirt.config.roles import load_role, role_as_mapping, role_files, role_from_mapping
from yoctovirt.errors import BuildError, InfrastructureError, UsageError

CONFIG = {
    "header": {"version": 19},
    "repos": {"poky": {"url": "https://git.example.invalid/poky", "commit": "c0ffee" * 6 + "c0ff"}},
}


def built(folder: Path, **values: str) -> Built:
    """Make an image as a build by kas leaves it: dated files and links, an initrd, a runqemu."""
    deploy = deploy_dir(folder / "deploy", **values)
    for name in ("bzImage", f"{IMAGE}.ext4"):
        (deploy / name).rename(deploy / f"dated-{name}")
        (deploy / name).symlink_to(f"dated-{name}")
    (deploy / "initrd.gz").write_bytes(os.urandom(300_000))
    (deploy / "other-image.ext4").write_bytes(b"not of this image")
    runqemu = folder / "scripts" / "runqemu"
    runqemu.parent.mkdir(exist_ok=True)
    runqemu.write_text("#!/usr/bin/env python3\n")
    runqemu.chmod(0o755)
    return Built(open_deploy_dir(deploy), "scarthgap", runqemu, CONFIG, features=("podman",))


@pytest.fixture
def image(tmp_path: Path) -> Built:
    return built(tmp_path / "a", qb_opt_append="-initrd @DEPLOY_DIR_IMAGE@/initrd.gz")


@pytest.fixture
def packed(tmp_path: Path, image: Built) -> Path:
    return write_bundle(tmp_path / "x.tar.zst", image, load_role("docker-host")).path


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_what_goes_in_comes_out(tmp_path: Path, image: Built, packed: Path) -> None:
    bundle = open_bundle(packed, tmp_path / "bundles")
    there = bundle.built()
    for name in ("kernel", "rootfs", "manifest"):
        source, target = getattr(image.deploy, name), getattr(there.deploy, name)
        assert target.read_bytes() == source.read_bytes(), name
        assert target.is_relative_to(bundle.folder)
        assert not target.is_symlink()
    assert there.deploy.testdata == image.deploy.testdata
    assert there.deploy.packages() == image.deploy.packages()
    assert (there.release, there.features, there.config) == ("scarthgap", ("podman",), CONFIG)
    assert there.runqemu
    assert os.access(there.runqemu, os.X_OK)
    assert (bundle.folder / "deploy" / "initrd.gz").is_file()
    assert not (bundle.folder / "deploy" / "other-image.ext4").exists()
    assert bundle.folder.stat().st_mode & 0o077 == 0
    role, before = bundle.role(), load_role("docker-host")
    assert role is not None
    assert (role.promises, role.node, role.name) == (before.promises, before.node, before.name)


@pytest.mark.parametrize("name", sorted(role_files()))
def test_a_role_says_the_same_as_a_mapping(name: str) -> None:
    role = load_role(name)
    assert role_from_mapping(name, role_as_mapping(role), role.source) == role


def test_every_tar_can_list_it(packed: Path) -> None:
    """Nobody needs yoctovirt to look into one: the trailer is for zstd nothing at all."""
    plain = subprocess.run(["zstd", "-dcq", packed], check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        names = tar.getnames()
    assert names[0] == INDEX
    assert names[1:] == sorted(names[1:])
    assert {"deploy/bzImage", "kas.yml", "scripts/runqemu"} <= set(names)


def test_the_same_image_gives_the_same_bytes(tmp_path: Path) -> None:
    role = load_role("docker-host")
    one, two = built(tmp_path / "a"), built(tmp_path / "elsewhere" / "b")
    first = write_bundle(tmp_path / "one", one, role)
    os.utime(two.deploy.rootfs.resolve(), (1, 1))
    second = write_bundle(tmp_path / "two", two, role)
    names = {member.path for member in first.members}
    assert names == {member.path for member in second.members}
    assert first.path.read_bytes() == second.path.read_bytes()
    said = subprocess.run(["sha256sum", first.path], check=True, capture_output=True, text=True)
    assert said.stdout.split()[0] == first.sha256 == second.sha256


def test_a_private_key_stays_private(tmp_path: Path, image: Built) -> None:
    key = image.deploy.path / "id_ed25519"
    key.write_text("a private key\n")
    path = write_bundle(
        tmp_path / "x", Built(open_deploy_dir(image.deploy.path, image.deploy.image)), None
    ).path
    assert path.stat().st_mode & 0o777 == 0o600
    there = open_bundle(path, tmp_path / "bundles").built().deploy
    assert there.client_key is not None
    assert there.client_key.stat().st_mode & 0o777 == 0o600


def test_holes_of_a_file_system_stay_holes(tmp_path: Path, image: Built) -> None:
    rootfs = image.deploy.rootfs.resolve()
    with rootfs.open("r+b") as out:
        out.truncate(256 << 20)
        out.seek(200 << 20)
        out.write(b"in the middle of nothing")
    path = write_bundle(tmp_path / "x", image, None).path
    assert path.stat().st_size < 2 << 20
    there = open_bundle(path, tmp_path / "bundles").built().deploy.rootfs
    assert there.stat().st_size == 256 << 20
    assert there.stat().st_blocks * 512 < 8 << 20
    with there.open("rb") as found:
        found.seek(200 << 20)
        assert found.read(24) == b"in the middle of nothing"


def test_one_that_is_there_is_used_again_unless_it_was_changed(
    tmp_path: Path, packed: Path
) -> None:
    first = open_bundle(packed, tmp_path / "bundles")
    rootfs = first.built().deploy.rootfs
    inode = rootfs.stat().st_ino
    assert open_bundle(packed, tmp_path / "bundles").built().deploy.rootfs.stat().st_ino == inode
    whole = rootfs.read_bytes()
    rootfs.write_bytes(whole[:-1] + b"x")
    again = open_bundle(packed, tmp_path / "bundles")
    assert again.built().deploy.rootfs.read_bytes() == whole
    left = [path.name for path in (tmp_path / "bundles").iterdir() if path.is_dir()]
    assert left == [first.folder.name]


# Damage -------------------------------------------------------------------------


def refused(path: Path, folder: Path, kind: type[Exception]) -> Any:
    with pytest.raises(kind) as caught:
        open_bundle(path, folder)
    assert str(path) in str(caught.value)
    assert caught.value.hint  # type: ignore[attr-defined]
    left = [one.name for one in folder.iterdir() if one.is_dir()] if folder.exists() else []
    assert left == []
    return caught.value


PLACES = [1, 3, 4, 20, 200, 1000, 0.1, 0.5, 0.9, 0.999, -200, -TRAILER_BYTES, -40, -32, -5, -1]


@pytest.mark.parametrize("place", PLACES)
def test_a_bundle_that_was_cut_is_refused(tmp_path: Path, packed: Path, place: float) -> None:
    size = packed.stat().st_size
    at = int(size * place) if isinstance(place, float) else place % size
    os.truncate(packed, at)
    # Before its index nobody can say that it was a bundle.
    early = not unbundle._peek(packed)
    assert early == (at <= 1000)
    found = refused(packed, tmp_path / "bundles", UsageError if early else InfrastructureError)
    assert "is no bundle" in found.message if early else "was cut off" in found.message


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    assert "it is empty" in refused(tmp_path / "x", tmp_path / "b", InfrastructureError).message


@pytest.mark.parametrize("place", PLACES[:-1])
def test_one_flipped_byte_is_seen(tmp_path: Path, packed: Path, place: float) -> None:
    data = bytearray(packed.read_bytes())
    at = int(len(data) * place) if isinstance(place, float) else place % len(data)
    data[at] ^= 0x10
    packed.write_bytes(data)
    with pytest.raises((InfrastructureError, UsageError)) as caught:
        open_bundle(packed, tmp_path / "bundles")
    # In the magic number, or in the mark of the trailer, it is no longer a bundle of ours.
    words = ("is no bundle", "was changed or damaged", "was cut off", "is a bundle of format")
    assert any(word in caught.value.message for word in words)
    assert not list((tmp_path / "bundles").glob("[!.]*"))


@pytest.mark.parametrize("place", [300, 0.3, 0.6, -60])
def test_a_flipped_byte_within_is_called_damage(tmp_path: Path, packed: Path, place: float) -> None:
    data = bytearray(packed.read_bytes())
    data[int(len(data) * place) if isinstance(place, float) else place % len(data)] ^= 1
    packed.write_bytes(data)
    found = refused(packed, tmp_path / "bundles", InfrastructureError)
    assert "was changed or damaged" in found.message


def test_something_appended_is_seen(tmp_path: Path, packed: Path) -> None:
    with packed.open("ab") as out:
        out.write(b"more")
    assert "cut off" in refused(packed, tmp_path / "bundles", InfrastructureError).message


def test_two_bundles_in_one_file(tmp_path: Path, packed: Path) -> None:
    packed.write_bytes(packed.read_bytes() * 2)
    assert "changed" in refused(packed, tmp_path / "bundles", InfrastructureError).message


Change = Callable[[list[tuple[tarfile.TarInfo, bytes]]], None]


def repacked(path: Path, change: Change) -> Path:
    """Do *change* to the members of a bundle, by somebody who knows the format: trailer and all."""
    with path.open("rb") as source:
        plain = zstandard.ZstdDecompressor().stream_reader(source).read()
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        members = []
        for entry in tar.getmembers():
            content = tar.extractfile(entry)
            assert content
            members.append((entry, content.read()))
    change(members)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for entry, data in members:
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    frame = zstandard.ZstdCompressor().compress(out.getvalue())
    path.write_bytes(frame + trailer(hashlib.sha256(frame).digest()))
    return path


def index_with(**values: Any) -> Change:
    def change(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        entry, data = members[0]
        members[0] = entry, json.dumps({**json.loads(data), **values}).encode()

    return change


def entry_with(**values: Any) -> Change:
    def change(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        entry, data = members[0]
        index = json.loads(data)
        index["files"][0] |= values
        members[0] = entry, json.dumps(index).encode()
        if "path" in values:
            members[1][0].name = values["path"]

    return change


def test_repacked_without_a_change_it_is_taken(tmp_path: Path, packed: Path) -> None:
    """The control for the tests below."""
    assert open_bundle(repacked(packed, lambda members: None), tmp_path / "b").built()


def test_a_newer_format_says_which_version_to_use(tmp_path: Path, packed: Path) -> None:
    repacked(packed, index_with(version=2, tool="yoctovirt 7.1"))
    found = refused(packed, tmp_path / "b", UsageError)
    assert "format 2" in found.message
    assert "yoctovirt 7.1" in found.hint


def test_a_newer_format_may_have_another_end(tmp_path: Path, packed: Path) -> None:
    repacked(packed, index_with(version=2))
    packed.write_bytes(packed.read_bytes()[:-TRAILER_BYTES])
    assert "format 2" in refused(packed, tmp_path / "b", UsageError).message


@pytest.mark.parametrize(
    "path",
    ["../out", "deploy/../../out", "/etc/out", "deploy//etc", "deploy/a/../../../out", "deploy",
     "deploy/.hidden", "deploy/a\nb", "bundle.json", "scripts/other", "deploy/..", ""],
)  # fmt: skip
def test_no_path_leads_out_of_the_folder(tmp_path: Path, packed: Path, path: str) -> None:
    repacked(packed, entry_with(path=path))
    before = set(tree(tmp_path))
    found = refused(packed, tmp_path / "b" / "c", InfrastructureError)
    assert "which no bundle holds" in found.message
    assert set(tree(tmp_path)) == before


def add(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", at: int = 99) -> Change:
    def change(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname = kind, link
        members.insert(at, (entry, b"" if link else b"added"))

    return change


@pytest.mark.parametrize("at", [1, 3, 99])
@pytest.mark.parametrize(
    ("kind", "link"),
    [(tarfile.REGTYPE, ""), (tarfile.SYMTYPE, "/etc"), (tarfile.LNKTYPE, "/etc/passwd")],
)
def test_a_member_that_was_added(
    tmp_path: Path, packed: Path, at: int, kind: bytes, link: str
) -> None:
    repacked(packed, add("deploy/added", kind, link, at))
    assert "deploy/added" in refused(packed, tmp_path / "b", InfrastructureError).message


def test_a_link_in_the_place_of_a_file(tmp_path: Path, packed: Path) -> None:
    def change(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        entry, _ = members[1]
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
        members[1] = entry, b""

    repacked(packed, change)
    assert "is no file of" in refused(packed, tmp_path / "b", InfrastructureError).message


def test_other_content_than_the_index_says(tmp_path: Path, packed: Path) -> None:
    def change(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        entry, data = members[2]
        members[2] = entry, data[:-1] + bytes([data[-1] ^ 1])

    repacked(packed, change)
    assert (
        "does not fit its checksum" in refused(packed, tmp_path / "b", InfrastructureError).message
    )


def test_a_member_that_was_removed(tmp_path: Path, packed: Path) -> None:
    repacked(packed, lambda members: members.__delitem__(2))
    assert "where its index lists" in refused(packed, tmp_path / "b", InfrastructureError).message


def test_an_index_that_is_none(tmp_path: Path, packed: Path) -> None:
    wrong: list[dict[str, Any]] = [{"files": [{}]}, {"files": [7]}, {"role": 3}, {"files": None}]
    for values in wrong:
        data = packed.read_bytes()
        repacked(packed, index_with(**values))
        assert "its index" in refused(packed, tmp_path / "b", InfrastructureError).message
        packed.write_bytes(data)


def test_a_role_that_is_not_understood(tmp_path: Path, packed: Path) -> None:
    role = {"name": "x", "description": "x", "builder": "kas", "colour": "green"}
    repacked(packed, index_with(role=role, tool="yoctovirt 9"))
    with pytest.raises(UsageError, match="colour") as caught:
        open_bundle(packed, tmp_path / "b").role()
    assert "yoctovirt 9" in caught.value.hint


def test_what_is_no_file_is_no_bundle(tmp_path: Path) -> None:
    """Nobody waits for the other end of a pipe."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/zero")):
        for look in (read_index, lambda one: read_index(one, verify=False),
                     lambda one: open_bundle(one, tmp_path / "bundles")):  # fmt: skip
            with pytest.raises(UsageError, match="it is no regular file"):
                look(path)


def test_foreign_files(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a bundle\n")
    (tmp_path / "zstd").write_bytes(zstandard.ZstdCompressor().compress(b"something else" * 99))
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as out:
        out.addfile(tarfile.TarInfo("README"))
    (tmp_path / "tar").write_bytes(zstandard.ZstdCompressor().compress(tar.getvalue()))
    for name in ("text", "zstd", "tar", "absent", "."):
        with pytest.raises(UsageError, match="is no bundle"):
            open_bundle(tmp_path / name, tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_check_unpacks_nothing(tmp_path: Path, packed: Path) -> None:
    before = tree(tmp_path)
    assert read_index(packed)["image"] == IMAGE
    os.truncate(packed, packed.stat().st_size - 1)
    with pytest.raises(InfrastructureError, match="cut off"):
        read_index(packed)
    assert set(tree(tmp_path)) == set(before)


# Writing ------------------------------------------------------------------------


def test_an_image_that_changes_meanwhile(
    tmp_path: Path, image: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    compress = module._compress

    def late(*arguments: Any) -> None:
        rootfs = image.deploy.rootfs.resolve()
        data = bytearray(rootfs.read_bytes())
        data[5000] ^= 1
        rootfs.write_bytes(data)
        compress(*arguments)

    monkeypatch.setattr(module, "_compress", late)
    with pytest.raises(BuildError, match=r"ext4 changed while it was packed"):
        write_bundle(tmp_path / "x", image, None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a"]


def test_an_image_that_shrinks_meanwhile(
    tmp_path: Path, image: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    compress = module._compress

    def late(*arguments: Any) -> None:
        os.truncate(image.deploy.rootfs.resolve(), 4096)
        compress(*arguments)

    monkeypatch.setattr(module, "_compress", late)
    with pytest.raises(BuildError, match=r"ext4 changed while it was packed"):
        write_bundle(tmp_path / "x", image, None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a"]


def test_ctrl_c_leaves_what_was_there(
    tmp_path: Path, image: Built, packed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = packed.read_bytes()

    def pressed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module._Checked, "read", pressed)
        with pytest.raises(KeyboardInterrupt):
            write_bundle(packed, image, None)
    assert packed.read_bytes() == before
    with monkeypatch.context() as patch:
        patch.setattr(unbundle, "_take", pressed)
        with pytest.raises(KeyboardInterrupt):
            open_bundle(packed, tmp_path / "b")
    assert not [path for path in (tmp_path / "b").iterdir() if path.is_dir()]
    assert open_bundle(packed, tmp_path / "b").built()


def test_what_a_killed_call_left_goes_with_the_next(
    tmp_path: Path, image: Built, packed: Path
) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    stale = tmp_path / f".x.tar.zst.{gone.pid}.tmp"
    stale.write_text("half of it")
    alive = tmp_path / f".x.tar.zst.{os.getppid()}.tmp"
    alive.write_text("of another one at work")
    half = tmp_path / "b" / f".{read_name(packed)}.{gone.pid}.tmp"
    half.mkdir(parents=True)
    write_bundle(packed, image, load_role("docker-host"))
    open_bundle(packed, tmp_path / "b")
    assert not stale.exists()
    assert alive.exists()
    assert not half.exists()


def read_name(path: Path) -> str:
    return unbundle._verified(path)[1][:16]


def test_where_no_file_can_be(tmp_path: Path, image: Built) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path, what in ((tmp_path, "folder"), (tmp_path / "none" / "x", "folder"), (pipe, "file")):
        with pytest.raises(UsageError, match=what):
            write_bundle(path, image, None)
    assert pipe.is_fifo(), "a device or a pipe is not replaced"


def test_a_file_outside_of_the_deploy_directory(tmp_path: Path) -> None:
    (tmp_path / "firmware.bin").write_bytes(b"x")
    image = built(tmp_path / "a", qb_opt_append="-bios @DEPLOY_DIR_IMAGE@/../../firmware.bin")
    with pytest.raises(BuildError, match="does not lie in the deploy directory"):
        write_bundle(tmp_path / "x", image, None)
