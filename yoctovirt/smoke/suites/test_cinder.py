"""Suite cinder: a volume comes, grows, keeps what a guest writes to it, and goes for good."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from typing import Any

import pytest

from yoctovirt.smoke.checked import SmokeNode
from yoctovirt.smoke.cleanup import Undo
from yoctovirt.smoke.suites.aids.nova import (
    VERSION,
    Server,
    compute_hosts,
    make_flavor,
    new_name,
    removal,
    start_server,
    upload_guest,
    upload_image,
)
from yoctovirt.smoke.suites.aids.qcow2 import make_qcow2
from yoctovirt.smoke.suites.aids.volumes import Volumes, open_volumes

pytestmark = pytest.mark.usefixtures("started")

UNITS = ("cinder-api.service", "cinder-scheduler.service", "cinder-volume.service",
         "rabbitmq-server.service", "tgt.service", "nova-compute.service")  # fmt: skip
DIAGNOSTICS = (
    "tail -n 60 /var/log/cinder/*.log", "tail -n 60 /var/log/nova/nova-compute.log",
    "df -h /var/lib/cinder", "mount | grep -e cinder -e nova", "vgs 2>/dev/null",
)  # fmt: skip

_SECTORS = 1 << 21  #: of 512 bytes, in a GiB


@pytest.fixture(scope="module")
def volumes(node: SmokeNode, module_undo: Undo) -> Volumes:
    """Return the block storage service."""
    return open_volumes(node, module_undo)


@pytest.fixture(scope="module")
def server(volumes: Volumes, nodes: dict[str, SmokeNode], module_undo: Undo) -> Server:
    """Start a server without a network."""
    rest = volumes.rest
    host = min(compute_hosts(rest, nodes))
    images, flavor = upload_guest(rest, module_undo), make_flavor(rest, module_undo)
    return start_server(rest, module_undo, images, flavor, host=host, networks="none")


@dataclass
class Plugs:
    """A server, and the volumes that are plugged into it, one at a time."""

    volumes: Volumes
    server: Server
    undo: Undo
    line: str = ""  #: what the guest said of the last one

    def make(self, **further: Any) -> str:
        """Return the id of a new volume of 1 GiB, to be detached before it is deleted."""
        volume = self.volumes.make(self.undo, "volume", size=1, **further)
        self.undo(removal(self.volumes.rest, "compute", self._path(volume), VERSION, 120), 180)
        self.volumes.wait_for("volume", volume)
        return volume

    def _path(self, volume: str) -> str:
        return f"{self.server.path}/os-volume_attachments/{volume}"

    def attach(self, volume: str) -> tuple[str, str]:
        """Attach it; return what the guest found on it, and what it then wrote there."""
        path = f"{self.server.path}/os-volume_attachments"
        body = {"volumeAttachment": {"volumeId": volume}}
        self.volumes.rest.post("compute", path, body, "nova attaches no volume", VERSION)
        shown = self.volumes.wait_for("volume", volume, "in-use", self.server.trouble)
        users = [one["server_id"] for one in shown["attachments"]]
        assert users == [self.server.id], (
            f"the volume should be attached to {self.server.id}, cinder has: {users}"
        )
        self.line = self.server.hear("volume", but=self.line)
        said = re.fullmatch(r"(\d+) wrote (\S+) held (.*)", self.line)
        assert said, f"the guest says of the volume: {self.line}"
        sectors, wrote, held = said.groups()
        assert int(sectors) == _SECTORS, (
            f"the volume has 1 GiB, the guest sees {sectors} sectors instead of {_SECTORS}"
        )
        assert wrote != "nothing", "the guest cannot write to the volume"
        return held, wrote

    def detach(self, volume: str) -> None:
        """Detach it; the guest must miss it."""
        path = self._path(volume)
        done = self.volumes.rest.call("DELETE", "compute", path, None, VERSION)
        assert done.ok, f"the volume cannot be detached: {done.said}"
        self.volumes.wait_for("volume", volume)

        def look() -> str:
            left = self.volumes.rest.call("GET", "compute", path, None, VERSION)
            return "" if left.status == 404 else left.said

        said = self.volumes.rest.until(look, 60)
        assert not said, f"the volume is detached, and nova still has it: {said}"
        turn = self.line.partition(" wrote ")[2].partition(" ")[0].rpartition("-")[2]
        self.server.hear(f"unplugged {turn}")


@pytest.fixture
def plugs(volumes: Volumes, server: Server, undo: Undo) -> Plugs:
    """Return the server, when its guest is ready."""
    server.hear("ready")
    said = re.findall(rf"{server.word} volume (.*)", server.console())
    return Plugs(volumes, server, undo, said[-1].strip() if said else "")


@pytest.mark.deadline(180)
def test_services(volumes: Volumes) -> None:
    """The scheduler and a volume service are up, none is down, and a back end has room."""

    def look() -> str:
        services = [one for one in volumes.get("/os-services")["services"]
                    if one["status"] == "enabled"]  # fmt: skip
        up = {one["binary"] for one in services if one["state"] == "up"}
        absent = [f"no {name} is up" for name in ("cinder-scheduler", "cinder-volume")
                  if name not in up]  # fmt: skip
        down = [f"{one['binary']} on {one['host']} is down" for one in services
                if one["state"] != "up"]  # fmt: skip
        return ", ".join(absent + down)

    said = volumes.rest.until(look, 90)
    assert not said, said
    room: dict[str, Any] = {}

    def look_at_pools() -> str:
        pools = volumes.get("/scheduler-stats/get_pools?detail=true")["pools"]
        room.update({one["name"]: one["capabilities"].get("free_capacity_gb") for one in pools})
        enough = [free for free in room.values() if isinstance(free, str) or (free or 0) >= 1]
        return "" if enough else f"no back end has room for a volume: {room or 'there is none'}"

    said = volumes.rest.until(look_at_pools, 90)
    assert not said, said


@pytest.mark.deadline(400)
def test_volume(volumes: Volumes, undo: Undo) -> None:
    """A volume becomes available, in the size that was asked for, and grows."""
    volume = volumes.make(undo, "volume", size=1)
    shown = volumes.wait_for("volume", volume)
    assert shown["size"] == 1, f"1 GiB was asked for, the volume has {shown['size']}"
    grow = volumes.rest.call(
        "POST", volumes.type, f"/volumes/{volume}/action", {"os-extend": {"new_size": 2}}
    )
    assert grow.ok, f"the volume cannot be extended: {grow.said}"
    shown = volumes.wait_for("volume", volume)
    assert shown["size"] == 2, f"the volume was extended to 2 GiB, it has {shown['size']}"


@pytest.mark.deadline(500)
def test_image(node: SmokeNode, volumes: Volumes, undo: Undo) -> None:
    """A volume made of an image carries that image's checksum, and can be booted."""
    rest, name = volumes.rest, new_name()
    content = make_qcow2(secrets.token_bytes(100_000))
    undo(f"rm -f /var/tmp/{name}")
    node.put(content, f"/var/tmp/{name}")
    image = upload_image(rest, undo, name, "bare", "qcow2", f"/var/tmp/{name}", {})
    volume = volumes.make(undo, "volume", size=1, imageRef=image)
    shown = volumes.wait_for("volume", volume)
    assert shown["bootable"] == "true", "a volume of an image is not bootable"
    came = shown.get("volume_image_metadata", {}).get("checksum")
    expected = hashlib.md5(content).hexdigest()
    assert came == expected, f"the image's checksum is {expected}, the volume has {came}"


@pytest.mark.deadline(600)
def test_snapshot(volumes: Volumes, undo: Undo) -> None:
    """A snapshot keeps its volume from being deleted, and becomes a volume of its own."""
    volume = volumes.make(undo, "volume", size=1)
    volumes.wait_for("volume", volume)
    snapshot = volumes.make(undo, "snapshot", volume_id=volume)
    shown = volumes.wait_for("snapshot", snapshot)
    assert (shown["volume_id"], shown["size"]) == (volume, 1), (
        f"the snapshot is of {shown['volume_id']}, {shown['size']} GiB, not of {volume}, 1 GiB"
    )
    refused = volumes.rest.call("DELETE", volumes.type, f"/volumes/{volume}")
    assert refused.status == 400, (
        f"a volume with a snapshot must not be deleted: should be 400, came {refused.said}"
    )
    copy = volumes.make(undo, "volume", size=1, snapshot_id=snapshot)
    shown = volumes.wait_for("volume", copy)
    assert shown["snapshot_id"] == snapshot, f"the copy is of {shown['snapshot_id']}"
    volumes.gone("volume", copy)
    volumes.gone("snapshot", snapshot)
    volumes.gone("volume", volume)


@pytest.mark.deadline(900)
@pytest.mark.nodes(1, promise="nova-compute")
def test_attach(plugs: Plugs) -> None:
    """A guest finds what it wrote to a volume again, after it was detached and attached."""
    volume = plugs.make()
    _, wrote = plugs.attach(volume)
    refused = plugs.volumes.rest.call("DELETE", plugs.volumes.type, f"/volumes/{volume}")
    assert refused.status == 400, (
        f"a volume in use must not be deleted: should be 400, came {refused.said}"
    )
    plugs.detach(volume)
    held, _ = plugs.attach(volume)
    assert held == wrote, f"the guest wrote {wrote} to the volume; attached again it has: {held}"
    plugs.detach(volume)


@pytest.mark.deadline(900)
@pytest.mark.nodes(1, promise="nova-compute")
def test_snapshot_content(plugs: Plugs) -> None:
    """A volume of a snapshot has what the guest wrote before it, and not what it wrote later."""
    volume = plugs.make()
    _, before = plugs.attach(volume)
    plugs.detach(volume)
    snapshot = plugs.volumes.make(plugs.undo, "snapshot", volume_id=volume)
    plugs.volumes.wait_for("snapshot", snapshot)
    held, _ = plugs.attach(volume)
    assert held == before, f"the guest wrote {before}; with a snapshot the volume has: {held}"
    plugs.detach(volume)
    copy = plugs.make(snapshot_id=snapshot)
    held, _ = plugs.attach(copy)
    assert held == before, f"when the snapshot was made the volume had {before}, it has: {held}"
    plugs.detach(copy)
    plugs.volumes.gone("volume", copy)
    plugs.volumes.gone("snapshot", snapshot)


@pytest.mark.deadline(400)
def test_delete(volumes: Volumes, undo: Undo) -> None:
    """A deleted volume is gone, and counts for its project's quota no longer."""
    before = volumes.in_use()
    volume = volumes.make(undo, "volume", size=1)
    volumes.wait_for("volume", volume)
    during = volumes.in_use()
    expected = {**before, "volumes": before["volumes"] + 1, "gigabytes": before["gigabytes"] + 1}
    assert during == expected, f"with one volume more the quota should count {expected}: {during}"
    volumes.gone("volume", volume)
    after = volumes.in_use()
    assert after == before, f"the volume is gone, and counts: {before} before, {after} after"
