"""Cells of the matrix: their files, their fingerprint, their features, what is known of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from yoctovirt.config import cells, features, resolved, resources
from yoctovirt.config.cells import Cell, choose_machine, fingerprint, kas_files, missing_repos
from yoctovirt.config.features import check_feature, feature_files, load_feature, with_features
from yoctovirt.config.matrix import cell_of, matrix
from yoctovirt.config.resolved import Results, load_results, results_file, store_result
from yoctovirt.config.roles import Role, load_role, role_files
from yoctovirt.errors import UsageError
from yoctovirt.smoke.catalog import check_promises


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a copy of kas/, layers-manifest/ and recipes-extra/ that a test may change."""
    source, copy = resources.data_root(), tmp_path / "root"
    for name in ("kas", "layers-manifest", "recipes-extra"):
        shutil.copytree(source / name, copy / name)
    (copy / "layers-manifest" / resolved.RESULTS).unlink(missing_ok=True)
    for module in (cells, resolved, features):
        monkeypatch.setattr(module, "data_root", lambda: copy)
    cells._layer_hash.cache_clear()
    yield copy
    cells._layer_hash.cache_clear()


def role_of(root: Path, name: str) -> Role:
    role = load_role(name)
    return Role(**{**role.__dict__, "source": root / "kas" / "inc" / f"{name}.role.yml"})


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    cells._layer_hash.cache_clear()


HOST = Cell("docker-host", "scarthgap", "qemux86-64")
CONTROLLER = Cell("controller", "scarthgap", "qemux86-64")
_PLACEMENT = (
    "recipes-extra/meta-yoctovirt/dynamic-layers/openstack-layer/recipes-openstack/placement"
)


def test_the_files_of_a_cell() -> None:
    role = load_role("quick")
    assert kas_files(role, "wrynose", None) == [
        "layers-manifest/wrynose.yml", "kas/inc/quick.yml", "kas/inc/quick.wrynose.yml",
    ]  # fmt: skip
    role = load_role("docker-host")
    assert kas_files(role, "kirkstone", "qemuarm64", ["docker-compose"]) == [
        "layers-manifest/kirkstone.yml", "kas/inc/docker-host.yml", "kas/machine/qemuarm64.yml",
        "kas/feature/docker-compose.yml", "kas/feature/docker-compose.kirkstone.yml",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        ("layers-manifest/scarthgap.yml", "1d54d1c4736a", "1d54d1c4736b"),
        ("kas/inc/docker-host.yml", "docker-host-image", "other-image"),
        ("kas/inc/virt.yml", "virtualization kvm pam", "virtualization kvm"),
        ("kas/inc/common.yml", 'IMAGE_FSTYPES:remove = "tar.bz2"', ""),
        (
            "recipes-extra/meta-yoctovirt-hosts/recipes-images/images/docker-host-image.bb",
            "kernel-modules",
            "",
        ),
    ],
)
def test_what_changes_the_fingerprint(root: Path, path: str, old: str, new: str) -> None:
    role = role_of(root, "docker-host")
    before = fingerprint(role, HOST)
    change(root / path, old, new)
    assert fingerprint(role, HOST) != before


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        ("layers-manifest/scarthgap.yml", "branch: scarthgap", "branch: other"),
        ("layers-manifest/scarthgap.yml", "https://git.yoctoproject.org/poky", "https://x/poky"),
        ("layers-manifest/scarthgap.yml", "ea865f696512", "ea865f696513"),  # not of this role
        ("layers-manifest/kirkstone.yml", "58f9b898daef", "58f9b898daee"),  # another release
        ("kas/inc/virt.yml", "# LAYERDEPENDS", "# What it depends on: LAYERDEPENDS"),
        ("kas/inc/controller.yml", "prio: 10", "prio: 11"),  # another role
        ("recipes-extra/meta-yoctovirt-hosts/README.md", "Images", "The images"),
        ("recipes-extra/meta-yoctovirt-quick/conf/layer.conf", '"10"', '"11"'),  # not taken
    ],
)
def test_what_does_not_change_it(root: Path, path: str, old: str, new: str) -> None:
    role = role_of(root, "docker-host")
    before = fingerprint(role, HOST)
    change(root / path, old, new)
    assert fingerprint(role, HOST) == before


def test_what_a_recipe_only_fetches(root: Path) -> None:
    """It has to be there, and what stands in it changes nothing in what is built of what."""
    role, folder = role_of(root, "controller"), root / _PLACEMENT
    before = fingerprint(role, CONTROLLER)
    change(folder / "files/placement-api.service", "gunicorn", "gunicorn3")
    change(folder / "files/placement.conf", "[", "# [")
    assert fingerprint(role, CONTROLLER) == before
    change(folder / "openstack-placement_8.0.0.bb", "gunicorn", "gunicorn3")
    assert (changed := fingerprint(role, CONTROLLER)) != before
    (folder / "files/placement.conf").unlink()
    cells._layer_hash.cache_clear()
    assert fingerprint(role, CONTROLLER) not in (before, changed)


def test_every_cell_has_a_fingerprint_of_its_own(root: Path) -> None:
    roles = [role_of(root, name) for name in role_files() if load_role(name).builder == "kas"]
    all_cells = matrix(roles)
    assert len(all_cells) == len(roles) * 3 * 2
    by_name = {role.name: role for role in roles}
    found = {fingerprint(by_name[cell.role], cell) for cell in all_cells}
    assert len(found) == len(all_cells)
    assert [cell.machine for cell in all_cells[: len(all_cells) // 2]] == (
        ["qemux86-64"] * (len(all_cells) // 2)
    ), "the default machine comes first"


def test_a_repository_that_the_release_does_not_have(root: Path) -> None:
    change(root / "layers-manifest/wrynose.yml", "meta-virtualization:", "meta-other:")
    role = role_of(root, "docker-host")
    assert missing_repos(role, Cell("docker-host", "wrynose", "qemux86-64")) == [
        "meta-virtualization"
    ]
    assert missing_repos(role, HOST) == []


def test_machines() -> None:
    role = load_role("docker-host")
    assert choose_machine(role, None) == "qemux86-64"
    assert choose_machine(role, "my-board", own=True) == "my-board"
    with pytest.raises(UsageError, match="no machine 'qemuarm46'") as caught:
        choose_machine(role, "qemuarm46")
    assert "did you mean qemuarm64" in caught.value.hint


# What is known -------------------------------------------------------------------


def entry(role: Role, cell: Cell, **values: object) -> dict[str, object]:
    return {
        "fingerprint": fingerprint(role, cell), "verdict": "ok", "date": "2026-11-21T03:00:00Z",
        **values,
    }  # fmt: skip


def test_from_not_checked_to_ok_to_stale(root: Path, tmp_path: Path) -> None:
    role = role_of(root, "docker-host")
    assert Results(tmp_path).state(role, HOST).kind == "not checked"
    store_result(tmp_path / "resolved.json", HOST, entry(role, HOST))
    assert Results(tmp_path).state(role, HOST).kind == "ok"
    assert Results().state(role, HOST).kind == "not checked", "that is another workspace's"
    change(root / "layers-manifest/scarthgap.yml", "1d54d1c4736a", "1d54d1c4736b")
    state = Results(tmp_path).state(role, HOST)
    assert state.kind == "stale"
    assert "resolved on 2026-11-21" in state.reason


def test_a_fitting_result_wins_over_a_newer_one_of_other_pins(root: Path, tmp_path: Path) -> None:
    role = role_of(root, "docker-host")
    store_result(root / "layers-manifest/resolved.json", HOST, entry(role, HOST))
    other = entry(role, HOST, fingerprint="0", date="2027-01-01T00:00:00Z", verdict="fails")
    store_result(tmp_path / "resolved.json", HOST, other)
    assert Results(tmp_path).state(role, HOST).kind == "ok"
    assert len(load_results(root / "layers-manifest/resolved.json")) == 1


def test_what_does_not_resolve_is_refused_with_the_reason(root: Path, tmp_path: Path) -> None:
    role = role_of(root, "docker-host")
    bad = Cell("docker-host", "wrynose", "qemux86-64")
    store_result(tmp_path / "resolved.json", HOST, entry(role, HOST))
    store_result(
        tmp_path / "resolved.json", bad, entry(role, bad, verdict="fails", reason="x is gone")
    )
    results = Results(tmp_path)
    results.require(role, HOST, [HOST, bad])
    with pytest.raises(
        UsageError, match="on wrynose for qemux86-64 does not resolve: x is gone"
    ) as e:
        results.require(role, bad, [HOST, bad])
    assert "--release scarthgap --machine qemux86-64" in e.value.hint


def test_where_results_are_stored(root: Path, tmp_path: Path) -> None:
    role = role_of(root, "docker-host")
    assert results_file(role, tmp_path / "ws") == tmp_path / "ws" / "resolved.json"
    (root / ".git").mkdir()
    assert results_file(role, tmp_path / "ws") == root / "layers-manifest" / "resolved.json"
    own = Role(**{**role.__dict__, "source": tmp_path / "ws/kas/inc/mine.role.yml"})
    assert results_file(own, tmp_path / "ws") == tmp_path / "ws" / "resolved.json"


def test_the_shipped_results_are_of_cells_that_exist() -> None:
    shipped = load_results(resolved.shipped_results())
    for key, result in shipped.items():
        names, release, machine = key.split("/")
        role, *more = names.split("+")
        cell = cell_of(load_role(role), release, machine, more)
        assert cell.key == key
        assert result["verdict"] in ("ok", "fails")
        text = json.dumps(result)
        assert '"/' not in text, f"{key}: a path of the machine that it was found on"
        assert "../" not in text, f"{key}: a path of the machine that it was found on"


# Features ------------------------------------------------------------------------


@pytest.mark.parametrize("name", feature_files())
def test_every_feature_of_ours(name: str) -> None:
    feature = load_feature(name)
    assert feature.description
    assert set(feature.roles) <= set(role_files())
    check_promises(feature.promises, name)
    assert (resources.data_root() / "kas" / "feature" / f"{name}.yml").is_file()


def test_a_role_with_a_feature() -> None:
    role = load_role("docker-host")
    more = with_features(role, ["k3s", "podman", "k3s"])
    assert set(more.promises) == {*role.promises, "k3s", "podman"}
    assert more.node.memory == role.node.memory + 1024
    assert more.disk_gib > role.disk_gib


def test_features_that_do_not_fit() -> None:
    with pytest.raises(UsageError, match="there is no feature 'k33s'") as caught:
        check_feature(load_role("docker-host"), "k33s")
    assert "k3s" in caught.value.hint
    with pytest.raises(UsageError, match="role xen-host cannot take in the feature k3s") as caught:
        check_feature(load_role("xen-host"), "k3s")
    assert "docker-host" in caught.value.hint
