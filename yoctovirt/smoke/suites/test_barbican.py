"""Suite barbican: a secret is kept, comes back to whom it belongs, to nobody else, and goes."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import Any

import pytest

from yoctovirt.boot.results import CommandResult
from yoctovirt.smoke.checked import SmokeNode
from yoctovirt.smoke.cleanup import Undo
from yoctovirt.smoke.suites.aids.nova import new_name, open_rest
from yoctovirt.smoke.suites.aids.openstack import parse_json, said_by
from yoctovirt.smoke.suites.aids.rest import Rest
from yoctovirt.smoke.suites.aids.users import make_user

pytestmark = pytest.mark.usefixtures("started")

COMMANDS = ("barbican-manage", "barbican-wsgi-api", "barbican-db-manage")
UNITS = ("barbican-api.service", "barbican-worker.service", "keystone.service")
DIAGNOSTICS = ("tail -n 60 /var/log/barbican/*.log",)

_TYPE = "key-manager"


@pytest.fixture(scope="module")
def rest(node: SmokeNode, module_undo: Undo) -> Rest:
    """Return the services, as the administrator."""
    return open_rest(node, module_undo)


@dataclass(frozen=True)
class Secret:
    """A secret that the client was told to store; its text stands in *file* on the node."""

    rest: Rest
    name: str
    file: str
    sha256: str
    stored: CommandResult

    @property
    def href(self) -> str:
        """Where barbican has it; fails the check where it could not be stored."""
        assert self.stored.ok, f"no secret can be stored: {said_by(self.stored)}"
        return str(parse_json(self.stored.output, "secret store")["Secret href"])

    @property
    def path(self) -> str:
        """The same, below the endpoint of the catalog."""
        return f"/v1/secrets/{self.href.rstrip('/').rpartition('/')[2]}"

    def listed(self) -> list[dict[str, Any]]:
        """Return the secrets of its name that the administrator's project has."""
        found: list[dict[str, Any]] = self.rest.get(_TYPE, f"/v1/secrets?name={self.name}")[
            "secrets"
        ]
        return found


@pytest.fixture(scope="module")
def secret(node: SmokeNode, rest: Rest, module_undo: Undo) -> Secret:
    """Have the client store a secret, which is deleted at the end."""
    name, text = new_name(), secrets.token_hex(32)
    file = f"{rest.folder}/{name}"
    cloud = rest.cloud
    module_undo(
        f". {cloud.openrc}\n"
        f"listed=$(openstack secret list --name {name} -f json) || exit\n"
        f"for href in $(echo \"$listed\" | tr -d ' \",' | sed -n 's/^Secrethref://p'); do\n"
        f"  openstack secret delete $href || exit\ndone"
    )
    node.put(text.encode(), file, 0o600)
    stored = cloud.run(
        f"secret store -f json --name {name} --secret-type passphrase "
        f'--payload-content-type text/plain --payload "$(cat {file})"'
    )
    return Secret(rest, name, file, hashlib.sha256(text.encode()).hexdigest(), stored)


def _ask(rest: Rest, who: str, path: str) -> str:
    """Return the status; whoever asks claims to be of the project of *rest*."""
    headers = {"X-Project-Id": "@PROJECT@"}
    if path.endswith("/payload"):
        headers["Accept"] = "text/plain"
    return rest.status(who, _TYPE, path, headers)


@pytest.mark.deadline(240)
def test_access(rest: Rest) -> None:
    """Without a token, with a made-up one, or with a wrong password nobody gets in."""
    right = rest.call("GET", _TYPE, "/v1/secrets")
    for who, words in (("nobody", "without a token"), ("liar", "with a made-up token")):
        came = _ask(rest, who, "/v1/secrets")
        assert came == "401", f"{words} barbican should give 401, it gave {came}"
    assert right.ok, f"with a token barbican should list secrets, it gave {right.said}"
    wrong = f"export OS_PASSWORD=wrong-{secrets.token_hex(8)}"
    done = rest.cloud.run("secret list -f json", before=wrong)
    assert not done.ok, "with a wrong password the secrets are listed"
    assert "401" in done.output, (
        f"a wrong password should be answered with 401, came: {said_by(done)}"
    )


@pytest.mark.deadline(240)
def test_secret(node: SmokeNode, rest: Rest, secret: Secret) -> None:
    """A secret is listed by its name, described without its text, and comes back as it was."""
    href = secret.href
    listed = [one["secret_ref"] for one in secret.listed()]
    assert listed == [href], f"stored was {href}, the list has {listed}"
    shown = rest.get(_TYPE, secret.path)
    came = (shown["status"], shown["secret_type"], shown["content_types"])
    expected = ("ACTIVE", "passphrase", {"default": "text/plain"})
    assert came == expected, f"the secret should be {expected}, it is {came}"
    assert "payload" not in shown, "what describes a secret has its text, too"
    back = f"{secret.file}.back"
    rest.cloud.check(f"secret get --file {back} {href}", why="the secret does not come back")
    came_back = node.check(f"sha256sum {back}").split()[0]
    assert came_back == secret.sha256, (
        f"stored {secret.sha256}, came back {came_back} (SHA-256 of the text)"
    )


@pytest.mark.deadline(300)
def test_other_user(rest: Rest, secret: Secret, undo: Undo) -> None:
    """A user of another project can have secrets, and finds and reads none but its own."""
    user = Rest(
        make_user(rest.cloud, undo, ("member", "_member_", "creator")), f"/run/{new_name()}"
    )
    undo(f"rm -rf {user.folder}")
    user.install()
    listed = user.get(_TYPE, "/v1/secrets")
    assert listed["total"] == 0, (
        f"a user of a new project is shown {listed['total']} secrets of others"
    )
    for path, what in ((secret.path, "what describes it"), (f"{secret.path}/payload", "its text")):
        came = _ask(rest, "user", path)
        assert came == "200", f"whose secret it is should get {what} (200), got {came}"
        came = _ask(user, "user", path)
        assert came in ("403", "404"), (
            f"a user of another project asks for a secret, {what}: should be 403, came {came}"
        )


@pytest.mark.deadline(180)
def test_delete(rest: Rest, secret: Secret) -> None:
    """A deleted secret is gone: neither it, nor its text, nor its name in the list is left."""
    rest.cloud.check(f"secret delete {secret.href}", why="the secret cannot be deleted")
    for path in (secret.path, f"{secret.path}/payload"):
        came = _ask(rest, "user", path)
        assert came == "404", f"a deleted secret should give 404, {path} gave {came}"
    left = [one["name"] for one in secret.listed()]
    assert not left, f"a deleted secret is still listed: {left}"
