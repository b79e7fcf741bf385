"""A configuration in other forms."""

from __future__ import annotations

from pathlib import Path

from yoctovirt.base.process import CommandLog
from yoctovirt.config.kasfile import flatten
from yoctovirt.config.roles import load_role
from yoctovirt.config.show import bblayers_conf, difference, environment, layer_paths, local_conf

CONFIG = {
    "machine": "qemuarm64",
    "distro": "poky",
    "target": ["mc:one:image", "image", "mc:two:image", "mc:one:other"],
    "env": {"GIVEN": "a b", "PASSED": None},
    "repos": {
        "poky": {"url": "x", "layers": {"meta-poky": None, "meta": None}},
        "deploy": {"layers": {".": {"prio": 10}, "off": "disabled", "late": {"prio": 1}}},
        "whole": None,
        "own": {"path": "/opt/own"},
    },
    "bblayers_conf_header": {"compat": "A = '1'"},
    "local_conf_header": {"b": "B = '2'", "a": "A = '1'\n"},
}


def test_layers_stand_by_priority_then_by_name() -> None:
    assert [str(path) for path in layer_paths(CONFIG, Path("/w/layers"))] == [
        "/w/layers/deploy", "/opt/own", "/w/layers/poky/meta", "/w/layers/poky/meta-poky",
        "/w/layers/whole", "/w/layers/deploy/late",
    ]  # fmt: skip


def test_both_files_of_bitbake() -> None:
    text = bblayers_conf(CONFIG, Path("/w/layers"), Path("/w/build-x"))
    assert text.startswith("# compat\nA = '1'\n")
    assert " \\\n    ${TOPDIR}/../layers/poky/meta \\\n" in text
    assert "${TOPDIR}/../../opt/own" in text
    text = local_conf(CONFIG)
    assert text.index("# a\nA = '1'") < text.index("# b\nB = '2'")
    assert 'MACHINE ??= "qemuarm64"\n' in text
    assert 'BBMULTICONFIG ?= "one two"\n' in text


def test_environment_quotes_and_leaves_out_what_the_caller_has() -> None:
    text = environment(CONFIG, Path("/w/la yers"), Path("/w/b"), {"DL_DIR": Path("/dl")})
    assert "export KAS_WORK_DIR='/w/la yers'\n" in text
    assert "export DL_DIR=/dl\n" in text
    assert "export GIVEN='a b'\n" in text
    assert "PASSED" not in text


def test_controller_and_compute_differ_in_what_they_must() -> None:
    first, second = (
        flatten(load_role(name), "kirkstone", CommandLog()) for name in ("controller", "compute")
    )
    assert difference(first, first, ("a", "b")) == []
    lines = difference(first, second, ("controller", "compute"))
    assert "  - openstack-image-controller" in lines
    assert "  + openstack-image-compute" in lines
    keys = {line.split(" >")[0].rstrip(":") for line in lines if not line.startswith(" ")}
    assert keys == {"repos", "local_conf_header", "target"}
    assert not [line for line in lines if "DB_DATADIR" in line or "commit" in line]


def test_a_difference_names_each_line_that_differs() -> None:
    first = {"local_conf_header": {"x": "A = '1'\nB = '2'\n"}, "machine": "m"}
    second = {"local_conf_header": {"x": "A = '1'\nB = '3'\n"}, "distro": "d"}
    assert difference(first, second, ("one", "two")) == [
        "local_conf_header > x:", "  - B = '2'", "  + B = '3'",
        "machine: only one", "  - m", "distro: only two", "  + d",
    ]  # fmt: skip
