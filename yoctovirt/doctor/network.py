"""Who answers: proxies, layer hosts and mirrors, source mirrors. All at once, with a deadline."""

from __future__ import annotations

import http.client
import queue
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from yoctovirt.base.deadline import Deadline
from yoctovirt.doctor.result import Result, error, not_checked, ok, warning

#: Seconds that all answers together may take.
DEADLINE = 8.0
_PORTS = {"git": 9418, "ssh": 22, "ftp": 21, "http": 80, "https": 443}
_PROXY_NAMES = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy")
#: Where openembedded-core looks for sources that their own hosts no longer have (MIRRORS).
YOCTO_SOURCES = "http://downloads.yoctoproject.org/mirror/sources/"


@dataclass(frozen=True)
class Answer:
    """What came of asking a URL."""

    url: str
    kind: Literal["yes", "no", "silent"]  #: it has it; it answered, but has it not; nobody there
    said: str
    date: str = ""  #: ``Date:`` header
    came: float = 0.0  #: when, by our clock


def shown(url: str) -> str:
    """Return *url* without a password."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    return url.replace(f":{parts.password}@", ":********@")


def ask(url: str, seconds: float) -> Answer:
    """Ask *url* once: HTTP through the proxies of the environment, else a connection.

    A git repository is asked for its refs, which is what git begins with.
    """
    parts = urlsplit(url)
    if parts.scheme in ("http", "https"):
        return _ask_http(url, seconds)
    host = parts.hostname or url.partition(":")[0].rpartition("@")[2]
    port = parts.port or _PORTS.get(parts.scheme or "ssh", 22)
    try:
        socket.create_connection((host, port), seconds).close()
    except OSError as problem:
        return Answer(url, "silent", f"{host}:{port}: {problem.strerror or problem}")
    return Answer(url, "yes", f"{host}:{port} answers", came=time.time())


def _ask_http(url: str, seconds: float) -> Answer:
    target = f"{url}/info/refs?service=git-upload-pack" if url.endswith(".git") else url
    request = urllib.request.Request(target, headers={"User-Agent": "git/2 yoctovirt"})  # noqa: S310
    try:
        # An opener of its own: urlopen() keeps the proxies of its first call.
        with urllib.request.build_opener().open(request, timeout=seconds) as reply:
            return Answer(url, "yes", f"HTTP {reply.status}", reply.headers.get("Date", ""),
                          time.time())  # fmt: skip
    except urllib.error.HTTPError as problem:
        date = problem.headers.get("Date", "") if problem.headers else ""
        problem.close()
        said = f"HTTP {problem.code} {problem.reason}"
        if problem.code in (502, 503, 504, 407):  # what a proxy says of somebody behind it
            return Answer(url, "silent", said)
        return Answer(url, "no", said, date, time.time())
    except urllib.error.URLError as problem:
        return Answer(url, "silent", str(getattr(problem.reason, "strerror", None)
                                         or problem.reason))  # fmt: skip
    except (OSError, http.client.HTTPException, ValueError) as problem:
        return Answer(url, "silent", str(problem) or type(problem).__name__)


def ask_all(urls: Iterable[str], seconds: float = DEADLINE) -> dict[str, Answer]:
    """Ask all *urls* at once; who has not answered after *seconds* is silent.

    Resolving a name knows no deadline: the threads are left to themselves.
    """
    wanted = list(dict.fromkeys(urls))
    answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()

    def one(url: str) -> None:
        try:
            answers.put(ask(url, seconds))
        except Exception as problem:
            answers.put(Answer(url, "silent", str(problem)))

    for url in wanted:
        threading.Thread(target=one, args=(url,), daemon=True).start()
    found: dict[str, Answer] = {}
    deadline = Deadline(seconds)
    while len(found) < len(wanted):
        try:
            answer = answers.get(timeout=max(0.01, deadline.remaining))
        except queue.Empty:
            break
        found[answer.url] = answer
    late = f"no answer within {seconds:.0f} s"
    return {url: found.get(url, Answer(url, "silent", late)) for url in wanted}


def proxies(environ: Mapping[str, str], seconds: float = 3.0) -> list[Result]:
    """Check that the proxy variables are in order, and that the proxies answer."""
    check = "network.proxy"
    results = []
    named = {}
    for name in _PROXY_NAMES:
        lower, upper = environ.get(name), environ.get(name.upper())
        if lower and upper and lower != upper:
            results.append(
                warning(check, f"{name} and {name.upper()} differ: programs will not agree",
                        f"set both to the same, or unset {name.upper()}")
            )  # fmt: skip
        value = lower or upper
        if value and name != "no_proxy":
            named[name] = value
    if "http_proxy" in named and "https_proxy" not in named:
        results.append(
            warning(check, "http_proxy is set and https_proxy is not: layers come over https",
                    f"export https_proxy={shown(named['http_proxy'])}")
        )  # fmt: skip
    for name, value in named.items():
        results.append(_proxy(check, name, value, seconds))
    return results or [ok(check, "no proxy is set")]


def _proxy(check: str, name: str, value: str, seconds: float) -> Result:
    try:
        parts = urlsplit(value if "://" in value else f"http://{value}")
        host, number = parts.hostname, parts.port or _PORTS.get(parts.scheme, 1080)
    except ValueError:
        host, number = None, 0
    said = f"{name}={shown(value)}"
    if not host:
        return error(check, f"{said} is no URL", f"export {name}=http://HOST:PORT, or unset it")
    if "://" not in value:
        return error(check, f"{said} has no scheme: git and bitbake's fetchers do not agree on it",
                     f"export {name}=http://{value}")  # fmt: skip
    try:
        socket.create_connection((host, number), seconds).close()
    except OSError as problem:
        return error(check, f"{said} does not answer: {problem.strerror or problem}",
                     f"start that proxy, or correct or unset {name}")  # fmt: skip
    return ok(check, f"{said} answers")


def repositories(
    at_hand: Sequence[str], wanted: Mapping[str, Sequence[str]], answers: Mapping[str, Answer]
) -> list[Result]:
    """Check that each repository can be had; *wanted*: name -> URLs, of those not *at_hand*."""
    check = "network.layers"
    results = []
    if at_hand:
        names = ", ".join(at_hand)
        results.append(ok(check, f"at hand at their commits, in checkouts or mirrors: {names}"))
    for name, urls in wanted.items():
        good = [url for url in urls if answers[url].kind == "yes"]
        if good:
            results.append(ok(check, f"{name}: {shown(good[0])} answers"))
            continue
        tried = "; ".join(f"{shown(url)}: {answers[url].said}" for url in urls)
        results.append(
            error(check, f"{name} is not at hand, and cannot be had: {tried}",
                  "see to the network or the proxy, or name a folder of mirrors or a URL prefix in "
                  "YOCTOVIRT_LAYER_MIRRORS")
        )  # fmt: skip
    return results


def mirrors(prefixes: Sequence[str], answers: Mapping[str, Answer]) -> list[Result]:
    """Check that the hosts of the URL prefixes of YOCTOVIRT_LAYER_MIRRORS answer at all."""
    return [
        ok("network.mirrors", f"{shown(url)} answers")
        if answers[url].kind != "silent"
        else warning(
            "network.mirrors", f"{shown(url)} does not answer: {answers[url].said}",
            "take it out of YOCTOVIRT_LAYER_MIRRORS, or see to that host",
        )
        for url in prefixes
    ]  # fmt: skip


def sources(urls: Sequence[str], answers: Mapping[str, Answer]) -> list[Result]:
    """Check that the source mirrors answer; a build whose sources are all there needs none."""
    check = "network.sources"
    if not urls:
        return [not_checked(check, "no source mirror is known for this role")]
    return [
        ok(check, f"{shown(url)} answers")
        if answers[url].kind != "silent"
        else warning(
            check, f"{shown(url)} does not answer: {answers[url].said}; what is in the workspace's "
            "downloads or sstate cache is built all the same",
            "see to the network or the proxy (http_proxy, https_proxy)",
        )
        for url in urls
    ]  # fmt: skip
