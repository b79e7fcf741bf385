"""Suite spice: nova gives a console by SPICE, a page and a token, to a server of ours."""

from __future__ import annotations

import json
import shlex
import uuid
from dataclasses import dataclass

import pytest

from yoctovirt.smoke.checked import SmokeNode
from yoctovirt.smoke.cleanup import Undo
from yoctovirt.smoke.notrun import not_run
from yoctovirt.smoke.suites.aids.nova import (
    VERSION,
    compute_hosts,
    make_flavor,
    open_rest,
    start_server,
    upload_guest,
)
from yoctovirt.smoke.suites.aids.openstack import ask
from yoctovirt.smoke.suites.aids.spice import OK, connect

pytestmark = pytest.mark.usefixtures("started")

DIAGNOSTICS = ("tail -n 60 /var/log/nova/nova-spicehtml5proxy.log",)

#: ``ANSWER TOKEN``: takes the token out of what nova answered, into a file: it is a secret. Prints
#: the status, and the URL without the token or nova's words.
_TAKE = """
import json, os, sys, urllib.parse
answer, kept = sys.argv[1:]
with open(answer) as file:
    status, told = int(file.readline()), file.read()
if status == 200:
    url = urllib.parse.urlsplit(json.loads(told)["remote_console"]["url"])
    given = dict(urllib.parse.parse_qsl(url.query))
    with os.fdopen(os.open(kept, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        file.write(given.pop("token", ""))
    told = urllib.parse.urlunsplit(url._replace(query=urllib.parse.urlencode(given)))
print(json.dumps([status, told]))
"""


@dataclass(frozen=True)
class Console:
    """What nova gave: the URL of the page, and files with its token and with a made-up one."""

    url: str
    token: str
    wrong: str


@pytest.fixture(scope="module")
def console(node: SmokeNode, nodes: dict[str, SmokeNode], module_undo: Undo) -> Console:
    """Ask nova for the console of a server of ours."""
    if "nova-api" not in node.promises:
        not_run("the node does not promise nova-api")
    rest = open_rest(node, module_undo)
    compute_hosts(rest, nodes)
    images, flavor = upload_guest(rest, module_undo), make_flavor(rest, module_undo)
    server = start_server(rest, module_undo, images, flavor, networks="none")
    server.wait_for("ACTIVE")
    answer, token, wrong = (f"{rest.folder}/{name}" for name in ("answer", "token", "wrong"))
    body = json.dumps({"remote_console": {"protocol": "spice", "type": "spice-html5"}})
    line = rest.line("POST", "compute", f"{server.path}/remote-consoles", VERSION)
    asked = rest.cloud.shell(f"umask 077; {line} >{answer} <<'JSON'\n{body}\nJSON")
    assert asked.ok, f"nova was asked for a console, and does not answer: {asked.output.strip()}"
    status, told = json.loads(node.check(f"python3 -c {shlex.quote(_TAKE)} {answer} {token}"))
    if status == 400 and "Unavailable console type" in told:
        not_run(f"nova has no consoles by SPICE here: {told.strip()[:300]}")
    assert status == 200, f"nova should give the URL of a console, it gave {status} {told[:300]}"
    node.put(str(uuid.uuid4()).encode(), wrong, 0o600)
    return Console(told, token, wrong)


@pytest.mark.deadline(600)
@pytest.mark.nodes(1, promise="nova-compute")
def test_console_url(node: SmokeNode, console: Console) -> None:
    """The URL of a server's console leads to a page, with its scripts."""
    page, scripts = console.url.partition("?")[0], console.url.rpartition("/")[0] + "/main.js"
    for url, status in ask(node, [page, scripts]).items():
        assert status == "200", f"the console's page should be served at {url} (200), came {status}"


@pytest.mark.deadline(600)
@pytest.mark.nodes(1, promise="nova-compute")
def test_console_token(node: SmokeNode, console: Console) -> None:
    """With its token the proxy leads to the server's display; with a made-up one it does not."""
    refused = connect(node, console.url, console.wrong)
    link = connect(node, console.url, console.token)
    assert link.magic == "REDQ", f"the token should lead to a SPICE server, came: {link.said}"
    came = (link.link, link.ticket, link.session > 0)
    assert came == (OK, OK, True), f"the server's display should begin a session, came: {link.said}"
    assert not refused.magic, f"a made-up token should be refused, came: {refused.said}"
