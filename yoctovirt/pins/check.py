"""Do the pins of a release fit together? Answered from git objects alone, without bitbake."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from yoctovirt.base.suggest import did_you_mean
from yoctovirt.pins.findings import Finding, Level, merged
from yoctovirt.pins.fit import Configuration, check_fit
from yoctovirt.pins.layerconf import Layer
from yoctovirt.pins.objects import ObjectStore
from yoctovirt.pins.places import Places, on_branch
from yoctovirt.pins.release import Release
from yoctovirt.pins.sources import Pin

#: kas's `prio` of a layer that has none.
DEFAULT_PRIO = 0
_VERSION = re.compile(r'^__version__ = "([^"]+)"', re.MULTILINE)

_DISTRO_VERSION = re.compile(r'^DISTRO_VERSION = "([^"$]+)"', re.MULTILINE)


@dataclass(frozen=True)
class Selection:
    """What a role takes of a release."""

    role: str
    layers: tuple[tuple[str, str, int], ...]  #: repository, folder, prio
    own: tuple[Layer, ...] = ()  #: layers that are in no pinned repository
    headers: str = ""
    foreign: tuple[str, ...] = ()  #: repositories that the role itself brings
    claimed: bool = True  #: whether the role says that it is made for the release


def check_release(
    release: Release, selections: Sequence[Selection], places: Places, today: date
) -> list[Finding]:
    """Return all findings about *release* as the roles of *selections* take it, worst first."""
    return merged(_Check(release, places, today).all(selections))


class _Check:
    def __init__(self, release: Release, places: Places, today: date) -> None:
        self._release = release
        self._places = places
        self._today = today
        self._pins = {pin.name: pin for pin in release.pins}
        self._stores: dict[str, ObjectStore] = {}
        self._findings: list[Finding] = []

    def _say(
        self, level: Level, code: str, where: str, what: str, remedy: str = "",
        roles: Iterable[str] = (),
    ) -> None:  # fmt: skip
        self._findings.append(
            Finding(level, code, self._release.name, where, what, remedy, tuple(roles))
        )

    def all(self, selections: Sequence[Selection]) -> list[Finding]:
        for pin in self._release.pins:
            self._commit(pin)
        used: set[str] = set()
        for selection in selections:
            used |= {repo for repo, _, _ in selection.layers}
            if selection.foreign:
                self._say("note", "foreign", ", ".join(selection.foreign),
                          f"role {selection.role} brings it itself: how its layers fit is not "
                          "looked at", "'yoctovirt pins resolve' looks at all")  # fmt: skip
                continue
            layers = self._layers(selection)
            info = self._release.info
            self._findings += check_fit(
                Configuration(
                    self._release.name,
                    info.series,
                    selection.role,
                    layers,
                    selection.headers,
                    complete=all(
                        repo in self._stores
                        for repo, _, _ in selection.layers
                        if repo in self._pins
                    ),
                )
            )
        self._unused(used)
        self._info(selections)
        return self._findings

    def _commit(self, pin: Pin) -> None:
        """Find the commit, and whether it is on its branch."""
        found = self._places.find(pin, self._release.name)
        if not found.stores:
            tried = "".join(f"\n  {reason}" for reason in found.reasons)
            nowhere = "is in no mirror at hand" if found.reasons else "has no mirror at hand"
            self._say("missing", "commit", pin.name,
                      f"commit {pin.commit} {nowhere}{tried}",
                      "is the commit right? Then fetch it with 'yoctovirt mirror sync --to DIR' "
                      "and name that folder in YOCTOVIRT_LAYER_MIRRORS")  # fmt: skip
            return
        self._stores[pin.name] = found.stores[0]
        if any(store.resolve(f"refs/heads/{pin.commit}") for store in found.stores):
            self._say("error", "name", pin.name,
                      f"{pin.commit} is the name of a branch, too: what git takes it for is chance",
                      "delete that branch in the mirror, or take another commit")  # fmt: skip
        if pin.branch is None:
            self._say("note", "branch", pin.name,
                      f"commit {pin.commit[:12]} is pinned without a branch",
                      "keep a mirror that has it")  # fmt: skip
            return
        verdict, why = on_branch(self._places.git, found.stores, pin.commit, pin.branch)
        if verdict == "no":
            self._say("error", "branch", pin.name,
                      f"commit {pin.commit[:12]} is not on branch {pin.branch}: {why}; kas refuses "
                      "that",
                      f"'yoctovirt pins update --release {self._release.name} --repo {pin.name}' "
                      f"moves it to the branch; with '--to {pin.commit[:12]}' it stays, without "
                      "the branch")  # fmt: skip
        elif verdict == "unknown":
            self._say("note", "branch", pin.name,
                      f"that {pin.commit[:12]} is on branch {pin.branch} is not verifiable: {why}",
                      "a mirror with the whole history can tell")  # fmt: skip

    def _layers(self, selection: Selection) -> tuple[Layer, ...]:
        """Return the layers that a role takes, in kas's order; name those that are not there."""
        layers = list(selection.own)
        for repo, path, prio in selection.layers:
            where = repo if path == "." else f"{repo}/{path}"
            if repo not in self._pins:
                self._say("error", "repository", where,
                          f"the release has no repository {repo}",
                          "pin it in the release, or make the role without it "
                          f"(releases: without {self._release.name})",
                          [selection.role])  # fmt: skip
                continue
            store = self._stores.get(repo)
            if store is None:
                continue  # that its commit is missing was said
            commit = self._pins[repo].commit
            inside = "" if path == "." else f"{path}/"
            text = store.text(commit, f"{inside}conf/layer.conf")
            if text is None:
                self._say("error", "layer", where,
                          f"commit {commit[:12]} has no such layer (no {inside}conf/layer.conf)",
                          did_you_mean(path, _layers_in(store, commit)),
                          [selection.role])  # fmt: skip
                continue
            classes = frozenset(
                f"{folder}/{name}"
                for folder in ("classes", "classes-recipe", "classes-global")
                for name in store.names(commit, f"{inside}{folder}")
                if name.endswith(".bbclass")
            )
            layers.append(Layer(repo, path, text, prio, classes))
        return tuple(sorted(layers, key=lambda layer: (-layer.prio, layer.repo, layer.path)))

    def _unused(self, used: set[str]) -> None:
        for name, pin in self._pins.items():
            store = self._stores.get(name)
            stated = self._release.info.unused.get(name)
            if name in used:
                if stated:
                    self._say("warning", "unused", name,
                              "the release says that it is unused, and roles take layers of it",
                              f"remove it from `unused` of {self._release.name}"
                              ".release.yml")  # fmt: skip
            elif store is not None and "bitbake" in store.names(pin.commit, "bin"):
                continue  # it is no layer, and no build is without it
            elif stated:
                self._say("note", "unused", name, f"no role takes a layer of it: {stated}")
            else:
                self._say("warning", "unused", name, "no role takes a layer of it",
                          "remove it from the release, or say why it is pinned in `unused` of "
                          f"{self._release.name}.release.yml")  # fmt: skip

    def _info(self, selections: Sequence[Selection]) -> None:
        """Compare what the file beside the release says with what is true."""
        info, name = self._release.info, f"{self._release.name}.release.yml"
        supported = info.supported(self._today)
        if supported != (info.status == "supported"):
            now = "ended" if not supported else "goes on"
            self._say("warning", "support", name,
                      f"it says that support is {info.status}; by `until` ({info.until}) it {now}",
                      "correct `status`")  # fmt: skip
        elif not supported:
            self._say("note", "support", name, f"upstream support ended in {info.until}")
        if info.core not in self._pins:
            self._say("error", "core", name, f"its core, {info.core}, is not pinned",
                      did_you_mean(info.core, self._pins))  # fmt: skip
        versions = {
            match[1]
            for repo, store in self._stores.items()
            for folder in ("", "bitbake/")
            if (text := store.text(self._pins[repo].commit, f"{folder}lib/bb/__init__.py"))
            and (match := _VERSION.search(text))
        }
        for version in versions:
            if not f"{version}.".startswith(f"{info.bitbake}."):
                self._say("error", "bitbake", name,
                          f"it says bitbake {info.bitbake}; the pinned one is {version}",
                          "correct it")  # fmt: skip
        distros = {
            match[1]
            for repo, store in self._stores.items()
            if (text := store.text(self._pins[repo].commit, "meta-poky/conf/distro/poky.conf"))
            and (match := _DISTRO_VERSION.search(text))
        }
        if info.distro_version and distros and info.distro_version not in distros:
            self._say("warning", "distro", name,
                      f"it says distro_version {info.distro_version}; the pinned meta-poky is "
                      f"{', '.join(distros)}", "correct it")  # fmt: skip
        made_for = {one.role.partition("+")[0] for one in selections if one.claimed}
        for role in sorted(made_for ^ set(info.roles)):
            what = "is made for the release" if role in made_for else "is not made for the release"
            self._say("warning", "roles", name, f"by its own file role {role} {what}",
                      "make `roles` here and `releases` in the role agree")  # fmt: skip


def _layers_in(store: ObjectStore, commit: str) -> list[str]:
    """Return the layers at the top of a commit and in its folders."""
    folders = [name for name, folder in store.names(commit, "").items() if folder]
    found = [name for name in folders if "layer.conf" in store.names(commit, f"{name}/conf")]
    return found + (["."] if "layer.conf" in store.names(commit, "conf") else [])
