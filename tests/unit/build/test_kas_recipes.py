"""Recipes found by their files, and what a failure says of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from yoctovirt.build.kas.failures import explain
from yoctovirt.build.kas.recipes import layer_of, look_up, used_layers
from yoctovirt.errors import BuildError, InfrastructureError

LOG = Path("/ws/runs/1/build.log")


def layer(folder: Path, name: str, *recipes: str) -> Path:
    (folder / "conf").mkdir(parents=True)
    (folder / "conf" / "layer.conf").write_text(f'BBFILE_COLLECTIONS += "{name}"\n')
    for recipe in recipes:
        path = folder / "recipes-x" / recipe.partition("_")[0] / recipe
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    return folder


@pytest.fixture
def build_dir(tmp_path: Path) -> Path:
    """Give a build directory with one of two layers of a checkout, and one from elsewhere."""
    layers = tmp_path / "layers"
    layer(layers / "poky" / "meta", "core", "zlib_1.3.1.bb", "busybox_1.36.bb")
    layer(layers / "oe" / "meta-oe", "openembedded-layer", "jansson_2.14.bb", "lzlib_1.bb")
    layer(tmp_path / "own", "mine", "my-thing.bb")
    (layers / "oe" / "meta-oe" / "scripts").mkdir()
    (layers / "oe" / "meta-oe" / "scripts" / "zlibb.bb").write_text("no recipe")
    conf = tmp_path / "build-x" / "conf"
    conf.mkdir(parents=True)
    (conf / "bblayers.conf").write_text(
        f'BBLAYERS ?= " \\\n    ${{TOPDIR}}/../layers/poky/meta \\\n    {tmp_path}/own"\n'
        'BBPATH ?= "${TOPDIR}"\n'
    )
    return tmp_path / "build-x"


def nothing(name: str) -> str:
    return f"2026-11-21 00:49:54 - ERROR    - ERROR: Nothing PROVIDES '{name}'\n"


def test_the_layer_of_a_recipe(build_dir: Path) -> None:
    folder = build_dir.parent / "own"
    assert layer_of(folder / "recipes-x" / "my-thing" / "my-thing.bb") == ("mine", folder)
    (folder / "conf" / "layer.conf").write_text("# says nothing\n")
    assert layer_of(folder / "recipes-x" / "my-thing" / "my-thing.bb") == ("own", folder)
    assert layer_of(Path("/no/where/x.bb")) is None


def test_the_layers_in_use(build_dir: Path) -> None:
    root = build_dir.parent
    assert used_layers(build_dir) == [root / "layers/poky/meta", root / "own"]
    assert used_layers(root / "none") == []


def test_a_recipe_is_found_in_any_layer(build_dir: Path) -> None:
    layers = build_dir.parent / "layers"
    (same,), near = look_up("zlib", layers, build_dir)
    assert (same.layer, same.used, same.file.name) == ("core", True, "zlib_1.3.1.bb")
    assert [place.name for place in near] == ["lzlib"]
    (other,), _ = look_up("jansson", layers, build_dir)
    assert (other.layer, other.used) == ("openembedded-layer", False)
    (native,), _ = look_up("zlib-native", layers, build_dir)
    assert native.name == "zlib"
    assert look_up("nothing-like-it", layers, build_dir) == ([], [])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("jansson", "layer openembedded-layer has jansson (a layer that this build does not take)"),
        ("zlib", "layer core has zlib (left out by BBMASK, or by the recipe itself)"),
        ("my-thin", "there is my-thing in layer mine"),
    ],
)
def test_what_is_missing_and_where_it_is(build_dir: Path, name: str, said: str) -> None:
    error = explain(nothing(name), 1, LOG, layers=build_dir.parent / "layers", build_dir=build_dir)
    assert isinstance(error, BuildError)
    assert f"cause:  nothing provides {name}" in error.message
    assert said in error.message
    assert error.message.count("note:") == 1
    (failure,) = error.details["failures"]
    assert (failure["task"], failure["cause"]) == (None, "provider")
    assert failure["notes"][0].startswith(said)


def test_what_nobody_has_gets_no_note(build_dir: Path) -> None:
    error = explain(
        nothing("qqqqq"), 1, LOG, layers=build_dir.parent / "layers", build_dir=build_dir
    )
    assert "note:" not in error.message


def test_missing_programs_are_the_hosts_and_have_their_packages() -> None:
    error = explain(
        "ERROR: The following required tools (as specified by HOSTTOOLS) appear to be unavailable "
        "in PATH, please install them in order to proceed:\n  chrpath lz4c no-such-tool\n", 1, LOG
    )  # fmt: skip
    assert isinstance(error, InfrastructureError)
    assert "programs are missing on this host: chrpath lz4c no-such-tool" in error.message
    assert "apt-get install --no-install-recommends chrpath lz4" in error.message


def test_each_task_has_its_own_cause_and_a_full_disk_is_the_hosts(tmp_path: Path) -> None:
    logs = {
        "a": "gcc: fatal error: Killed signal terminated program cc1\n",
        "b": "x.c:1:2: error: y\n",
        "c": "grinding the beans\nthe mill stands still\n",
        "d": "dd: error writing 'x': No space left on device\n",
    }
    output = ""
    for name, text in logs.items():
        path = tmp_path / name / "1.0" / "temp" / "log.do_compile.1"
        path.parent.mkdir(parents=True)
        path.write_text(text)
        output += (
            f"ERROR: Logfile of failure stored in: {path}\n"
            f"ERROR: Task (/l/{name}_1.0.bb:do_compile) failed with exit code '1'\n"
        )
        error = explain(output, 1, LOG)
        assert isinstance(error, InfrastructureError if name == "d" else BuildError)
    assert [one["cause"] for one in error.details["failures"]] == [
        "killed", "compile", None, "disk-full"
    ]  # fmt: skip
    assert "c_1.0.bb:do_compile failed\n    cause:  unknown\n" in error.message
    assert "    | the mill stands still" in error.message
