"""Suite tempest: OpenStack's own tests of its interfaces, a chosen list of them."""

from __future__ import annotations

from typing import Any

import pytest

from yoctovirt.smoke.checked import SmokeNode
from yoctovirt.smoke.cleanup import Undo
from yoctovirt.smoke.notrun import not_run
from yoctovirt.smoke.suites.aids.neutron import make, new_range
from yoctovirt.smoke.suites.aids.nova import make_flavor, open_rest, upload_guest
from yoctovirt.smoke.suites.aids.tempest import Tempest, configure, start
from yoctovirt.smoke.tempestlist import chosen_tests, full_name

pytestmark = pytest.mark.usefixtures("started")

COMMANDS = ("tempest",)
DIAGNOSTICS = ("tail -n 200 /run/yoctovirt-*-tempest/tempest.log",)

#: Below ``tempest.api``: of each service what is short, needs no guest that it could log in to,
#: and is there from Train to now. One class's tests stand together, they share what it sets up.
TESTS = (
    "identity.v3.test_api_discovery.TestApiDiscovery.test_api_version_resources",
    "identity.v3.test_api_discovery.TestApiDiscovery.test_api_media_types",
    "identity.v3.test_tokens.TokensV3Test.test_create_token",
    "identity.v3.test_tokens.TokensV3Test.test_validate_token",
    "identity.admin.v3.test_services.ServicesTestJSON.test_create_update_get_service",
    "identity.admin.v3.test_services.ServicesTestJSON.test_list_services",
    "identity.admin.v3.test_projects.ProjectsTestJSON.test_project_create_with_description",
    "identity.admin.v3.test_users.UsersV3TestJSON.test_user_update",
    "identity.admin.v3.test_users.UsersV3TestJSON.test_list_user_projects",
    "image.v2.test_images.BasicOperationsImagesTest.test_register_upload_get_image_file",
    "image.v2.test_images.BasicOperationsImagesTest.test_delete_image",
    "image.v2.test_images.BasicOperationsImagesTest.test_update_image",
    "compute.test_versions.TestVersions.test_list_api_versions",
    "compute.flavors.test_flavors.FlavorsV2TestJSON.test_list_flavors",
    "compute.flavors.test_flavors.FlavorsV2TestJSON.test_get_flavor",
    "compute.keypairs.test_keypairs.KeyPairsV2TestJSON.test_keypair_create_delete",
    "compute.keypairs.test_keypairs.KeyPairsV2TestJSON.test_get_keypair_detail",
    "compute.test_quotas.QuotasTestJSON.test_get_quotas",
    "compute.servers.test_create_server.ServersTestJSON.test_verify_server_details",
    "compute.servers.test_create_server.ServersTestJSON.test_list_servers",
    "network.test_networks.NetworksTest.test_create_update_delete_network_subnet",
    "network.test_networks.NetworksTest.test_list_networks",
    "network.test_ports.PortsTestJSON.test_create_update_delete_port",
    "network.test_routers.RoutersTest.test_create_show_list_update_delete_router",
    "network.test_security_groups.SecGroupTest.test_create_show_delete_security_group_rule",
    "volume.test_versions.VersionsTest.test_list_versions",
    "volume.test_volumes_get.VolumesGetTest.test_volume_create_get_update_delete",
    "volume.test_volume_metadata.VolumesMetadataTest.test_crud_volume_metadata",
    "object_storage.test_container_services.ContainerTest.test_create_container",
    "object_storage.test_object_services.ObjectTest.test_create_object",
    "object_storage.test_account_services.AccountTest.test_list_containers",
)
#: Seconds of the node's until a test has ended, those of the classes before it included.
ENDED = 400.0


@pytest.fixture(scope="module")
def tempest(
    node: SmokeNode,
    nodes: dict[str, SmokeNode],
    module_undo: Undo,
    request: pytest.FixtureRequest,
) -> Tempest:
    """Start all tests that are asked for, one after the other, in the background."""
    rest = open_rest(node, module_undo)
    promises = {promise for one in nodes.values() for promise in one.promises}
    given: dict[str, dict[str, Any]] = {}
    if "nova-compute" in promises:
        # Tempest's tests boot as users, and in projects, of their own.
        image = upload_guest(rest, module_undo, "public").disk
        flavor = make_flavor(rest, module_undo)
        network = make(rest, module_undo, "network", shared=True)
        make(rest, module_undo, "subnet", network_id=network, ip_version=4, cidr=new_range())
        name = rest.get("network", f"/v2.0/networks/{network}")["network"]["name"]
        given["compute"] = {
            "image_ref": image, "image_ref_alt": image, "flavor_ref": flavor,
            "flavor_ref_alt": flavor, "fixed_network_name": name,
        }  # fmt: skip
    folder = configure(rest, module_undo, promises, given)
    asked = {item.callspec.params["name"] for item in request.session.items
             if isinstance(item, pytest.Function) and item.path == request.path}  # fmt: skip
    names = [full_name(name) for name in chosen_tests(TESTS) if name in asked]
    return start(node, module_undo, folder, names)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a check of each test that is asked for."""
    if "name" in metafunc.fixturenames:
        metafunc.parametrize("name", chosen_tests(TESTS))


@pytest.mark.deadline(500)
def test_api(tempest: Tempest, nodes: dict[str, SmokeNode], name: str) -> None:
    """A test of OpenStack's own collection passes."""
    servers = name.startswith(("compute.servers.", "tempest.scenario."))
    if servers and not any("nova-compute" in one.promises for one in nodes.values()):
        not_run("no node of the run promises nova-compute")
    result = tempest.result(full_name(name), ENDED)
    if result.outcome == "absent":
        not_run(f"the tempest of the node has no such test: {result.text}")
    if result.outcome == "skipped":
        not_run(f"tempest skips it: {result.text}")
    if result.outcome != "passed":
        last = result.text.strip().splitlines() or ["(nothing)"]
        pytest.fail(f"{last[-1]}\n{result.text.strip()[-3000:]}", pytrace=False)
