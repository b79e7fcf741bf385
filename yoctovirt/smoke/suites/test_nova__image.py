"""Suite nova, with an image of the user's: cirros, as the layers' own instructions have it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from yoctovirt.smoke.checked import SmokeNode
from yoctovirt.smoke.cleanup import Undo
from yoctovirt.smoke.notrun import not_run
from yoctovirt.smoke.suites.aids.nova import (
    Images,
    compute_hosts,
    make_flavor,
    new_name,
    open_rest,
    start_server,
    upload_image,
)

pytestmark = pytest.mark.usefixtures("started")

#: A file on the host; without it the newest of these on the node is taken, where
#: meta-cloud-services' recipe of cirros installs it.
VARIABLE = "YOCTOVIRT_GUEST_IMAGE"
_FIND = "ls -t /root/images/*cirros*.img /root/images/*cirros*.qcow2 2>/dev/null | head -n 1"
#: Seconds until the login prompt: cirros asks for metadata twenty times before it goes on.
PROMPT = 420.0


def _find_image(node: SmokeNode, undo: Undo) -> tuple[str, str]:
    """Return where the image is on the node, and its format, qcow2 or raw."""
    named = os.environ.get(VARIABLE)
    if named:
        try:
            data = Path(named).read_bytes()
        except OSError as error:
            pytest.fail(f"{VARIABLE} names an image that cannot be read: {error}", pytrace=False)
        found = f"/var/tmp/{new_name()}"
        undo(f"rm -f {found}")
        node.put(data, found)
    else:
        found = node.run(_FIND).output.strip()
        if not found:
            not_run(f"there is no cirros in /root/images of the node, and {VARIABLE} names none")
    magic = node.check(f"head -c 3 {found} | od -An -c").split()
    return found, "qcow2" if magic == ["Q", "F", "I"] else "raw"


@pytest.mark.deadline(800)
@pytest.mark.nodes(1, promise="nova-compute")
def test_users_image(node: SmokeNode, nodes: dict[str, SmokeNode], undo: Undo) -> None:
    """A server of the user's cirros image boots until its console asks for a login."""
    file, form = _find_image(node, undo)
    rest = open_rest(node, undo)
    host = min(compute_hosts(rest, nodes))
    image = upload_image(rest, undo, new_name(), "bare", form, file, {"os_shutdown_timeout": "2"})
    flavor = make_flavor(rest, undo)
    server = start_server(rest, undo, Images(image, ""), flavor, host=host, networks="none")
    server.wait_for("ACTIVE")
    last = ""

    def look() -> str:
        nonlocal last
        last = server.console()
        return "" if "login:" in last else "not yet"

    if rest.until(look, PROMPT):
        end = "\n".join(last.strip().splitlines()[-12:]) or "(nothing)"
        pytest.fail(
            f"{file}: the server is ACTIVE, and its console asks for no login within "
            f"{PROMPT:.0f} s:\n{end}",
            pytrace=False,
        )
