"""Suite placement: the resources of each hypervisor are known, and are given out only once."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Iterator

import pytest

from yoctovirt.smoke.checked import SmokeNode
from yoctovirt.smoke.suites.aids.openstack import find_cloud
from yoctovirt.smoke.suites.aids.rest import Rest

pytestmark = pytest.mark.usefixtures("started")

UNITS = ("placement-api.service", "openstack-placement.service", "keystone.service",
         "nova-compute.service")  # fmt: skip
DIAGNOSTICS = ("tail -n 60 /var/log/placement/*.log",)

#: Placement of OpenStack Rocky and later: a consumer has a generation.
_VERSION = "1.28"
#: A class of resources of our own: the scheduler never asks for it.
_CLASS = "CUSTOM_YOCTOVIRT"


@pytest.fixture(scope="module")
def rest(node: SmokeNode) -> Iterator[Rest]:
    """Return the services, as the administrator."""
    made = Rest(find_cloud(node), f"/run/yoctovirt-{secrets.token_hex(4)}")
    try:
        made.install()
        yield made
    finally:
        node.run(f"rm -rf {made.folder}")


def test_api(rest: Rest) -> None:
    """Placement answers the administrator, and nobody without a token."""
    told = rest.get("placement", "/")
    assert told.get("versions"), f"placement names no version of its interface: {told}"
    rest.get("placement", "/resource_providers", _VERSION)
    naked = rest.cloud.node.check(
        f"python3 -c 'import sys, urllib.error, urllib.request as r\n"
        f"try: r.build_opener(r.ProxyHandler({{}})).open(sys.argv[1]); print(200)\n"
        f"except urllib.error.HTTPError as e: print(e.code)' "
        f'$(sed \'s/.*"placement": "\\([^"]*\\)".*/\\1/\' {rest.folder}/session)/resource_providers'
    ).strip()
    assert naked == "401", f"without a token placement should give 401, it gave {naked}"


@pytest.mark.deadline(180)
@pytest.mark.nodes(1, promise="nova-compute")
def test_hypervisors(rest: Rest, nodes: dict[str, SmokeNode]) -> None:
    """Each compute node of the run has a resource provider with CPUs, memory and disk."""
    hosts = {
        name: one.check("hostname").strip()
        for name, one in nodes.items()
        if "nova-compute" in one.promises
    }

    def missing() -> str:
        found = rest.get("placement", "/resource_providers", _VERSION)["resource_providers"]
        known = {one["name"].partition(".")[0]: one["uuid"] for one in found}
        for name, host in hosts.items():
            if host.partition(".")[0] not in known:
                names = ", ".join(sorted(known)) or "none"
                return f"placement has no provider for the hypervisor of {name} ({host}): {names}"
            path = f"/resource_providers/{known[host.partition('.')[0]]}/inventories"
            has = rest.get("placement", path, _VERSION)["inventories"]
            lacks = [one for one in ("VCPU", "MEMORY_MB", "DISK_GB") if not _total(has, one)]
            if lacks:
                return f"{host} offers no {', '.join(lacks)}: it has {has}"
        return ""

    said = rest.until(missing, 90)
    assert not said, said


def _total(inventories: dict[str, dict[str, int]], name: str) -> int:
    return inventories.get(name, {}).get("total", 0)


@pytest.mark.deadline(180)
def test_allocations(rest: Rest) -> None:
    """A provider of ours gives out what it has, refuses more, and is whole again afterwards."""
    identity, consumer = str(uuid.uuid4()), str(uuid.uuid4())
    name = f"yoctovirt-{identity[:8]}"
    assert rest.call("PUT", "placement", f"/resource_classes/{_CLASS}", None, _VERSION).ok, (
        "no class of resources can be made"
    )
    try:
        rest.post(
            "placement", "/resource_providers", {"name": name, "uuid": identity},
            "no provider can be made", _VERSION,
        )  # fmt: skip
        offered = {"resource_provider_generation": 0, "inventories": {_CLASS: {"total": 4}}}
        where = f"/resource_providers/{identity}"
        put = rest.call("PUT", "placement", f"{where}/inventories", offered, _VERSION)
        assert put.ok, f"no inventory can be set: {put.said}"
        took = _take(rest, consumer, identity, 3)
        assert took.startswith("204"), f"3 of 4 cannot be taken: {took}"
        used = rest.get("placement", f"{where}/usages", _VERSION)["usages"]
        assert used.get(_CLASS) == 3, f"3 were taken, placement counts {used}"
        more = _take(rest, str(uuid.uuid4()), identity, 2)
        assert more.startswith("409"), f"2 more than 1 should be refused with 409, came {more}"
        gone = rest.call("DELETE", "placement", f"/allocations/{consumer}", None, _VERSION)
        assert gone.ok, f"an allocation cannot be given back: {gone.said}"
        used = rest.get("placement", f"{where}/usages", _VERSION)["usages"]
        assert not used.get(_CLASS), f"all was given back, placement counts {used}"
    finally:
        for path in (f"/allocations/{consumer}", f"/resource_providers/{identity}",
                     f"/resource_classes/{_CLASS}"):  # fmt: skip
            rest.call("DELETE", "placement", path, None, _VERSION)
    left = rest.call("GET", "placement", f"/resource_providers/{identity}", None, _VERSION)
    assert left.status == 404, f"a deleted provider should give 404, came {left.said}"


def _take(rest: Rest, consumer: str, provider: str, amount: int) -> str:
    """Ask for *amount* for *consumer*; return what placement answers."""
    wanted = {
        "allocations": {provider: {"resources": {_CLASS: amount}}},
        "project_id": consumer, "user_id": consumer, "consumer_generation": None,
    }  # fmt: skip
    return rest.call("PUT", "placement", f"/allocations/{consumer}", wanted, _VERSION).said
