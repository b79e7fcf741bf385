"""The suites on a real OpenStack: all checks of what its nodes promise pass."""

from __future__ import annotations

import pytest

from tests.lab.conftest import Running

pytestmark = pytest.mark.timeout(7200)

#: Seconds from saved layers until the APIs answer, on two cores that have nothing else to do.
#: Where they have, this is a failure only after :data:`PATIENCE` times that.
START = 120.0
PATIENCE = 4.0


def test_it_starts_from_saved_layers(running: Running) -> None:
    assert running.seconds < START * PATIENCE, f"{running.seconds:.0f} s"


@pytest.mark.parametrize(
    "suite",
    [
        "keystone",
        "glance",
        "rabbitmq",
        "postgresql",
        "mysql",
        "memcached",
        "placement",
        "nova",
        "neutron",
        "swift",
        "cinder",
        "openldap",
        "cyrus-sasl",
        "puppet",
        "spice",
        "qpid",
    ],
)
def test_suite(running: Running, suite: str) -> None:
    done = running.yv.run("smoke", "controller", "compute", "--suite", suite, timeout=3600)
    print(done.stdout, done.stderr)
    assert done.returncode == 0
    verdicts = running.yv.last_record()["checks"]
    assert {verdict["outcome"] for verdict in verdicts} == {"passed"}
    assert {verdict["id"].partition("::")[0] for verdict in verdicts} == {suite}


def test_nothing_is_left_in_the_cloud(running: Running) -> None:
    """After the suites: what they make has their name, and is gone."""
    cloud = "openstack --os-cloud lab"
    for kind in ("user", "project", "image", "server", "flavor", "network", "port", "router",
                 "container", "volume"):  # fmt: skip
        listed = running.lab.run("controller", f"{cloud} {kind} list -f value -c Name").split()
        assert [name for name in listed if name.startswith("yoctovirt-")] == []


def test_nothing_is_left_on_the_controller(running: Running) -> None:
    """After the suites: no user, database, directory or process of theirs."""
    for command in (
        "getent passwd | grep '^yv'",
        "sasldblistusers2 | grep yoctovirt",
        "ldapsearch -Q -Y EXTERNAL -H ldapi:/// -LLL -b cn=config '(olcSuffix=*)' | grep yoctovirt",
        "ldapsearch -x -LLL -H ldapi:/// -b ou=Users,dc=nodomain dn | grep uid=yv",
        "rabbitmqctl -q list_vhosts | grep yoctovirt",
        "ls -d /run/yv* /run/yoctovirt-* /var/lib/ldap/yoctovirt-* 2>/dev/null",
        "pgrep -af 'qemu-system.*spice unix|saslauthd -a sasldb'",
    ):
        assert running.lab.run("controller", f"{command} || true").strip() == "", command


def test_no_secret_is_recorded(running: Running) -> None:
    """The administrator's password, and tokens, stand in no file of any run."""
    words = ("lab-password", "gAAAA")  # how a token of keystone begins
    files = [path for path in (running.yv.workspace / "runs").rglob("*") if path.is_file()]
    assert len(files) > 3
    found = [
        f"{path.name}: {word}"
        for path in files
        for word in words
        if word in path.read_text(errors="replace")
    ]
    assert found == []
