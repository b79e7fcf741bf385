"""OpenStack's own interface, REST, asked on the node: exact statuses, and little CPU a call.

The client ``openstack`` needs two seconds of CPU for each call; where a state is polled that is
what a small node has not. Its work is proven by the suites keystone and glance.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from yoctovirt.smoke.suites.aids.openstack import Cloud

#: Seconds of a node that is not slow until a service answers; less than a command may take.
ANSWER = 50.0
#: For programs on the node: the URL of keystone's version 3, whichever an openrc has.
V3 = """
def v3(url):
    url = url.rstrip("/")
    url = url[:-5] if url.endswith("/v2.0") else url
    return url if url.endswith("/v3") else url + "/v3"
"""

#: ``FOLDER METHOD TYPE PATH MICROVERSION``, the body on standard input. It logs in with the
#: variables of an openrc (identity API v3), keeps token and catalog in a file that only root
#: reads, and prints the status of the answer and, in the next lines, its body.
_PROGRAM = (
    V3
    + """
import json, os, sys, urllib.error, urllib.request
folder, method, kind, path, version = sys.argv[1:]
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
keep = os.path.join(folder, "session")
def env(*names):
    return next((os.environ[name] for name in names if os.environ.get(name)), "")
def ask(method, url, body=None, headers={}):
    sent = urllib.request.Request(url, body, headers, method=method)
    try:
        answer = opener.open(sent, timeout=@SECONDS@)
    except urllib.error.HTTPError as error:
        answer = error
    return answer.status, answer.headers, answer.read()
def login():
    user = {"name": env("OS_USERNAME"), "password": env("OS_PASSWORD"), "domain":
            {"name": env("OS_USER_DOMAIN_NAME") or "Default"}}
    project = {"name": env("OS_PROJECT_NAME", "OS_TENANT_NAME"), "domain":
               {"name": env("OS_PROJECT_DOMAIN_NAME") or "Default"}}
    body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}},
                     "scope": {"project": project}}}
    root = v3(env("OS_AUTH_URL"))
    status, headers, told = ask("POST", root + "/auth/tokens", json.dumps(body).encode(),
                                {"Content-Type": "application/json"})
    if status != 201:
        sys.exit("keystone gives no token: %d" % status)
    found = {}
    for service in json.loads(told)["token"]["catalog"]:
        for one in service["endpoints"]:
            if one["interface"] == "public":
                found.setdefault(service["type"], one["url"].rstrip("/"))
    session = {"token": headers["X-Subject-Token"], "catalog": found,
               "project": json.loads(told)["token"]["project"]["id"]}
    with os.fdopen(os.open(keep, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(session, file)
    return session
try:
    fresh = not os.path.exists(keep)
    session = login() if fresh else json.load(open(keep))
    while True:
        if kind not in session["catalog"]:
            sys.exit("the catalog has no public endpoint of type " + kind)
        # Gnocchi has no JSON for what it deletes, and refuses (406) who wants nothing else.
        accept = "*/*" if method == "DELETE" else "application/json"
        headers = {"X-Auth-Token": session["token"], "Accept": accept}
        if version:
            # cinder calls itself "volume" there, whatever the catalog calls it.
            known = {"volumev3": "volume", "block-storage": "volume"}.get(kind, kind)
            headers["OpenStack-API-Version"] = known + " " + version
        body = sys.stdin.buffer.read() if method in ("POST", "PUT", "PATCH") else None
        if body is not None:
            binary = path.endswith("/file")
            headers["Content-Type"] = "application/octet-stream" if binary else "application/json"
        path = path.replace("@PROJECT@", session["project"])
        status, _, told = ask(method, session["catalog"][kind] + path, body, headers)
        if status != 401 or fresh:
            break
        fresh, session = True, login()
except OSError as error:
    sys.exit("no answer: %s" % getattr(error, "reason", error))
print(status)
print(told.decode(errors="replace"))
"""
)

#: ``SESSION WHO TYPE PATH HEADERS``: as :meth:`Rest.status` says; SESSION is the file above.
_STATUS = """
import json, sys, urllib.error, urllib.parse, urllib.request
session, who, kind, path, headers = sys.argv[1:]
session = json.load(open(session))
endpoint = session["catalog"][kind]
server = urllib.parse.urlsplit(endpoint)._replace(path="", query="").geturl()
url = server + path[len("SERVER"):] if path.startswith("SERVER/") else endpoint + path
headers = json.loads(headers.replace("@PROJECT@", session["project"]))
token = {"nobody": None, "liar": "0" * 32, "user": session["token"]}[who]
if token:
    headers["X-Auth-Token"] = token
try:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    print(opener.open(urllib.request.Request(url, headers=headers), timeout=30).status)
except urllib.error.HTTPError as error:
    print(error.code)
except OSError as error:
    print("no answer: %s" % getattr(error, "reason", error))
"""


@dataclass(frozen=True)
class Answer:
    """What a service answered."""

    status: int
    body: Any  #: JSON as Python has it, or text

    @property
    def ok(self) -> bool:
        """Whether the service did it (2xx)."""
        return 200 <= self.status < 300

    @property
    def said(self) -> str:
        """The status and the service's own words, where it has some."""
        words = self.body
        while isinstance(words, dict) and words:
            words = words.get("message") or words.get("detail") or next(iter(words.values()))
        if isinstance(words, list) and words:
            words = words[0].get("detail", words[0]) if isinstance(words[0], dict) else words[0]
        return f"{self.status} {str(words or '').strip()[:600]}".strip()


@dataclass(frozen=True)
class Rest:
    """The services of *cloud*; *folder* on the node keeps program and token."""

    cloud: Cloud
    folder: str

    def install(self) -> None:
        """Bring the program."""
        self.cloud.node.check(f"mkdir -p -m 700 {self.folder}")
        seconds = f"{ANSWER * self.cloud.node.timeout_scale:.0f}"
        program = _PROGRAM.replace("@SECONDS@", seconds)
        self.cloud.node.put(program.encode(), f"{self.folder}/rest.py")

    def line(self, method: str, kind: str, path: str, version: str = "") -> str:
        """Return the shell line of a call, for a clean-up."""
        words = [f"{self.folder}/rest.py", self.folder, method, kind, path, version]
        return f"python3 {' '.join(map(shlex.quote, words))}"

    def call(
        self, method: str, kind: str, path: str, body: Any = None, version: str = ""
    ) -> Answer:
        """Return what the service of type *kind* in the catalog answers.

        Fails the check where there is no answer at all.
        """
        line = self.line(method, kind, path, version)
        given = f" <<'JSON'\n{json.dumps(body)}\nJSON" if body is not None else " </dev/null"
        done = self.cloud.shell(line + given)
        first, _, rest = done.output.partition("\n")
        if not done.ok or not first.strip().isdigit():
            pytest.fail(f"{method} {kind} {path}: {done.output.strip()[-600:]}", pytrace=False)
        try:
            told = json.loads(rest)
        except ValueError:
            told = rest.strip()
        return Answer(int(first), told)

    def _log_in(self) -> None:
        """Have a session, with a token that is not too old, in the file that keeps it."""
        self.call("GET", "identity", "")

    def types(self) -> set[str]:
        """Return the types of the services that have a public endpoint in the catalog."""
        self._log_in()
        read = "import json, sys; print(*json.load(open(sys.argv[1]))['catalog'])"
        told = self.cloud.node.check(f"python3 -c {shlex.quote(read)} {self.folder}/session")
        return set(told.split())

    def status(
        self, who: str, kind: str, path: str, headers: Mapping[str, str] | None = None
    ) -> str:
        """Return the status of a GET as text; where there was no answer, that and the reason.

        It is asked with no token (*who* is ``nobody``), with one that keystone never gave
        (``liar``), or with that of the session (``user``). *path* is put behind the endpoint of
        *kind*, or begins with ``SERVER/``. In *headers* ``@PROJECT@`` stands for the session's
        project. The body is told nobody: what comes where it should not may be a secret.
        """
        self._log_in()
        words = (f"{self.folder}/session", who, kind, path, json.dumps(dict(headers or {})))
        line = f"python3 -c {shlex.quote(_STATUS)} {' '.join(map(shlex.quote, words))}"
        return self.cloud.node.check(line).strip()

    def get(self, kind: str, path: str, version: str = "") -> Any:
        """Return what GET gives; fail the check unless the service gives it."""
        return self._done("GET", kind, path, None, version, "")

    def post(self, kind: str, path: str, body: Any, why: str, version: str = "") -> Any:
        """Return what POST gives; fail the check with *why* where the service refuses."""
        return self._done("POST", kind, path, body, version, why)

    def _done(self, method: str, kind: str, path: str, body: Any, version: str, why: str) -> Any:
        answer = self.call(method, kind, path, body, version)
        if not answer.ok:
            said = f"{why}: " if why else ""
            pytest.fail(f"{said}{method} {kind} {path} gave {answer.said}", pytrace=False)
        return answer.body

    def until(self, look: Callable[[], str], seconds: float) -> str:
        """Call *look* until it returns '', at most *seconds* (before the node's factor) long.

        Returns what it said last: '' where all is as it should be.
        """
        end = time.monotonic() + seconds * self.cloud.node.timeout_scale
        while (said := look()) and time.monotonic() < end:
            time.sleep(1)
        return said
