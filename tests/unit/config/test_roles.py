from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from yoctovirt.config.resources import data_root
from yoctovirt.config.roles import SUFFIX, load_role, role_files
from yoctovirt.errors import UsageError

OURS = sorted(
    path.name.removesuffix(SUFFIX) for path in (data_root() / "kas/inc").glob(f"*{SUFFIX}")
)
GOOD = {"description": "a role", "builder": "debian", "debian": {"packages": ["systemd-sysv"]}}


def write_role(workspace: Path, name: str, values: object) -> Path:
    path = workspace / "kas" / "inc" / f"{name}{SUFFIX}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(values if isinstance(values, str) else yaml.safe_dump(values))
    return path


def test_there_are_roles() -> None:
    assert "reference" in OURS


@pytest.mark.parametrize("name", OURS)
def test_every_role_of_ours_loads(name: str) -> None:
    role = load_role(name)
    assert role.name == name
    assert role.description
    assert role.builder in ("kas", "debian")
    assert (role.debian is not None) == (role.builder == "debian")
    assert role.node.memory >= 64
    assert role.source.is_file()


def test_the_reference_promises_what_the_yocto_roles_have() -> None:
    role = load_role("reference")
    assert {"docker", "lxc", "libvirt", "qemu", "openvswitch", "criu"} <= set(role.promises)
    assert role.debian is not None
    assert "docker.io" in role.debian.packages


def test_an_unknown_role_is_answered_with_near_matches() -> None:
    with pytest.raises(UsageError, match="there is no role 'refrence'") as caught:
        load_role("refrence")
    assert "reference" in caught.value.hint


def test_a_role_that_resembles_nothing_is_answered_with_all(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load_role("zzzzzz", tmp_path)
    assert caught.value.hint == f"known: {', '.join(OURS)}"


@pytest.mark.parametrize("name", ["", ".", "../inc/reference", "/etc/passwd", "reference.role"])
def test_a_name_that_is_a_path_is_no_role(name: str) -> None:
    with pytest.raises(UsageError, match="there is no role"):
        load_role(name)


def test_a_minimal_role_has_defaults(tmp_path: Path) -> None:
    source = write_role(tmp_path, "mine", GOOD)
    role = load_role("mine", tmp_path)
    assert role.source == source
    assert (role.machine, role.node.memory, role.node.cpus) == ("qemux86-64", 1024, 1)
    assert role.promises == ()
    assert role.debian is not None
    assert role.debian.size_mib == 2560


def test_the_role_of_a_workspace_wins_and_others_stay(tmp_path: Path) -> None:
    source = write_role(tmp_path, "reference", {**GOOD, "description": "my own"})
    assert load_role("reference", tmp_path).description == "my own"
    assert role_files(tmp_path)["reference"] == source
    assert sorted(role_files(tmp_path)) == OURS
    assert load_role("reference").description != "my own"


@pytest.mark.parametrize(
    ("change", "place", "words"),
    [
        ({"description": None}, "description", "None is not of type 'string'"),
        ({"description": ""}, "description", "''"),
        ({"builder": "make"}, "builder", "'make' is not one of ['kas', 'debian']"),
        ({"machine": "QEMU x86"}, "machine", "'QEMU x86' does not match"),
        ({"promises": "docker"}, "promises", "'docker' is not of type 'array'"),
        ({"promises": ["docker", "docker"]}, "promises", "non-unique"),
        ({"promises": ["docker", 3]}, "promises.1", "3 is not of type 'string'"),
        ({"allowed_failed_units": [1]}, "allowed_failed_units.0", "1 is not of type"),
        ({"node": {"memory": "1G"}}, "node.memory", "'1G' is not of type 'integer'"),
        ({"node": {"memory": 8}}, "node.memory", "8 is less than the minimum of 64"),
        ({"node": {"cpus": 0}}, "node.cpus", "0 is less than the minimum of 1"),
        ({"node": {"disk": 1}}, "node.disk", "there is no such key"),
        ({"colour": "red"}, "colour", "there is no such key"),
        ({"debian": {"packages": []}}, "debian.packages", "[]"),
        ({"debian": {"packages": ["a b"]}}, "debian.packages.0", "'a b' does not match"),
        ({"debian": {"packages": ["-oDir=/"]}}, "debian.packages.0", "does not match"),
        ({"debian": {}}, "debian", "'packages' is a required property"),
        ({"debian": {"packages": ["x1"], "size_mib": 1}}, "debian.size_mib", "1 is less than"),
    ],
)
def test_a_violation_names_file_and_key(
    tmp_path: Path, change: dict[str, object], place: str, words: str
) -> None:
    source = write_role(tmp_path, "mine", {**GOOD, **change})
    with pytest.raises(UsageError) as caught:
        load_role("mine", tmp_path)
    assert re.match(rf"{re.escape(str(source))}:\d+:\d+: {place}: ", caught.value.message)
    assert words in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("missing", ["description", "builder", "debian"])
def test_a_missing_key_is_named(tmp_path: Path, missing: str) -> None:
    source = write_role(tmp_path, "mine", {k: v for k, v in GOOD.items() if k != missing})
    with pytest.raises(UsageError) as caught:
        load_role("mine", tmp_path)
    assert f"{source}:1:1: '{missing}' is a required property" in caught.value.message


def test_a_role_file_that_is_no_yaml_or_no_mapping(tmp_path: Path) -> None:
    write_role(tmp_path, "mine", "description: [\n")
    with pytest.raises(UsageError, match=r"mine\.role\.yml:2:1: not valid YAML"):
        load_role("mine", tmp_path)
    write_role(tmp_path, "mine", "- description\n")
    with pytest.raises(UsageError, match="expected a mapping"):
        load_role("mine", tmp_path)


def test_keys_that_are_no_text(tmp_path: Path) -> None:
    text = yaml.safe_dump(GOOD) + "3: x\n"
    source = write_role(tmp_path, "mine", text)
    with pytest.raises(UsageError, match=str(source)):
        load_role("mine", tmp_path)
