"""The scripts of our layers, run for real: on scratch roots, and in a network namespace."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

LAYER = Path(__file__).parents[3] / "recipes-extra/meta-yoctovirt"
ZED = LAYER / "dynamic-layers/openstack-layer"
SCRIPTS = sorted(
    path
    for path in LAYER.rglob("*")
    if path.is_file() and path.suffix == "" and path.read_bytes().startswith(b"#!/bin/sh")
)


def script(name: str) -> Path:
    (found,) = (path for path in LAYER.rglob(name) if path.is_file())
    return found


def run(*argv: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(one) for one in argv], env={**os.environ, **env},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_the_shell_reads_it(path: Path) -> None:
    done = run("sh", "-n", path)
    assert done.returncode == 0, done.stderr
    assert "set -eu" in path.read_text(), "an error in the middle must end it"


# nova-virt-type


def virt_type(root: Path, device: Path | str) -> tuple[str, Path]:
    (root / "etc/nova").mkdir(parents=True, exist_ok=True)
    done = run(sys.executable, script("nova-virt-type"), root, device)
    assert done.returncode == 0, done.stderr
    return done.stdout, root / "etc/nova/nova-compute.conf.d/50-virt-type.conf"


def test_without_a_device_it_is_qemu(tmp_path: Path) -> None:
    said, file = virt_type(tmp_path, tmp_path / "kvm")
    assert "No such file" in said
    assert "[libvirt]\nvirt_type = qemu\n" in file.read_text()


def test_a_device_that_is_no_kvm_is_no_kvm(tmp_path: Path) -> None:
    """It opens; but what counts is that it makes a virtual machine."""
    said, file = virt_type(tmp_path, "/dev/null")
    assert "virt_type = qemu" in said
    assert "/dev/null: no virtual machine" in file.read_text()


def test_what_nova_conf_sets_stands(tmp_path: Path) -> None:
    _, file = virt_type(tmp_path, "/dev/null")
    assert file.exists()
    (tmp_path / "etc/nova/nova.conf").write_text("[libvirt]\nvirt_type = lxc\n")
    said, _ = virt_type(tmp_path, "/dev/null")
    assert said == "virt_type = lxc, as nova.conf says\n"
    assert not file.exists()


def test_nova_conf_with_comments_and_doubles_is_read(tmp_path: Path) -> None:
    """The recipe's nova.conf has commented options, and sections that come twice."""
    (tmp_path / "etc/nova").mkdir(parents=True)
    (tmp_path / "etc/nova/nova.conf").write_text(
        "[DEFAULT]\n#virt_type = kvm\nmy_ip = 10.0.0.1\n[libvirt]\n#virt_type = kvm\n[DEFAULT]\n"
    )
    said, _ = virt_type(tmp_path, "/dev/null")
    assert said.startswith("virt_type = qemu")


@pytest.mark.skipif(
    not os.access("/dev/kvm", os.R_OK | os.W_OK), reason="this machine has no usable /dev/kvm"
)
def test_a_real_kvm_is_kvm(tmp_path: Path) -> None:
    said, file = virt_type(tmp_path, "/dev/kvm")
    if "no virtual machine" in said:
        pytest.skip(said)
    assert "[libvirt]\nvirt_type = kvm\n" in file.read_text()


# neutron-interface-driver


@pytest.mark.parametrize(
    ("agents", "driver"),
    [
        (["linuxbridge", "openvswitch"], "linuxbridge"),
        (["openvswitch"], "openvswitch"),
    ],
)
def test_the_interface_driver_is_the_l2_agents(
    tmp_path: Path, agents: list[str], driver: str
) -> None:
    programs = tmp_path / "usr/bin"
    programs.mkdir(parents=True)
    for agent in agents:
        (programs / f"neutron-{agent}-agent").touch()
    done = run("sh", script("neutron-interface-driver"), tmp_path / "out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out").read_text() == f"[DEFAULT]\ninterface_driver = {driver}\n"


def test_no_l2_agent_is_an_error(tmp_path: Path) -> None:
    done = run("sh", script("neutron-interface-driver"), tmp_path / "out", tmp_path)
    assert done.returncode == 1
    assert "neither" in done.stderr
    assert not (tmp_path / "out").exists()


# openrc


def test_the_openrc_speaks_version_3(tmp_path: Path) -> None:
    """As the recipe installs it: with its substitutions done, in a POSIX shell."""
    text = script("openrc").read_text()
    file = tmp_path / "openrc"
    file.write_text(
        text.replace("%CONTROLLER_IP%", "192.168.7.2").replace("%OS_PASSWORD%", "secret")
    )
    assert "%" not in file.read_text()
    done = run("sh", "-c", f". {file} && env | grep ^OS_ | sort")
    assert done.returncode == 0, done.stderr
    values = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert values["OS_AUTH_URL"] == "http://192.168.7.2:35357/v3"
    assert values["OS_IDENTITY_API_VERSION"] == "3"
    assert values["OS_PASSWORD"] == "secret"
    assert values["OS_USER_DOMAIN_NAME"] == values["OS_PROJECT_DOMAIN_NAME"] == "Default"
    assert "v2.0" not in text


# yoctovirt-node-address

Namespace = Callable[[str], subprocess.CompletedProcess[str]]


@pytest.fixture
def namespace(tmp_path: Path) -> Namespace:
    """Return a way to run shell lines in a new network namespace, with its own /sys."""
    for tool in ("unshare", "ip"):
        if not shutil.which(tool):
            pytest.skip(f"no {tool} on this machine")
    if run("unshare", "-rnm", "mount", "-t", "sysfs", "sysfs", "/sys").returncode:
        pytest.skip("this machine gives no network namespace")
    config = tmp_path / "node-address"
    config.write_text("ADDRESS=192.168.7.2\nPREFIX=24\n")
    program = f"sh {script('yoctovirt-node-address')} {config}"

    def inside(lines: str) -> subprocess.CompletedProcess[str]:
        lines = f"set -e\nmount -t sysfs sysfs /sys\n{lines}".replace("PROGRAM", program)
        return run("unshare", "-rnm", "sh", "-c", lines)

    return inside


def test_an_address_that_is_there_is_left_alone(namespace: Namespace) -> None:
    done = namespace("ip link set lo up; ip a add 192.168.7.2/24 dev lo; PROGRAM; ip -4 -o a")
    assert done.returncode == 0, done.stderr
    assert "192.168.7.2: is there" in done.stdout
    assert done.stdout.count("inet 192.168.7.2") == 1


def test_a_node_by_itself_has_it_on_lo(namespace: Namespace) -> None:
    """A bridge or a dummy is no link to other nodes; the second run changes nothing."""
    done = namespace(
        "ip link add dummy0 type dummy 2>/dev/null || ip link add br0 type bridge\n"
        "PROGRAM; PROGRAM; ip -4 -o a"
    )
    assert done.returncode == 0, done.stderr
    assert "192.168.7.2/32: on lo" in done.stdout
    assert "192.168.7.2: is there" in done.stdout
    assert "inet 192.168.7.2/32 scope global lo" in done.stdout


# openstack-setup-*


@pytest.mark.parametrize("name", ["openstack-setup-database", "openstack-setup-identity"])
def test_wrong_arguments_are_told(tmp_path: Path, name: str) -> None:
    config = tmp_path / "conf"
    config.write_text(f"ADMIN_OPENRC={tmp_path / 'openrc'}\nPATIENCE=0\n")
    (tmp_path / "openrc").touch()
    done = run("sh", script(name), "one", "two", OPENSTACK_SETUP_CONF=str(config))
    assert done.returncode == 2
    assert done.stderr.startswith(f"usage: {name}")
