"""Suite glance: an image of ours goes in, is the same when it comes out, and goes for good."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from yoctovirt.boot.results import CommandResult
from yoctovirt.smoke.checked import SmokeNode
from yoctovirt.smoke.suites.aids.openstack import Cloud, find_cloud, parse_json, said_by
from yoctovirt.smoke.suites.aids.qcow2 import make_qcow2

pytestmark = pytest.mark.usefixtures("started")

UNITS = ("glance-api.service", "keystone.service", "apache2.service")
DIAGNOSTICS = ("tail -n 60 /var/log/glance/*.log", "df -h /var/lib/glance")

#: Seconds until an image that was uploaded is active, on the node's clock.
ACTIVE = 90.0


@pytest.fixture(scope="module")
def cloud(node: SmokeNode) -> Cloud:
    """Return the cloud, as its administrator."""
    return find_cloud(node)


@dataclass(frozen=True)
class Image:
    """An image that was uploaded, and what it was made of."""

    cloud: Cloud
    name: str
    content: bytes
    upload: CommandResult

    def show(self) -> dict[str, Any]:
        """Return what glance says of it."""
        shown: dict[str, Any] = self.cloud.json(f"image show {self.name}", why="no image")
        return shown

    def property_of(self, shown: dict[str, Any], key: str) -> str:
        """Return one property; older clients print them as text."""
        properties = shown.get("properties", {})
        if isinstance(properties, str):
            pairs = (part.partition("=") for part in properties.split(", "))
            properties = {left: right.strip("'") for left, _, right in pairs}
        return str(properties.get(key, ""))


@pytest.fixture(scope="module")
def image(node: SmokeNode, cloud: Cloud) -> Iterator[Image]:
    """Upload a small qcow2 with random content; remove it at the end."""
    name = f"yoctovirt-{secrets.token_hex(4)}"
    content = make_qcow2(secrets.token_bytes(200_000))
    path = f"/var/tmp/{name}.qcow2"
    try:
        node.put(content, path)
        yield Image(
            cloud, name, content,
            cloud.run(
                f"image create -f json --disk-format qcow2 --container-format bare --file {path} "
                f"--property yoctovirt={name} {name}"
            ),
        )  # fmt: skip
    finally:
        removed = cloud.shell(
            f"rm -f {path} {path}.back\nopenstack image show {name} >/dev/null 2>&1 || exit 0\n"
            f"openstack image delete {name}"
        )
    assert removed.ok, f"the image {name} cannot be removed: {said_by(removed)}"


def test_upload(image: Image) -> None:
    """A qcow2 of ours is uploaded and becomes active, with its size and checksum."""
    assert image.upload.ok, f"no image can be uploaded: {said_by(image.upload)}"
    parse_json(image.upload.output, "image create")
    end = time.monotonic() + ACTIVE * 4
    while (shown := image.show())["status"] in ("queued", "saving", "importing"):
        assert time.monotonic() < end, f"the image is still {shown['status']}"
    assert shown["status"] == "active", f"the image is {shown['status']}, not active"
    assert shown["size"] == len(image.content), (
        f"{len(image.content)} bytes were uploaded, glance has {shown['size']}"
    )
    assert shown["disk_format"] == "qcow2", f"the format became {shown['disk_format']}"
    checksum = shown.get("checksum")
    expected = hashlib.md5(image.content).hexdigest()
    assert checksum == expected, f"the checksum should be {expected}, glance has {checksum}"


def test_download(node: SmokeNode, image: Image) -> None:
    """What comes back is what went in, byte for byte."""
    path = f"/var/tmp/{image.name}.qcow2.back"
    image.cloud.check(f"image save --file {path} {image.name}", why="it cannot be downloaded")
    came = node.check(f"sha256sum {path}").split()[0]
    expected = hashlib.sha256(image.content).hexdigest()
    assert came == expected, f"uploaded {expected}, downloaded {came} (SHA-256)"


def test_metadata(image: Image) -> None:
    """Properties are kept with the image, and can be changed."""
    shown = image.show()
    assert image.property_of(shown, "yoctovirt") == image.name, (
        f"a property given at the upload is lost: {json.dumps(shown.get('properties'))}"
    )
    image.cloud.check(f"image set --min-disk 3 --property yoctovirt=changed {image.name}")
    shown = image.show()
    kept = (image.property_of(shown, "yoctovirt"), shown["min_disk"])
    assert kept == ("changed", 3), f"the properties were changed, glance has {kept}"


def test_delete(image: Image) -> None:
    """A deleted image is gone: glance knows no such name any more."""
    image.cloud.check(f"image delete {image.name}", why="the image cannot be deleted")
    done = image.cloud.run(f"image show -f value -c status {image.name}")
    assert not done.ok, f"a deleted image is {done.output.strip()}"
    assert "No Image found" in done.output or "Could not find" in done.output, (
        f"a deleted image should not be found, came: {said_by(done)}"
    )
