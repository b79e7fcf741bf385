"""OpenStack as an administrator of a node finds it: credentials, the client, the catalog.

No password and no token stands in a command or in what it prints: both are recorded. They are
read on the node, from its openrc and from files that a check puts there.
"""

from __future__ import annotations

import json
import shlex
import time
from dataclasses import dataclass
from typing import Any

import pytest

from yoctovirt.boot.results import CommandResult
from yoctovirt.smoke.checked import SmokeNode

#: Where images have the administrator's credentials, the likeliest first. Some images carry an
#: /etc/nova/openrc of older releases, for a keystone that is not there any more.
OPENRC = (
    "/etc/keystone/admin-openrc",
    "/root/admin-openrc",
    "/root/admin-openrc.sh",
    "/root/keystonerc_admin",
    "/etc/kolla/admin-openrc.sh",
    "/etc/nova/openrc",
)
#: Seconds that one call of the client may take: it is a large Python program, which needs two
#: seconds of CPU where nothing else runs.
CALL = 60.0
_MISSING = 127
#: Seconds in which a keystone that was just started has to come up, on this host's clock.
COMING_UP = 60.0
#: What the client says while nothing listens yet, or the server in front has nobody behind it.
_NOT_YET = ("Unable to establish connection", "Could not find versioned identity endpoints",
            "HTTP 502", "HTTP 503")  # fmt: skip


@dataclass(frozen=True)
class Cloud:
    """The OpenStack that *openrc* on *node* leads to, as its administrator."""

    node: SmokeNode
    openrc: str
    client: bool  #: whether there is ``openstack``; else the clients of the single services
    user_id: str = ""
    project_id: str = ""

    def shell(self, script: str, timeout: float = CALL) -> CommandResult:
        """Run *script* on the node with the administrator's credentials in its environment."""
        return self.node.run(f". {self.openrc}\n{script}", timeout)

    def run(self, command: str, old: str = "", before: str = "") -> CommandResult:
        """Run ``openstack COMMAND``, or *old* where that client is missing.

        *before* are lines for the shell that change the environment. Fails the check where
        the node has neither client: a command that is not there proves nothing.
        """
        line = f"openstack {command}" if self.client else old
        if not line:
            pytest.fail(f"the node has no client 'openstack', needed for: {command}", pytrace=False)
        done = self.shell(f"{before}\n{line}" if before else line)
        if done.exit_status == _MISSING:
            pytest.fail(f"`{line}`: command not found, nothing was tested", pytrace=False)
        return done

    def check(self, command: str, old: str = "", before: str = "", why: str = "") -> str:
        """Return what ``openstack COMMAND`` prints; fail the check where it does not exit with 0.

        One command a call: several on standard input (batch mode) exit with 0 even where
        each of them fails.
        """
        done = self.run(command, old, before)
        if not done.ok:
            said = f"{why}: " if why else ""
            pytest.fail(
                f"{said}`openstack {command}` exited with {done.exit_status}\n{said_by(done)}",
                pytrace=False,
            )
        return done.output

    def json(self, command: str, why: str = "") -> Any:
        """Return what ``openstack COMMAND -f json`` says."""
        return parse_json(self.check(f"{command} -f json", why=why), command)


def said_by(done: CommandResult) -> str:
    """Return the last lines of what a client printed: the first may be a trace of warnings."""
    return "\n".join(done.output.strip().splitlines()[-6:]) or "(no output)"


def parse_json(output: str, command: str) -> Any:
    """Return the JSON text in *output*; lines before it are warnings of Python libraries."""
    lines = output.splitlines()
    for number, line in enumerate(lines):
        if line.startswith(("{", "[")):
            try:
                return json.loads("\n".join(lines[number:]))
            except ValueError:
                continue
    pytest.fail(f"`openstack {command}` printed no JSON:\n{output.strip()[:500]}", pytrace=False)


def find_cloud(node: SmokeNode) -> Cloud:
    """Return the cloud of the first openrc on *node* with which keystone gives a token.

    Fails the check where there is none, with what each of them led to.
    """
    names = " ".join(OPENRC)
    there = node.run(
        f'for file in {names}; do [ ! -r "$file" ] || echo "$file"; done\n'
        "command -v openstack >/dev/null && echo client || true"
    ).output.split()
    client = "client" in there
    files = [name for name in there if name != "client"]
    if not files:
        pytest.fail(f"no credentials of an administrator on the node: none of {names}")
    refused = []
    for openrc in files:
        cloud = Cloud(node, openrc, client)
        if not client:
            return cloud
        done = _first_token(cloud)
        if done.ok:
            said = parse_json(done.output, "token issue")
            return Cloud(node, openrc, client, said["user_id"], said.get("project_id", ""))
        refused.append(f"{openrc}: {said_by(done)}")
    pytest.fail("keystone gives no token:\n" + "\n".join(refused), pytrace=False)


def _first_token(cloud: Cloud) -> CommandResult:
    """Ask for a token, again as long as keystone may still be coming up."""
    end = time.monotonic() + COMING_UP
    while True:
        done = cloud.run("token issue -f json -c expires -c user_id -c project_id")
        if done.ok or time.monotonic() > end or not any(w in done.output for w in _NOT_YET):
            return done
        time.sleep(2)


@dataclass(frozen=True)
class Endpoint:
    """An endpoint as the catalog has it."""

    service: str
    type: str
    interface: str  #: public, internal or admin
    url: str


def read_catalog(cloud: Cloud) -> list[Endpoint]:
    """Return all endpoints of the catalog that the administrator's token carries."""
    return [
        Endpoint(service["Name"] or "", service["Type"], endpoint["interface"], endpoint["url"])
        for service in cloud.json("catalog list", why="keystone gives no catalog")
        for endpoint in service["Endpoints"]
    ]


#: Asks each URL on standard input; prints the status of its answer, or why there is none. Only
#: what every OpenStack node has: Python's own library, no proxy.
_ASK = """
import sys, urllib.error, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
for url in sys.argv[1:]:
    try:
        word = opener.open(url, timeout=30).status
    except urllib.error.HTTPError as error:
        word = error.code
    except Exception as error:
        word = "none %s" % getattr(error, "reason", error)
    print(url, word, flush=True)
"""


def ask(node: SmokeNode, urls: list[str]) -> dict[str, str]:
    """Return the HTTP status of each of *urls*, asked on *node* without a token, as text.

    Where there was no answer: ``none`` and the reason.
    """
    told = node.check(
        f"python3 -c {shlex.quote(_ASK)} {' '.join(map(shlex.quote, urls))}",
        timeout=35 * len(urls) + 10,
    )
    return dict(line.split(" ", 1) for line in told.splitlines() if " " in line)
