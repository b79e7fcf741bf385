"""Suite horizon: the dashboard lets in who may, keeps the session, shows what there is."""

from __future__ import annotations

import secrets
from urllib.parse import urlsplit

import pytest

from yoctovirt.smoke.checked import SmokeNode
from yoctovirt.smoke.cleanup import Undo
from yoctovirt.smoke.suites.aids.dashboard import Browser, Dashboard, find_dashboard
from yoctovirt.smoke.suites.aids.nova import (
    STATE,
    VERSION,
    Images,
    compute_hosts,
    make_flavor,
    new_name,
    open_rest,
    start_server,
    upload_image,
)
from yoctovirt.smoke.suites.aids.openstack import Cloud, ask, find_cloud
from yoctovirt.smoke.suites.aids.qcow2 import make_qcow2
from yoctovirt.smoke.suites.aids.users import make_user
from yoctovirt.smoke.suites.aids.window import open_window, read_login

pytestmark = pytest.mark.usefixtures("started")

UNITS = ("apache2.service", "httpd.service", "memcached.service", "keystone.service")
DIAGNOSTICS = (
    "tail -n 60 /var/log/apache2/*error* /var/log/openstack-dashboard/*.log",
    "ls -l /etc/openstack-dashboard /etc/openstack-dashboard/local_settings.d",
    "ss -ltn 2>/dev/null || netstat -ltn",
)

#: A page that asks no other service, and one that asks keystone.
_QUICK, _IDENTITY = "settings/", "identity/"
_INSTANCES = "project/instances/"
#: Of the administrator's pages those that ask one service for one thing.
_LIGHT = ("flavors/", "images/", "networks/")
#: Of the administrator's pages those that the dashboard shows to everybody who knows their address:
#: what they list the service decides. The first two it refuses, the others have public ones.
_REFUSED, _PUBLIC = (
    ("aggregates/", "hypervisors/"),
    ("group_types/", "rbac_policies/", "volume_types/"),
)
#: What a user without further rights has: one of these, as the cloud calls it.
_MEMBER = ("member", "_member_")
#: Requests at the same time: where Apache has several processes they come to more than one.
_AT_ONCE = 8


@pytest.fixture(scope="module")
def cloud(node: SmokeNode) -> Cloud:
    """Return the cloud, as its administrator."""
    return find_cloud(node)


@pytest.fixture(scope="module")
def dashboard(cloud: Cloud, module_undo: Undo) -> Dashboard:
    """Return the dashboard of the node."""
    return find_dashboard(cloud, module_undo)


def _signed_in(dashboard: Dashboard, cloud: Cloud, who: str) -> Browser:
    """Return a browser in which the user of *cloud* is signed in; fail the check with *who*."""
    browser = dashboard.browser(cloud)
    page = browser.login(_QUICK)
    if page.login_form and page.steps:
        pytest.fail(f"the login of {who} is accepted, and the session is lost: {page.said}")
    assert page.shown, f"{who} cannot log in: {page.said}"
    return browser


@pytest.mark.deadline(180)
def test_login_page(node: SmokeNode, dashboard: Dashboard) -> None:
    """There is a login page, at one of the known places, and so are the files that it names."""
    files = list(dict.fromkeys(dashboard.login.files))
    assert files, f"the page names no style sheet and no script: {dashboard.login.said}"
    came = ask(node, files)
    wrong = [f"{url} gave {came.get(url, 'nothing')}" for url in files if came.get(url) != "200"]
    assert not wrong, "files of the login page are not served: " + "\n".join(wrong)


@pytest.mark.deadline(300)
def test_login(dashboard: Dashboard, cloud: Cloud) -> None:
    """The administrator logs in, stays so over further pages, and not beyond the logout."""
    browser = _signed_in(dashboard, cloud, "the administrator")
    pages = [*browser.get_at_once(_QUICK, _AT_ONCE), browser.get(_IDENTITY)]
    lost = [page for page in pages if not page.shown]
    assert not lost, (
        f"logged in, and the session is lost on {len(lost)} of {len(pages)} further pages: "
        f"{lost[0].said}"
    )
    browser.get("auth/logout/")
    page = browser.get(_QUICK)
    assert page.login_form, f"after the logout one should have to log in again, came {page.said}"


@pytest.mark.deadline(180)
def test_wrong_password(dashboard: Dashboard, cloud: Cloud) -> None:
    """A wrong password is refused, with a word that says so, and leads to no page."""
    browser = dashboard.browser(cloud)
    page = browser.login(_QUICK, f"export OS_PASSWORD=wrong-{secrets.token_hex(8)}")
    assert not page.signed_in, f"a wrong password is accepted: {page.said}"
    assert page.login_form, f"a wrong password should lead back to the login page, came {page.said}"
    assert page.alerts, "the login page comes again, and does not say why"
    page = browser.get(_QUICK)
    assert page.login_form, f"after a login that failed a page is shown: {page.said}"


@pytest.mark.deadline(400)
def test_admin_pages(dashboard: Dashboard, cloud: Cloud, undo: Undo) -> None:
    """The administrator has pages that a user without that right neither finds nor gets."""
    begin = f"{dashboard.root}admin/"
    admin = _signed_in(dashboard, cloud, "the administrator")
    page = admin.get(_QUICK)
    links = [link for link in page.links if link.startswith(begin)]
    assert links, f"the administrator finds no page below {begin}: {page.said}"
    # Not the first one: that adds up what all projects have used.
    light = next((link for link in links if link in (begin + one for one in _LIGHT)), links[-1])
    page = admin.get(light)
    assert page.below(begin), (
        f"the administrator does not get the pages of an administrator: {page.said}"
    )
    user = _signed_in(dashboard, make_user(cloud, undo, _MEMBER), "a user without further rights")
    page = user.get(_QUICK)
    assert page.signed_in, f"the session of a user is lost: {page.said}"
    found = [link for link in page.links if link.startswith(begin)]
    assert not found, f"a user without rights finds pages of an administrator: {', '.join(found)}"
    public = [begin + path for path in _PUBLIC]
    refused = [begin + path for path in _REFUSED]
    got = [
        page.said
        for page in user.get_each([link for link in links if link not in public])
        if page.below(begin) and (page.objects or page.url not in refused)
    ]
    assert not got, "a user without rights gets pages of an administrator: " + "\n".join(got)


@pytest.mark.deadline(600)
@pytest.mark.nodes(1, promise="nova-api")
def test_instances(
    dashboard: Dashboard, cloud: Cloud, nodes: dict[str, SmokeNode], undo: Undo
) -> None:
    """A server that nova was asked for is on the page of the instances, with its name and state."""
    rest, name = open_rest(cloud.node, undo), new_name()
    undo(f"rm -f /var/tmp/{name}")
    cloud.node.put(make_qcow2(secrets.token_bytes(10_000)), f"/var/tmp/{name}")
    image = upload_image(rest, undo, name, "bare", "qcow2", f"/var/tmp/{name}", {})
    flavor = make_flavor(rest, undo)
    hosts = compute_hosts(rest, nodes)
    server = start_server(rest, undo, Images(image, ""), flavor, networks="none")
    if hosts:
        server.wait_for("ACTIVE")
    # Without a compute node in the run it may end in ERROR: it must be shown all the same.
    said = rest.until(lambda: "BUILD" if server.show()["status"] == "BUILD" else "", STATE)
    assert not said, f"the server is still in {said}"
    state = server.show()["status"]
    browser = _signed_in(dashboard, cloud, "the administrator")
    # The dashboard may have chosen another one of the administrator's projects.
    there = urlsplit(f"{browser.root}{_INSTANCES}").path
    page = browser.get(f"auth/switch/{cloud.project_id}/?next={there}", server.id)
    assert page.shown, f"the page of the instances: {page.said}"
    row = (page.rows or {})[server.id]
    assert row, f"a server is {state}, the page of the instances does not show it: {page.said}"
    shown = (server.name in row, state.capitalize() in row.split())
    assert shown == (True, True), f"the server {server.name} is {state}, the page has: {row}"
    done = rest.call("DELETE", "compute", server.path, None, VERSION)
    assert done.ok, f"the server cannot be deleted: {done.said}"

    def look() -> str:
        row = (browser.get(_INSTANCES, server.id).rows or {})[server.id]
        return f"a deleted server is on the page of the instances: {row}" if row else ""

    said = rest.until(look, 60)
    assert not said, said


@pytest.mark.deadline(400)
def test_browser(node: SmokeNode, dashboard: Dashboard, cloud: Cloud) -> None:
    """In a real browser of this host the administrator logs in and sees the cloud's projects."""
    login = read_login(cloud)
    with open_window(node, dashboard.reached, "dashboard.png") as window:
        window.login(login, _IDENTITY)
        assert window.shows_user(login.user), (
            f"the page does not say who is logged in ({login.user}): {window.said}"
        )
        window.wait(lambda _: window.row(login.project), f"no project {login.project} is shown")
        window.look()
