"""The suites on a real OpenStack: all checks of what its nodes promise pass."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from tests.browser import require_browser
from tests.lab.conftest import Running
from tests.lab.dashboard import see_instance
from tests.lab.seen import table
from yoctovirt.base.secrets import Secret
from yoctovirt.smoke.suites.aids.window import Login

pytestmark = pytest.mark.timeout(7200)

NODES = ("controller", "compute", "compute2")
#: Seconds from saved layers until the APIs answer, on two cores that have nothing else to do.
#: Where they have, this is a failure only after :data:`PATIENCE` times that.
START = 120.0
PATIENCE = 4.0
#: Each has at least one check that passes. Not base, system, kvm: the nodes have the host's kernel,
#: no default route and no KVM, and these suites say so.
SUITES = (
    "keystone", "glance", "rabbitmq", "postgresql", "mysql", "memcached", "placement",
    "nova", "neutron", "swift", "cinder", "heat", "barbican", "horizon", "openldap", "cyrus-sasl",
    "puppet", "spice", "qpid", "tempest", "ceilometer",
)  # fmt: skip
#: Checks that the lab cannot be what they need for.
NOT_RUN: set[str] = set()


def test_it_starts_from_saved_layers(running: Running) -> None:
    assert running.seconds < START * PATIENCE, f"{running.seconds:.0f} s"


@pytest.fixture(scope="module")
def verdicts(running: Running, request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    """Run all suites of OpenStack and of what is around it in one call, as a user does."""
    begun = time.monotonic()
    done = running.yv.run("smoke", *NODES, "--suite", ",".join(SUITES), timeout=7000)
    took = time.monotonic() - begun
    print(done.stdout, done.stderr)
    found: list[dict[str, Any]] = running.yv.last_record()["checks"]
    seen = request.config.getoption("--lab-seen")
    if seen:
        Path(seen).write_text(table(found, running.seconds, took), encoding="utf-8")
    bad = [verdict["id"] for verdict in found if verdict["outcome"] not in ("passed", "not run")]
    assert (done.returncode, bad) == (0, [])
    return found


@pytest.mark.parametrize("suite", SUITES)
def test_suite(verdicts: list[dict[str, Any]], suite: str) -> None:
    """All its checks pass; where the lab cannot be what one needs, that one was not run."""
    outcomes = {
        verdict["id"]: verdict["outcome"] for verdict in verdicts if verdict["suite"] == suite
    }
    assert "passed" in outcomes.values()
    left = {name for name, outcome in outcomes.items() if outcome != "passed"}
    assert left <= NOT_RUN, f"{left}"


#: Makes a server without a network, and waits until it runs.
SERVER = """
head -c 100000 /dev/urandom >/run/disk
{cloud} image create -f value -c id --disk-format raw --container-format bare --file /run/disk disk
{cloud} flavor create -f value -c id --ram 128 --disk 1 tiny
{cloud} --os-compute-api-version 2.37 server create -f value -c id --wait --nic none \\
    --image disk --flavor tiny {name}
"""


def test_horizon_in_a_browser(
    running: Running, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """What a person sees: the login, and a server on the page of the instances."""
    require_browser()
    name = "seen-in-a-browser"
    running.lab.run("controller", SERVER.format(cloud="openstack --os-cloud lab", name=name), 600)
    password = running.lab.run("controller", ". /etc/keystone/admin-openrc; printf %s $OS_PASSWORD")
    kept = request.config.getoption("--lab-screenshots")
    folder = Path(kept) if kept else tmp_path
    login = Login("admin", Secret(password), "Default", "admin")
    root = f"http://{running.lab.address('controller')}/horizon/"
    assert "Active" in see_instance(root, login, name, folder / "horizon.png")
    assert (folder / "horizon.png").read_bytes().startswith(b"\x89PNG")


#: What there may be of each kind, in all projects: tempest's users have some of their own.
KINDS = (
    "user", "project", "image --all", "server --all-projects", "flavor --all", "network", "port",
    "router", "container", "volume --all-projects", "volume snapshot --all-projects", "secret",
    "security group", "stack",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_left_in_the_cloud(running: Running, kind: str) -> None:
    """After the suites: what they make has their name, or tempest's, and is gone."""
    words, _, option = kind.partition(" --")
    line = f"openstack --os-cloud lab {words} list -f json {'--' * bool(option)}{option}"
    listed = json.loads(running.lab.run("controller", line))
    assert [one for one in listed if re.search("yoctovirt-|tempest-", json.dumps(one))] == []


def test_nothing_is_left_on_the_controller(running: Running) -> None:
    """After the suites: no user, database, directory or process of theirs."""
    for command in (
        "getent passwd | grep '^yv'",
        "sasldblistusers2 | grep yoctovirt",
        "ldapsearch -Q -Y EXTERNAL -H ldapi:/// -LLL -b cn=config '(olcSuffix=*)' | grep yoctovirt",
        "ldapsearch -x -LLL -H ldapi:/// -b ou=Users,dc=nodomain dn | grep uid=yv",
        "rabbitmqctl -q list_vhosts | grep yoctovirt",
        "ls -d /run/yv* /run/yoctovirt-* /var/lib/ldap/yoctovirt-* 2>/dev/null",
        "pgrep -af '[q]emu-system.*spice unix|[s]aslauthd -a sasldb'",
    ):
        assert running.lab.run("controller", f"{command} || true").strip() == "", command


#: A picture in a report: in its base64 stand words that are none.
_PICTURE = r"data:image/png;base64,[A-Za-z0-9+/=]+"


def test_no_secret_is_recorded(running: Running) -> None:
    """The administrator's password, and tokens, stand in no file of any run."""
    words = ("lab-password", "gAAAA")  # how a token of keystone begins
    files = [path for path in (running.yv.workspace / "runs").rglob("*") if path.is_file()]
    assert len(files) > 3
    found = [
        f"{path.name}: {word}"
        for path in files
        for word in words
        if word in re.sub(_PICTURE, "", path.read_text(errors="replace"))
    ]
    assert found == []
