"""What suites work out of what a node tells."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from yoctovirt.smoke.suites.aids.features import FEATURES, features_for
from yoctovirt.smoke.suites.aids.kernelconfig import HIDDEN, describe
from yoctovirt.smoke.suites.aids.packages import differences, parse_installed
from yoctovirt.smoke.suites.nets import given
from yoctovirt.smoke.suites.test_irqbalance import online_cpus

DPKG = """\
Package: busybox
Status: install ok installed
Version: 1:1.35.0-4
Package: gone
Status: deinstall ok config-files
Version: 2.0
Package: libc6
Status: install ok installed
Version: 2.36-9
"""
OPKG = """\
Package: busybox
Version: 1.36.1-r0
Status: install ok installed
Package: base-files
Version: 3.0.14-r89
Status: install user installed
"""


def test_what_is_installed() -> None:
    assert parse_installed(DPKG) == {"busybox": "1:1.35.0-4", "libc6": "2.36-9"}
    assert parse_installed(OPKG) == {"busybox": "1.36.1-r0", "base-files": "3.0.14-r89"}
    assert parse_installed("") == {}


def test_differences() -> None:
    manifest = [("busybox", "amd64", "1:1.35.0-4"), ("libc6:amd64", "amd64", "2.36-9")]
    assert differences(manifest, parse_installed(DPKG)) == []
    assert differences(manifest, {"busybox": "1.36", "extra": "1"}) == [
        "libc6 2.36-9 is in the manifest and not installed",
        "extra 1 is installed and not in the manifest",
        "busybox is 1.36, the manifest says 1:1.35.0-4",
    ]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("1.0-r0", "1.0", True),
        ("1:1.0", "1.0", True),
        ("1.0-r0", "1.1-r0", False),
    ],
)
def test_spellings_of_a_version(one: str, other: str, same: bool) -> None:
    assert (differences([("p", "a", one)], {"p": other}) == []) is same


@pytest.mark.parametrize(
    ("text", "cpus"), [("0\n", [0]), ("0-3", [0, 1, 2, 3]), ("0-1,4,6-7", [0, 1, 4, 6, 7])]
)
def test_online_cpus(text: str, cpus: list[int]) -> None:
    assert online_cpus(text) == cpus


def test_features_are_asked_for_by_promises() -> None:
    assert features_for([]) == []
    assert features_for(["keystone"]) == []
    assert "overlayfs" in features_for(["docker"])
    assert "tun" not in features_for(["docker"])
    assert {"tun", "vhost_net", "bridge"} <= set(features_for(["qemu"]))


def test_how_an_option_is_set() -> None:
    assert describe({"TUN": "m"}, ("TUN", "VETH")) == "CONFIG_TUN=m, CONFIG_VETH is not set"
    assert describe(None, ("TUN",)) == HIDDEN


@pytest.mark.parametrize("shell", [s for s in ("dash", "bash", "busybox") if shutil.which(s)])
@pytest.mark.parametrize("feature", FEATURES)
def test_scripts_are_shell(feature: str, shell: str) -> None:
    run = [shell, "sh", "-n"] if shell == "busybox" else [shell, "-n"]
    subprocess.run(run, input=FEATURES[feature].script, text=True, check=True)


def test_tunnels_that_the_kernel_puts_into_each_namespace_are_nobodys() -> None:
    """As listed in a container without a network where ip_gre and sit are loaded."""
    assert given(["erspan0", "gre0", "gretap0", "lo", "sit0"]) == ["lo"]
    assert given(["eth0", "gre1", "lo"]) == ["eth0", "gre1", "lo"]
