"""One flattened kas file from role, release and the user's files: by the real kas."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from yoctovirt.base.process import CommandLog
from yoctovirt.config.kasfile import choose_release, flatten, kas_environment, releases, to_yaml
from yoctovirt.config.kasschema import check_config
from yoctovirt.config.layers import pins_of
from yoctovirt.config.resources import data_root
from yoctovirt.config.roles import Role, load_role, role_files
from yoctovirt.errors import InfrastructureError, UsageError

ROLES = [name for name in role_files() if load_role(name).builder == "kas"]


@lru_cache
def flattened(name: str, release: str | None = None) -> str:
    """Return the configuration of a role of ours as JSON: kas is called once for each."""
    role = load_role(name)
    return json.dumps(flatten(role, choose_release(role, release), CommandLog()))


def config_of(name: str, release: str | None = None) -> dict[str, Any]:
    config: dict[str, Any] = json.loads(flattened(name, release))
    return config


def own_role(workspace: Path, kas: str, name: str = "mine") -> Role:
    folder = workspace / "kas" / "inc"
    folder.mkdir(parents=True)
    (folder / f"{name}.role.yml").write_text(
        "description: my role\nbuilder: kas\nrelease: scarthgap\n"
    )
    if kas:
        (folder / f"{name}.yml").write_text(kas)
    return load_role(name, workspace)


def extra(folder: Path, text: str, name: str = "my site.yml") -> Path:
    (folder / name).write_text(text)
    return folder / name


def dumped(path: Path) -> dict[str, Any]:
    """Return what kas makes of the file *path*."""
    argv = [sys.executable, "-m", "kas", "--log-level", "error", "dump", "--format", "json"]
    for step in ("repo_setup_loop", "finish_setup_repos", "repos_checkout",
                 "repos_apply_patches", "setup_environ", "write_bbconfig"):  # fmt: skip
        argv += ["--skip", step]
    env = {**kas_environment(), "KAS_WORK_DIR": str(path.parent)}
    done = subprocess.run([*argv, str(path)], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    config: dict[str, Any] = json.loads(done.stdout)
    return config


# Our roles ----------------------------------------------------------------------


def test_the_roles_of_the_kas_builder() -> None:
    assert {"quick", "controller", "compute"} <= set(ROLES)
    assert set(releases()) >= {"kirkstone", "scarthgap"}


@pytest.mark.parametrize("name", ROLES)
def test_every_role_flattens_with_its_release(name: str) -> None:
    config = config_of(name)
    assert "includes" not in config["header"]
    assert isinstance(config["target"], str)
    assert config["machine"] == "qemux86-64"
    assert pins_of(config)
    for repo, entry in config["repos"].items():
        if entry.get("url"):
            assert len(entry["commit"]) == 40
            assert "path" not in entry, "kas puts it into the layers of the release"
        else:
            assert Path(entry["path"]).is_absolute()
            assert Path(entry["path"]).is_dir(), repo
    names = {pin.name for pin in pins_of(config)}
    assert names == set(config["repos"]) - {"yoctovirt"}


def test_a_role_takes_no_repository_that_it_does_not_need() -> None:
    assert set(config_of("quick")["repos"]) == {"poky", "yoctovirt"}
    assert "meta-erlang" not in config_of("docker-host")["repos"]
    assert "meta-erlang" in config_of("controller")["repos"]


def test_our_own_layers_are_named_by_their_absolute_path() -> None:
    own = config_of("quick")["repos"]["yoctovirt"]
    assert own["path"] == str(data_root())
    for layer in own["layers"]:
        assert (data_root() / layer / "conf" / "layer.conf").is_file()


def test_the_deploy_layer_stands_first() -> None:
    layers = config_of("controller")["repos"]["meta-cloud-services"]["layers"]
    assert layers["meta-openstack-controller-deploy"] == {"prio": 10}


@pytest.mark.parametrize("name", ["quick", "controller"])
def test_the_text_gives_the_same_configuration_again(name: str, tmp_path: Path) -> None:
    config = config_of(name)
    path = tmp_path / "config.yml"
    path.write_text(to_yaml(config))
    assert yaml.safe_load(path.read_text()) == config
    again = dumped(path)
    assert again == config
    # kas validates what it reads; what we write is one file that needs no other.
    assert path.read_text().startswith("header:")


def test_texts_of_several_lines_stay_readable() -> None:
    text = to_yaml({"local_conf_header": {"a": 'X = "1"\nY = "ü"\n', "b": "one", "c": " x\n y\n"}})
    assert 'a: |\n    X = "1"\n    Y = "ü"\n' in text
    assert yaml.safe_load(text)["local_conf_header"]["c"] == " x\n y\n"


# What the user brings -----------------------------------------------------------


def test_files_of_the_user_are_merged_last_in_their_order(tmp_path: Path) -> None:
    files = [
        extra(
            tmp_path,
            "header: {version: 19}\nmachine: qemuarm64\ndistro: mine\n"
            "local_conf_header: {development-login: '', mine: 'A = \"1\"'}\n",
        ),
        extra(tmp_path, "header: {version: 14}\nmachine: genericx86-64\n", "other.yml"),
    ]
    role = load_role("quick")
    config = flatten(role, "scarthgap", CommandLog(), extra=files)
    assert config["machine"] == "genericx86-64"
    assert config["distro"] == "mine"
    assert config["local_conf_header"]["development-login"] == ""
    assert config["local_conf_header"]["mine"] == 'A = "1"'
    named = flatten(role, "scarthgap", CommandLog(), extra=files, machine="qemuarm64")
    assert named["machine"] == "qemuarm64"


def test_yaml_that_is_broken_is_named_by_file_line_and_column(tmp_path: Path) -> None:
    path = extra(tmp_path, "header:\n  version: 19\nmachine: [\n")
    with pytest.raises(UsageError, match=r"not valid YAML") as caught:
        flatten(load_role("quick"), "scarthgap", CommandLog(), extra=[path])
    assert f"{path}:4:1:" in caught.value.message


@pytest.mark.parametrize(
    ("text", "words", "hint"),
    [
        ("header: {version: 19}\nmachina: x\n", ":2:1: machina: there is no such key", "machine?"),
        ("header: {version: 999}\n", ":1:10: header.version: 999 is greater than", "kas"),
        ("machine: x\n", ":1:1: 'header' is a required property", "kas"),
        (
            "header: {version: 19}\nrepos: {poky: {branch: 3}}\n",
            ":2:16: repos.poky.branch: 3 is not of type 'string'",
            "kas",
        ),
        ("header: {version: 19}\nenv: {A: [1]}\n", ":2:7: env.A: [1] is not of type", "kas"),
    ],
)
def test_what_does_not_fit_kas_s_schema_is_named_by_its_place(
    tmp_path: Path, text: str, words: str, hint: str
) -> None:
    path = extra(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        flatten(load_role("quick"), "scarthgap", CommandLog(), extra=[path])
    assert f"{path}{words}" in caught.value.message
    assert hint in caught.value.hint


def test_what_kas_refuses_is_the_users_to_mend(tmp_path: Path) -> None:
    path = extra(tmp_path, "header: {version: 19, includes: [nowhere.yml]}\n")
    with pytest.raises(UsageError, match="kas does not accept the configuration") as caught:
        flatten(load_role("quick"), "scarthgap", CommandLog(), extra=[path])
    assert "nowhere.yml" in caught.value.message
    assert "Traceback" not in caught.value.message
    assert "/tmp/yoctovirt-kas-" not in caught.value.message
    assert " - ERROR " not in caught.value.message
    assert "--with" in caught.value.hint


def test_a_whole_configuration_is_held_to_kas_s_schema() -> None:
    config = config_of("quick")
    check_config(config, "quick")
    config["repos"]["poky"]["layers"]["meta"] = 7
    with pytest.raises(UsageError, match=r"repos\.poky\.layers\.meta: 7 is not") as caught:
        check_config(config, "quick on scarthgap")
    assert "the configuration of quick on scarthgap" in caught.value.message


def test_a_role_of_the_workspace_may_include_ours(tmp_path: Path) -> None:
    role = own_role(
        tmp_path,
        "header: {version: 19, includes: [kas/inc/quick.yml]}\ntarget: my-image\n",
    )
    config = flatten(role, choose_release(role, None), CommandLog())
    assert config["target"] == "my-image"
    assert config["distro"] == "yoctovirt-quick"
    assert config["repos"]["yoctovirt"]["path"] == str(data_root())


def test_a_role_may_say_more_for_one_release(tmp_path: Path) -> None:
    text = "header: {version: 19, includes: [kas/inc/quick.yml]}\n"
    role = own_role(tmp_path, text)
    folder = tmp_path / "kas" / "inc"
    (folder / "mine.kirkstone.yml").write_text("header: {version: 19}\ndistro: older\n")
    assert flatten(role, "kirkstone", CommandLog())["distro"] == "older"
    assert flatten(role, "scarthgap", CommandLog())["distro"] == "yoctovirt-quick"


def test_a_role_without_its_kas_file(tmp_path: Path) -> None:
    role = own_role(tmp_path, "")
    with pytest.raises(UsageError, match=r"kas/inc/mine\.yml"):
        flatten(role, "scarthgap", CommandLog())


# Releases -----------------------------------------------------------------------


def test_the_release_that_is_named_counts_before_the_roles_own() -> None:
    role = load_role("quick")
    assert choose_release(role, None) == "scarthgap"
    assert choose_release(role, "kirkstone") == "kirkstone"
    poky = config_of("quick", "kirkstone")["repos"]["poky"]
    assert poky["branch"] == "kirkstone"


def test_an_unknown_release_is_answered_with_near_matches() -> None:
    with pytest.raises(UsageError, match="there is no release 'scarthgab'") as caught:
        choose_release(load_role("quick"), "scarthgab")
    assert "scarthgap" in caught.value.hint
    with pytest.raises(UsageError, match="has no default release"):
        choose_release(load_role("reference"), None)


def test_notes_beside_a_release_are_none() -> None:
    assert not [name for name in releases() if "." in name]


# How kas is called --------------------------------------------------------------


def test_the_call_is_noted(tmp_path: Path) -> None:
    log = CommandLog(tmp_path / "commands.log")
    flatten(load_role("quick"), "scarthgap", log)
    assert " -m kas " in (tmp_path / "commands.log").read_text()


def test_the_environment_of_kas_is_clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", "/x")
    monkeypatch.setenv("MACHINE", "x")
    monkeypatch.setenv("KAS_TARGET", "x")
    monkeypatch.setenv("BBPATH", "x")
    monkeypatch.setenv("https_proxy", "http://proxy.invalid")
    env = kas_environment(tmp_path)
    assert env["https_proxy"] == "http://proxy.invalid"
    assert env["HOME"] == str(tmp_path)
    assert env["LC_ALL"] == "en_US.UTF-8"
    assert "/usr/sbin" in env["PATH"]
    assert not {"LD_LIBRARY_PATH", "MACHINE", "KAS_TARGET", "BBPATH"} & set(env)


def test_a_python_without_kas(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # A fake: this interpreter has kas.
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$0: No module named kas" >&2\nexit 1\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(InfrastructureError, match="kas is not installed") as caught:
        flatten(load_role("quick"), "scarthgap", CommandLog())
    assert "pip install" in caught.value.hint
