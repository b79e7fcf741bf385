"""OpenStack's dashboard (horizon), used on the node as a browser without scripts would use it.

Only Python's own library. Horizon answers 200 to a failed login, too: what counts is where one
has come to, and whether the page there offers to log out.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from yoctovirt.smoke.cleanup import Undo
from yoctovirt.smoke.suites.aids.nova import new_name
from yoctovirt.smoke.suites.aids.openstack import Cloud

#: Where it may be on a node: a server of its own (as images of older releases have it), below
#: Apache's root, or at it.
PLACES = (":8080", "/horizon", "")
#: Seconds for one answer: the first one after a start loads all of the dashboard.
ANSWER = 60.0
#: Seconds for what one call asks for, redirections included.
CALL = 120.0

#: ``JAR SECONDS find PLACE...`` looks for a login page; ``… login ROOT PATH`` logs in as the
#: variables of an openrc say, on the way to the page at PATH below ROOT; ``… get COUNT URL
#: WORD...`` gets a page, COUNT times at once; ``… each URL...`` gets one after the other. The
#: cookies are kept in the file JAR; an answer may take SECONDS. Prints what it saw of each page, a
#: line of JSON, never the page itself: that has tokens.
_PROGRAM = r"""
import html.parser, http.cookiejar, json, os, re, socket, ssl, sys, threading
import urllib.error, urllib.parse, urllib.request
seconds = float(sys.argv[2])
jar = http.cookiejar.LWPCookieJar(sys.argv[1])
if os.path.exists(sys.argv[1]):
    jar.load(ignore_discard=True, ignore_expires=True)
class Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *given):
        return None
insecure = ssl.create_default_context()
insecure.check_hostname, insecure.verify_mode = False, ssl.CERT_NONE
opener = urllib.request.build_opener(
    urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(jar), Stay(),
    urllib.request.HTTPSHandler(context=insecure))
class Reader(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.forms, self.links, self.files, self.select = [], [], [], None
        self.rows, self.open, self.tables, self.code = [], [], [], False
        self.objects = 0
        self.feed(text)
    def handle_starttag(self, tag, pairs):
        has = {key: value or "" for key, value in pairs}
        self.code = tag in ("script", "style")
        if tag == "form":
            self.forms.append((has.get("action", ""), {}))
        elif tag == "a" and has.get("href"):
            self.links.append(has["href"])
        elif tag == "table":
            self.tables.append(len(self.open))
        elif tag == "tr":
            self.rows.append([" ".join(has.values())])
            self.open.append(self.rows[-1])
            self.objects += "data-object-id" in has
        elif tag == "link" and "stylesheet" in has.get("rel", ""):
            self.files.append(has.get("href", ""))
        elif tag == "script" and has.get("src"):
            self.files.append(has["src"])
        elif self.forms and has.get("name") and tag in ("input", "select"):
            self.select = has["name"] if tag == "select" else None
            self.forms[-1][1].setdefault(has["name"], has.get("value", ""))
        elif tag == "option" and self.select and self.forms:
            fields = self.forms[-1][1]
            if "selected" in has or not fields[self.select]:
                fields[self.select] = has.get("value", "")
    def handle_endtag(self, tag):
        self.code = False
        if tag == "table" and self.tables:
            del self.open[self.tables.pop():]
        elif tag == "tr" and self.open:
            self.open.pop()
    def handle_data(self, text):
        for row in () if self.code else self.open:
            row.append(text)
    def row(self, word):
        found = next((row for row in self.rows if any(word in part for part in row)), [""])
        return " ".join(" ".join(found[1:]).split())[:600]
def words_of(text):
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", text)).split())
def ask(url, data=None, words=()):
    steps, headers, asked = [], {}, url
    while True:
        body = urllib.parse.urlencode(data).encode() if data is not None else None
        try:
            answer = opener.open(urllib.request.Request(url, body, headers), timeout=seconds)
        except urllib.error.HTTPError as error:
            answer = error
        except OSError as error:
            why = getattr(error, "reason", error)
            return {"asked": asked, "url": url, "status": 0, "steps": steps, "why": str(why)}, None
        text, to = answer.read().decode(errors="replace"), answer.headers.get("Location")
        if answer.status not in (301, 302, 303, 307) or not to or len(steps) > 9:
            break
        url, data = urllib.parse.urljoin(url, to), None
        steps.append(url)
    page = Reader(text)
    title = re.search(r"<title>(.*?)</title>", text, re.S)
    alerts = re.findall(r'<[a-z]+ [^>]*class="[^"]*alert-(?:danger|error)[^"]*"[^>]*>(.*?)</div>',
                        re.sub("<noscript.*?</noscript>", "", text, flags=re.S), re.S)
    forms = [form for form in page.forms if {"username", "password"} <= set(form[1])
             and "auth/login" in form[0]]
    return {
        "asked": asked, "url": url, "status": answer.status, "steps": steps, "why": "",
        "title": words_of(title.group(1)) if title else "",
        "login_form": bool(forms), "signed_in": any("auth/logout" in one for one in page.links),
        "alerts": [words_of(one)[:300] for one in alerts][:3],
        "links": sorted(set(urllib.parse.urljoin(url, one) for one in page.links)),
        "files": [urllib.parse.urljoin(url, one) for one in page.files if one],
        "rows": {word: page.row(word) for word in words}, "objects": page.objects,
    }, forms[0] if forms else None
def say(page):
    sys.stdout.write(json.dumps(page) + "\n")
def env(*names):
    return next((os.environ[name] for name in names if os.environ.get(name)), "")
verb, rest = sys.argv[3], sys.argv[4:]
if verb == "find":
    hosts = dict.fromkeys(["127.0.0.1", socket.gethostname(), socket.getfqdn()])
    for place in rest:
        for host in hosts:
            page = ask("http://%s%s/auth/login/" % (host, place))[0]
            say(page)
            if page.get("login_form"):
                print("the dashboard is at " + page["asked"].replace("auth/login/", ""))
                sys.exit()
            print("no dashboard at http://%s%s/" % (host, place))
elif verb == "login":
    # Without a page of its own the dashboard leads to one that asks all services.
    wanted = urllib.parse.urlsplit(rest[0] + rest[1]).path
    page, form = ask(rest[0] + "auth/login/?next=" + urllib.parse.quote(wanted))
    if form:
        fields = dict(form[1], username=env("OS_USERNAME"), password=env("OS_PASSWORD"))
        if "domain" in fields:
            fields["domain"] = env("OS_USER_DOMAIN_NAME") or "Default"
        page, _ = ask(urllib.parse.urljoin(page["url"], form[0]), fields)
    say(page)
elif verb == "each":
    for url in rest:
        say(ask(url)[0])
else:
    threads = [threading.Thread(target=lambda: say(ask(rest[1], None, rest[2:])[0]))
               for _ in range(int(rest[0]))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
with os.fdopen(os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w"):
    jar.save(ignore_discard=True, ignore_expires=True)
"""


@dataclass(frozen=True)
class Page:
    """What was seen of a page; *status* is 0 where there was no answer."""

    asked: str
    url: str  #: where redirections ended
    status: int
    steps: tuple[str, ...]  #: where each redirection led to
    why: str  #: of no answer
    title: str = ""
    login_form: bool = False
    signed_in: bool = False  #: it offers to log out
    alerts: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    files: tuple[str, ...] = ()  #: style sheets and scripts
    rows: dict[str, str] | None = None  #: of a table, by a word that was looked for
    objects: int = 0  #: how many its tables list

    @property
    def shown(self) -> bool:
        """Whether it is a page of somebody who is signed in, and no error."""
        return self.status == 200 and self.signed_in

    def below(self, url: str) -> bool:
        """Whether it is a page at *url* or below."""
        return self.status == 200 and self.url.startswith(url)

    @property
    def said(self) -> str:
        """The page in one line, for a message."""
        if not self.status:
            return f"{self.asked}: no answer ({self.why})"
        to = f" led to {self.url}" if self.url != self.asked else ""
        alerts = "".join(f"; it says: {alert}" for alert in self.alerts)
        return f"{self.asked}{to}: {self.status}, titled '{self.title}'{alerts}"


@dataclass(frozen=True)
class Dashboard:
    """The dashboard of a node, found at *login*; *folder* on the node keeps program and cookies."""

    folder: str
    login: Page

    @property
    def root(self) -> str:
        """Where it begins."""
        return self.login.asked.removesuffix("auth/login/")

    @property
    def reached(self) -> str:
        """Where its login page led to: a web server may have moved it to https."""
        return self.login.url.partition("auth/login/")[0]

    def browser(self, cloud: Cloud) -> Browser:
        """Return a browser without cookies, for the user of *cloud*."""
        return Browser(cloud, self.folder, f"{self.folder}/{new_name()}", self.root)


@dataclass(frozen=True)
class Browser:
    """A browser with cookies of its own, for the user of *cloud*."""

    cloud: Cloud
    folder: str
    jar: str
    root: str

    def login(self, path: str, before: str = "") -> Page:
        """Fill in the form, on the way to *path*; *before* are lines for the shell.

        These may change the credentials.
        """
        arguments = f"login {self.root} {path}"
        (page,) = _pages(self.cloud, self.folder, self.jar, arguments, before)
        return page

    def get(self, path: str, *words: str) -> Page:
        """Return the page at *path* below the root, or at a URL, and its rows that have *words*."""
        (page,) = self._get(1, path, words)
        return page

    def get_at_once(self, path: str, count: int) -> list[Page]:
        """Return what *count* requests at the same time give."""
        return self._get(count, path, ())

    def get_each(self, urls: Sequence[str]) -> list[Page]:
        """Return the pages at *urls*."""
        rest = " ".join(shlex.quote(url) for url in urls)
        return _pages(self.cloud, self.folder, self.jar, f"each {rest}", "")

    def _get(self, count: int, path: str, words: tuple[str, ...]) -> list[Page]:
        url = path if path.startswith("http") else self.root + path
        rest = " ".join(shlex.quote(one) for one in (str(count), url, *words))
        return _pages(self.cloud, self.folder, self.jar, f"get {rest}", "")


def find_dashboard(cloud: Cloud, undo: Undo) -> Dashboard:
    """Return the dashboard of the node; fail the check where no place has its login page."""
    folder = f"/run/{new_name()}"
    undo(f"rm -rf {folder}")
    cloud.node.check(f"mkdir -m 700 {folder}")
    cloud.node.put(_PROGRAM.encode(), f"{folder}/browser.py")
    places = " ".join(shlex.quote(place) for place in PLACES)
    pages = _pages(cloud, folder, f"{folder}/found", f"find {places}", "")
    if not pages[-1].login_form:
        tried = "\n".join(page.said for page in pages)
        pytest.fail(f"no login page of the dashboard on the node:\n{tried}", pytrace=False)
    return Dashboard(folder, pages[-1])


def _pages(cloud: Cloud, folder: str, jar: str, arguments: str, before: str) -> list[Page]:
    seconds = ANSWER * cloud.node.timeout_scale
    line = f"python3 {folder}/browser.py {jar} {seconds:.0f} {arguments}"
    done = cloud.shell(f"{before}\n{line}" if before else line, CALL)
    found: list[dict[str, Any]] = [
        json.loads(told) for told in done.output.splitlines() if told.startswith("{")
    ]
    if not done.ok or not found:
        pytest.fail(f"`{line}`: {done.output.strip()[-600:]}", pytrace=False)
    return [_page(told) for told in found]


def _page(told: dict[str, Any]) -> Page:
    fields: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in told.items()
    }
    return Page(**fields)
