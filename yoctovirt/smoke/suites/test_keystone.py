"""Suite keystone: tokens, the catalog and all that it points to, users and their rights."""

from __future__ import annotations

import secrets
from urllib.parse import urlsplit

import pytest

from yoctovirt.smoke.checked import SmokeNode
from yoctovirt.smoke.cleanup import Undo
from yoctovirt.smoke.suites.aids.openstack import (
    Cloud,
    Endpoint,
    ask,
    find_cloud,
    read_catalog,
    said_by,
)

pytestmark = pytest.mark.usefixtures("started")

UNITS = ("keystone.service", "apache2.service", "httpd.service", "mariadb.service",
         "postgresql.service", "memcached.service")  # fmt: skip
DIAGNOSTICS = (
    "tail -n 60 /var/log/keystone/*.log",
    "ss -ltn 2>/dev/null || netstat -ltn",
)

#: Promise -> type of the service that the catalog must have for it; one of these.
CATALOG = {
    "keystone": ("identity",),
    "glance": ("image",),
    "placement": ("placement",),
    "nova-api": ("compute",),
    "neutron-server": ("network",),
    "cinder": ("volumev3", "block-storage"),
    "swift": ("object-store",),
    "heat": ("orchestration",),
    "barbican": ("key-manager",),
}


@pytest.fixture(scope="module")
def cloud(node: SmokeNode) -> Cloud:
    """Return the cloud, as its administrator."""
    return find_cloud(node)


@pytest.fixture(scope="module")
def catalog(cloud: Cloud) -> list[Endpoint]:
    """Return all endpoints of the catalog."""
    return read_catalog(cloud)


def test_token(cloud: Cloud) -> None:
    """The administrator's credentials on the node give a token for a project."""
    assert cloud.client, "the node has no client 'openstack' (python3-openstackclient)"
    assert cloud.user_id, "the token is nobody's"
    assert cloud.project_id, f"the token of {cloud.openrc} is for no project"


def test_wrong_password(cloud: Cloud) -> None:
    """A wrong password is refused, with 401."""
    wrong = f"export OS_PASSWORD=wrong-{secrets.token_hex(8)}"
    done = cloud.run("token issue -f value -c expires", before=wrong)
    assert not done.ok, "a wrong password gives a token"
    assert "401" in done.output, (
        f"a wrong password should be answered with 401, came: {said_by(done)}"
    )


def test_catalog(node: SmokeNode, catalog: list[Endpoint]) -> None:
    """The catalog has a public endpoint for each service that the role promises."""
    public = {endpoint.type for endpoint in catalog if endpoint.interface == "public"}
    absent = [
        f"{promise} is promised, and the catalog has no public endpoint of type {types[0]}"
        for promise, types in CATALOG.items()
        if promise in node.promises and not public & set(types)
    ]
    assert not absent, "\n".join([*absent, f"it has: {', '.join(sorted(public))}"])


@pytest.mark.deadline(300)
def test_endpoints_answer(node: SmokeNode, catalog: list[Endpoint]) -> None:
    """Behind each endpoint of the catalog, of any interface, a service answers."""
    assert catalog, "the catalog is empty"
    roots: dict[str, list[str]] = {}
    for endpoint in catalog:
        # The path asks for a project or an account; the version list stands at the root, or
        # at the first folder where Apache serves several services on one port.
        parts = urlsplit(endpoint.url)
        first = parts.path.lstrip("/").partition("/")[0] if parts.port is None else ""
        root = f"{parts.scheme}://{parts.netloc}/{first}"
        roots.setdefault(root, []).append(f"{endpoint.service} ({endpoint.interface})")
    came = ask(node, list(roots))
    dead = [
        f"{', '.join(names)}: {root} gave {came.get(root, 'nothing')}"
        for root, names in roots.items()
        if not came.get(root, "").isdigit() or int(came[root]) >= 500
    ]
    assert not dead, "endpoints that do not answer: " + "\n".join(dead)


@pytest.fixture
def name() -> str:
    """Return a name for what a check makes, that nothing else has."""
    return f"yoctovirt-{secrets.token_hex(4)}"


@pytest.mark.deadline(300)
def test_user_round_trip(node: SmokeNode, cloud: Cloud, undo: Undo, name: str) -> None:
    """A new user can log in to its project only, with its role; a deleted one cannot."""
    secret = f"/run/{name}"
    for kind in ("project", "user"):
        undo(
            f". {cloud.openrc}\nopenstack {kind} show {name} >/dev/null 2>&1 || exit 0\n"
            f"openstack {kind} delete {name}"
        )
    undo(f"rm -f {secret}")
    node.put(secrets.token_hex(16).encode(), secret, 0o600)
    cloud.check(f"project create -f value -c id {name}", why="no project can be made")
    cloud.check(
        f'user create -f value -c id --project {name} --password "$(cat {secret})" {name}',
        why="no user can be made",
    )
    as_user = (
        f"unset OS_PROJECT_ID OS_USER_ID OS_TENANT_ID OS_TENANT_NAME\n"
        f"export OS_USERNAME={name} OS_PROJECT_NAME={name} OS_PASSWORD=$(cat {secret})"
    )
    login = "token issue -f value -c project_id"
    done = cloud.run(login, before=as_user)
    assert not done.ok, "a user without any role in a project gets a token for it"
    cloud.check(f"role add --project {name} --user {name} member", why="no role can be given")
    project = cloud.check(login, before=as_user, why="a new user cannot log in").split()
    assert project, "the token of the new user is for no project"
    assert project[-1] != cloud.project_id, (
        "the new user's token is for the administrator's project"
    )
    done = cloud.run("user list -f value -c Name", before=as_user)
    assert not done.ok, "a user who is no administrator may list all users"
    cloud.check(f"user delete {name}", why="the user cannot be deleted")
    done = cloud.run(login, before=as_user)
    assert not done.ok, "a deleted user can still log in"
    assert "401" in done.output, f"a deleted user should get 401, came: {said_by(done)}"
