"""Suite swift: an object goes in, is listed, is the same when it comes out, and goes for good."""

from __future__ import annotations

import hashlib
import json
import secrets
import shlex
from dataclasses import dataclass
from typing import Any

import pytest

from yoctovirt.boot.results import CommandResult
from yoctovirt.smoke.checked import SmokeNode
from yoctovirt.smoke.cleanup import Undo
from yoctovirt.smoke.suites.aids.nova import new_name, open_rest
from yoctovirt.smoke.suites.aids.openstack import Cloud, parse_json, said_by
from yoctovirt.smoke.suites.aids.rest import Rest

pytestmark = pytest.mark.usefixtures("started")

UNITS = ("swift-proxy.service", "swift-account.service", "swift-container.service",
         "swift-object.service", "memcached.service", "keystone.service")  # fmt: skip
DIAGNOSTICS = ("tail -n 60 /var/log/swift/*.log", "ls -l /etc/swift", "df -h /srv/node /etc/swift")

_TYPE = "object-store"
#: Seconds until what was written stands in the listing above it: with servers that are slow the
#: one of the object tells that of the container later.
LISTED = 30.0

_RINGS = ("account ", "container ", "object ")
#: Asks the server of each device in swift's rings who it is (OPTIONS); prints a line for each:
#: the ring, ``address:port/device``, and what the server calls itself.
_SERVERS = """
import http.client, swift.common.ring
for name in ("account", "container", "object"):
    for one in filter(None, swift.common.ring.Ring("/etc/swift", ring_name=name).devs):
        try:
            server = http.client.HTTPConnection(one["ip"], one["port"], timeout=30)
            server.request("OPTIONS", "/")
            answer = server.getresponse()
            said = answer.getheader("Server") or "nothing (status %d)" % answer.status
        except (OSError, http.client.HTTPException) as error:
            said = "no answer: %s" % error
        print("%s %s:%s/%s %s" % (name, one["ip"], one["port"], one["device"], said))
"""


@pytest.fixture(scope="module")
def rest(node: SmokeNode, module_undo: Undo) -> Rest:
    """Return the services, as the administrator."""
    return open_rest(node, module_undo)


@pytest.fixture(scope="module")
def cloud(rest: Rest) -> Cloud:
    """Return the cloud, as its administrator."""
    return rest.cloud


@dataclass(frozen=True)
class Container:
    """A container that the client was told to make."""

    rest: Rest
    name: str
    made: CommandResult

    def objects(self, query: str = "") -> list[dict[str, Any]]:
        """Return what its listing has, as swift's API gives it."""
        return _listing(self.rest, f"/{self.name}?format=json{query}")

    def show(self) -> dict[str, Any]:
        """Return what the client says of it."""
        said = "the container was made, and is not there"
        shown: dict[str, Any] = self.rest.cloud.json(f"container show {self.name}", why=said)
        return shown


def _listing(rest: Rest, path: str) -> list[dict[str, Any]]:
    told = rest.get(_TYPE, path)
    assert isinstance(told, list), f"a listing should be a list, came: {told!r}"
    return told


def _new_container(rest: Rest, undo: Undo) -> Container:
    name = new_name()
    undo(
        f". {rest.cloud.openrc}\nopenstack container show {name} >/dev/null 2>&1 || exit 0\n"
        f"openstack container delete --recursive {name}"
    )
    return Container(rest, name, rest.cloud.run(f"container create -f json {name}"))


@pytest.fixture(scope="module")
def container(rest: Rest, module_undo: Undo) -> Container:
    """Make a container; remove it, and all that is in it, at the end."""
    return _new_container(rest, module_undo)


@dataclass(frozen=True)
class Stored:
    """An object that was uploaded, and what it was made of."""

    container: Container
    name: str
    content: bytes
    upload: CommandResult

    @property
    def path(self) -> str:
        """Where the account has it."""
        return f"/{self.container.name}/{self.name}"

    @property
    def md5(self) -> str:
        """What swift says of its content (the ETag)."""
        return hashlib.md5(self.content).hexdigest()


@pytest.fixture(scope="module")
def stored(node: SmokeNode, cloud: Cloud, container: Container, module_undo: Undo) -> Stored:
    """Upload an object with random content."""
    name, content = new_name(), secrets.token_bytes(300_000)
    module_undo(f"rm -f /var/tmp/{name} /var/tmp/{name}.back")
    node.put(content, f"/var/tmp/{name}")
    command = f"object create -f json --name {name} {container.name} /var/tmp/{name}"
    return Stored(container, name, content, cloud.run(command))


def test_services(node: SmokeNode, rest: Rest) -> None:
    """The proxy answers, and behind each device of each ring the server that it is for."""
    rest.call("HEAD", _TYPE, "")  # Logs in: fails where the catalog has no swift.
    came = rest.status("nobody", _TYPE, "SERVER/healthcheck")
    assert came == "200", f"the proxy's /healthcheck should give 200, came {came}"
    lines = node.check(f"python3 -c {shlex.quote(_SERVERS)}").splitlines()
    # Further lines are warnings of Python libraries.
    found = [line.split(" ", 2) for line in lines if line.startswith(_RINGS)]
    empty = {ring.strip() for ring in _RINGS} - {ring for ring, _, _ in found}
    assert not empty, f"no device in the ring of: {', '.join(sorted(empty))}"
    wrong = [
        f"{where} should be an {ring}-server, it says: {said}"
        for ring, where, said in found
        if not said.startswith(f"{ring}-server/")
    ]
    assert not wrong, "\n".join(wrong)


def test_access(rest: Rest) -> None:
    """Without a token, with a made-up one, or to another one's account nobody gets in."""
    rest.get(_TYPE, "?format=json")
    wanted = {"nobody": ("", "401"), "liar": ("", "401"),
              "user": (secrets.token_hex(4), "403")}  # fmt: skip
    words = {"nobody": "without a token", "liar": "with a made-up token",
             "user": "for an account of somebody else"}  # fmt: skip
    for who, (behind, status) in wanted.items():
        came = rest.status(who, _TYPE, behind)
        assert came == status, f"{words[who]} swift should give {status}, it gave {came}"


@pytest.mark.deadline(180)
def test_container(rest: Rest, container: Container) -> None:
    """A container is made, empty, listed in its account; making it again is no error."""
    assert container.made.ok, f"no container can be made: {said_by(container.made)}"
    shown = container.show()
    has = (str(shown["object_count"]), str(shown["bytes_used"]))
    assert has == ("0", "0"), f"a new container has {has[0]} objects, {has[1]} bytes"

    def look() -> str:
        listed = _listing(rest, f"?format=json&prefix={container.name}")
        names = [one["name"] for one in listed]
        return "" if names == [container.name] else f"the account's listing has {names}"

    said = rest.until(look, LISTED)
    assert not said, f"the container {container.name} was made, {said}"
    again = rest.call("PUT", _TYPE, f"/{container.name}", "")
    assert again.status == 202, f"the container is made again: should be 202, came {again.said}"


@pytest.mark.deadline(240)
def test_object(node: SmokeNode, cloud: Cloud, stored: Stored) -> None:
    """An object is listed with its size and checksum; what comes back is what went in."""
    assert stored.upload.ok, f"no object can be uploaded: {said_by(stored.upload)}"
    etag = str(parse_json(stored.upload.output, "object create")[0]["etag"]).strip('"')
    assert etag == stored.md5, f"the checksum should be {stored.md5}, swift gave {etag}"
    expected = [(stored.name, len(stored.content), stored.md5)]

    def look() -> str:
        listed = [(one["name"], one["bytes"], one["hash"]) for one in stored.container.objects()]
        return "" if listed == expected else f"the listing has {listed}, not {expected}"

    said = stored.container.rest.until(look, LISTED)
    assert not said, said
    path = f"/var/tmp/{stored.name}.back"
    cloud.check(
        f"object save --file {path} {stored.container.name} {stored.name}",
        why="it cannot be downloaded",
    )
    came = node.check(f"sha256sum {path}").split()[0]
    sha256 = hashlib.sha256(stored.content).hexdigest()
    assert came == sha256, f"uploaded {sha256}, downloaded {came} (SHA-256)"


@pytest.mark.deadline(180)
def test_metadata(cloud: Cloud, stored: Stored) -> None:
    """A property is kept with the object, whose content it does not touch."""
    where, word = f"{stored.container.name} {stored.name}", secrets.token_hex(8)
    cloud.check(f"object set --property yoctovirt={word} {where}", why="no property can be set")
    shown = cloud.json(f"object show {where}", why="no object")
    kept = json.dumps(shown.get("properties", {}))
    assert word in kept, f"a property was set to {word}, the object has {kept}"
    etag = shown["etag"].strip('"')
    assert etag == stored.md5, f"with a property the checksum became {etag}, it was {stored.md5}"


@pytest.mark.deadline(240)
def test_listing(rest: Rest, undo: Undo) -> None:
    """Four objects are counted, listed by prefix, by folder, and page by page."""
    container = _new_container(rest, undo)
    assert container.made.ok, f"no container can be made: {said_by(container.made)}"
    names = ["a/1", "a/2", "b/1", "c"]
    for name in names:
        put = rest.call("PUT", _TYPE, f"/{container.name}/{name}", name)
        assert put.status == 201, f"the object {name} should give 201, came {put.said}"

    def look() -> str:
        listed = [one["name"] for one in container.objects()]
        return "" if listed == names else f"4 objects were written, the listing has {listed}"

    said = rest.until(look, LISTED)
    assert not said, said
    size = sum(len(json.dumps(name)) + 1 for name in names)  # a here-document ends with a newline
    shown = container.show()
    has = (int(shown["object_count"]), int(shown["bytes_used"]))
    assert has == (4, size), f"4 objects of {size} bytes were written, the container counts {has}"
    for query, wanted in (
        ("&prefix=a/", ["a/1", "a/2"]),
        ("&delimiter=/", ["a/", "b/", "c"]),
        ("&limit=2", ["a/1", "a/2"]),
        ("&limit=2&marker=a/2", ["b/1", "c"]),
    ):
        listed = [one.get("name", one.get("subdir")) for one in container.objects(query)]
        assert listed == wanted, f"the listing with {query[1:]} should have {wanted}: {listed}"


@pytest.mark.deadline(240)
def test_delete(rest: Rest, cloud: Cloud, stored: Stored) -> None:
    """A container with an object cannot be deleted; then object and container go for good."""
    name = stored.container.name
    full = rest.call("DELETE", _TYPE, f"/{name}")
    assert full.status == 409, (
        f"a container with an object in it must not be deleted: should be 409, came {full.said}"
    )
    cloud.check(f"object delete {name} {stored.name}", why="the object cannot be deleted")
    left = rest.call("HEAD", _TYPE, stored.path)
    assert left.status == 404, f"a deleted object should give 404, came {left.said}"
    said = rest.until(
        lambda: str([one["name"] for one in stored.container.objects()])[1:-1], LISTED
    )
    assert not said, f"a deleted object is still listed: {said}"
    cloud.check(f"container delete {name}", why="the empty container cannot be deleted")
    left = rest.call("HEAD", _TYPE, f"/{name}")
    assert left.status == 404, f"a deleted container should give 404, came {left.said}"

    def look() -> str:
        return ", ".join(one["name"] for one in _listing(rest, f"?format=json&prefix={name}"))

    said = rest.until(look, LISTED)
    assert not said, f"a deleted container is still in the account's listing: {said}"
