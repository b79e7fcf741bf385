"""conf/layer.conf without bitbake: the assignments that decide whether layers fit."""

from __future__ import annotations

import pytest

from yoctovirt.pins.layerconf import Assignments, Dependency, Layer, dependencies

V = "LAYERSERIES_COMPAT_x"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (f'{V} = "a b"', "a b"),
        (f"{V} = 'a'", "a"),
        (f'{V} := "a"', "a"),
        (f'{V} ?= "a"\n{V} ?= "b"', "a"),
        (f'{V} ??= "a"\n{V} ??= "b"', "b"),
        (f'{V} ??= "a"\n{V} ?= "b"', "b"),
        (f'{V} = "a"\n{V} += "b"', "a b"),
        (f'{V} = "a"\n{V} =+ "b"', "b a"),
        (f'{V} = "a"\n{V} .= "b"', "ab"),
        (f'{V} = "a"\n{V} =. "b"', "ba"),
        (f'{V}:append = " b"\n{V} = "a"', "a b"),
        (f'{V}:prepend = "b "\n{V} = "a"', "b a"),
        (f'{V}_append = " b"\n{V} = "a"', "a b"),
        (f'{V} = "a b"\n{V}:remove = "a"', "b"),
        (f'{V} = " \\\n  a \\\n  b \\\n"', "  a   b "),
        (f'# {V} = "a"\n{V} = "b"', "b"),
        (f'  {V} = "a"', "a"),
        (f'X{V} = "a"', None),
        (f'python () {{\n}}\n{V} = "a"', "a"),
    ],
)
def test_the_operators_of_bitbake(text: str, value: str | None) -> None:
    said = Assignments()
    said.read(text)
    found = said.get(V)
    assert (found.split() if found else found) == (value.split() if value else value)


def test_what_a_header_sets_plainly_the_layer_sets_again() -> None:
    said = Assignments()
    said.read(f'{V} = "wide"\n')
    said.read(f'{V} = "narrow"\n')
    assert said.get(V) == "narrow"


def test_dependencies_with_versions() -> None:
    found = dependencies("core (>= 12) \t openembedded-layer networking-layer(=1)")
    assert [str(one) for one in found] == [
        "core (>= 12)", "openembedded-layer", "networking-layer (= 1)"
    ]  # fmt: skip
    assert dependencies(None) == []


@pytest.mark.parametrize(
    ("operator", "wanted", "have", "met"),
    [
        ("", "", None, True),
        (">=", "12", "15", True),
        (">=", "12", "9", False),
        (">=", "12", None, False),
        ("<", "12", "9", True),
        ("=", "1", "1", True),
        ("=", "1", "1.1", False),
        ("<=", "1.10", "1.9", True),
    ],
)
def test_versions(operator: str, wanted: str, have: str | None, met: bool) -> None:
    assert Dependency("core", operator, wanted).met_by(have) is met


def test_a_layer() -> None:
    text = 'BBPATH =. "${LAYERDIR}:"\nBBFILE_COLLECTIONS += "x"\n'
    assert Layer("repo", "meta-x", text).prepends
    assert Layer("repo", "meta-x", text).collections == ["x"]
    assert Layer("repo", "meta-x", text).name == "repo/meta-x"
    assert not Layer("repo", ".", 'BBPATH .= ":${LAYERDIR}"\n').prepends
    assert Layer("repo", ".", "").name == "repo"
