"""Reachability for one subject: which repositories and source mirrors, asked all at once."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from yoctovirt.doctor import clock, network
from yoctovirt.doctor.checks import CORES
from yoctovirt.doctor.result import Result, error, not_checked, warning
from yoctovirt.doctor.sanity import Demands, from_files
from yoctovirt.doctor.subject import Subject, run
from yoctovirt.errors import UsageError, YoctovirtError
from yoctovirt.pins.git import git_settings
from yoctovirt.pins.places import Places
from yoctovirt.pins.sources import (
    MIRRORS_VARIABLE,
    Pin,
    candidates,
    check_mirrors,
    is_local,
    mirror_list,
    offline,
)


@dataclass(frozen=True)
class Wanted:
    """What is to be reached."""

    at_hand: tuple[str, ...]  #: repositories that need no network
    missing: Mapping[str, Sequence[str]]  #: repository -> where it might be had
    prefixes: tuple[str, ...]  #: URLs of YOCTOVIRT_LAYER_MIRRORS
    sources: tuple[str, ...]


def checkouts(pins: Sequence[Pin], layers: Path) -> list[Path]:
    """Return the checkouts of *pins* that are there."""
    return [path for pin in pins if (path := layers / pin.name).is_dir()]


def wanted(subject: Subject, pins: Sequence[Pin]) -> tuple[Wanted, list[Result]]:
    """Return what has to be asked for *pins*, and what is wrong before anything is asked."""
    results: list[Result] = []
    mirrors = []
    for entry in mirror_list():
        try:
            check_mirrors([entry])
            mirrors.append(entry)
        except UsageError as problem:
            results.append(error("network.mirrors", problem.message, problem.hint))
    at_hand, missing = [], {}
    release = subject.release or ""
    try:
        with git_settings() as git, Places(git, mirrors, subject.workspace / "layers") as places:
            for pin in pins:
                if places.find(pin, release).stores:
                    at_hand.append(pin.name)
                else:
                    urls = [url for url in candidates(pin.url, mirrors) if not is_local(url)]
                    missing[pin.name] = urls
    except YoctovirtError as problem:  # no git
        results.append(error("network.layers", problem.message, problem.hint))
    prefixes = tuple(entry for entry in mirrors if "://" in entry and not is_local(entry))
    return Wanted(tuple(at_hand), missing, prefixes, tuple(source_mirrors(subject))), results


def source_mirrors(subject: Subject, environ: Mapping[str, str] | None = None) -> list[str]:
    """Return where sources come from when their own hosts do not answer.

    For the role quick and for the builder of Debian packages: the package archives.
    """
    env = os.environ if environ is None else environ
    if subject.builder == "kas" and not subject.quick:
        found = [network.YOCTO_SOURCES]
    else:
        named = [env[name] for name in ("YV_DEBIAN_MIRROR", "YV_DEBIAN_SECURITY_MIRROR")
                 if env.get(name)] if subject.quick else []  # fmt: skip
        found = named or apt_archives()
    # SSTATE_MIRRORS: pairs of a pattern and a URL that ends with PATH
    for url in re.findall(r"https?://\S+?(?=/?PATH|[;\s]|$)", env.get("SSTATE_MIRRORS", "")):
        found.append(f"{url.rstrip('/')}/")
    return list(dict.fromkeys(found))


def apt_archives() -> list[str]:
    """Return the package archives that apt of this host would ask for an update."""
    status, said = run(["apt-get", "--print-uris", "update"])
    if status:
        return []
    return list(dict.fromkeys(re.findall(r"'(https?://[^']+?/)dists/[^']*InRelease'", said)))


def reach(subject: Subject, pins: Sequence[Pin]) -> list[Result]:
    """Return whether layers and sources can be had, and what the servers say of the clock."""
    want, results = wanted(subject, pins)
    if offline():
        if want.missing:
            results.append(
                error("network.layers", f"offline, and not at hand: {', '.join(want.missing)}",
                      f"name a folder that has them in {MIRRORS_VARIABLE} ('yoctovirt mirror sync' "
                      "makes one), or go without --offline")
            )  # fmt: skip
        else:
            results += network.repositories(want.at_hand, {}, {})
        results += [
            not_checked(name, "offline: nothing was asked")
            for name in ("network.proxy", "network.sources", "clock.servers")
        ]
        return results
    urls = [*want.prefixes, *want.sources, *(url for some in want.missing.values() for url in some)]
    answers = network.ask_all(urls)
    results += network.proxies(os.environ)
    results += network.repositories(want.at_hand, want.missing, answers)
    results += network.mirrors(want.prefixes, answers)
    results += network.sources(want.sources, answers)
    dated = [(one.url, one.date, one.came) for one in answers.values() if one.date]
    results.append(clock.against_servers(dated))
    return results


def reach_sources(subject: Subject, seconds: float) -> list[Result]:
    """Return whether proxies and source mirrors answer, for a build from nothing.

    No errors: with full downloads or a full sstate cache it needs none of them.
    """
    if offline():
        return []
    urls = source_mirrors(subject)
    results = [
        *network.proxies(os.environ, seconds),
        *network.sources(urls, network.ask_all(urls, seconds)),
    ]
    return [
        warning(one.check, one.message, one.remedy) if one.status == "error" else one
        for one in results
    ]


def demands_of_mirrors(subject: Subject, pins: Sequence[Pin]) -> Demands | None:
    """Return what the release demands, read from a mirror that has the pinned core."""
    core = next((pin for pin in pins if pin.name in CORES), None)
    if core is None:
        return None
    mirrors = [entry for entry in mirror_list() if "://" in entry or Path(entry).is_dir()]
    try:
        with git_settings() as git, Places(git, mirrors) as places:
            for store in places.find(core, subject.release or "").stores:
                source = f"as {core.name} at {core.commit[:12]} demands"
                found = from_files(lambda path, s=store: s.text(core.commit, path), source)  # type: ignore[misc]
                if found:
                    return found
    except YoctovirtError:
        return None  # no git: said by the checks
    return None
