"""A small world of layers: real git repositories, mirrors of them, a release that pins them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

from tests.gitrepos import bare, commit, git, repository
from yoctovirt.base.screen import Screen
from yoctovirt.pins.check import Selection, check_release
from yoctovirt.pins.findings import Finding
from yoctovirt.pins.git import git_settings
from yoctovirt.pins.mirror import MirrorSync, Synced
from yoctovirt.pins.places import Places
from yoctovirt.pins.release import Release, load_release

HOST = "https://git.example.invalid"
TODAY = date(2026, 11, 21)
INFO = """\
series: one
yocto: "9.0"
bitbake: "2.8"
core: core
support: {status: supported, until: 2030-04, lts: true}
machines: [qemux86-64]
roles: [host]
"""


def layer_conf(name: str, *, series: str = "one", depends: str = "core", more: str = "") -> str:
    return (
        'BBPATH .= ":${LAYERDIR}"\n'
        f'BBFILE_COLLECTIONS += "{name}"\n'
        f'BBFILE_PRIORITY_{name} = "5"\n'
        f'LAYERSERIES_COMPAT_{name} = "{series}"\n'
        f'LAYERDEPENDS_{name} = " \\\n    {depends} \\\n"\n{more}'
    )


CORE_CONF = (
    'BBPATH .= ":${LAYERDIR}"\nBBFILE_COLLECTIONS += "core"\n'
    'LAYERSERIES_CORENAMES = "one"\nLAYERSERIES_COMPAT_core = "one"\nLAYERVERSION_core = "15"\n'
)
HOST_ROLE = Selection("host", (("core", "meta", 0), ("extra", ".", 0)))


class World:
    """Upstream repositories ``core`` and ``extra``, and a release ``one`` that pins them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.upstream = folder / "upstream"
        self.mirrors = folder / "mirrors"
        self.releases = folder / "releases"
        self.manifest = self.releases / "one.yml"

    @classmethod
    def make(cls, folder: Path) -> World:
        world = cls(folder)
        repository(world.upstream / "core", "one", **{
            "meta__conf__layer.conf": CORE_CONF, "bin__bitbake": "",
        })  # fmt: skip
        bb = world.upstream / "core" / "lib" / "bb"  # commit() makes folders of "__"
        bb.mkdir(parents=True)
        (bb / "__init__.py").write_text('__version__ = "2.8.1"\n')
        commit(world.upstream / "core", "second")
        repository(world.upstream / "extra", "one", **{"conf__layer.conf": layer_conf("extra")})
        commit(world.upstream / "extra", "second")
        for name in ("core", "extra"):
            bare(world.upstream / name, world.mirrors / f"{name}.git")
        world.releases.mkdir()
        world.write()
        return world

    def copy(self, folder: Path) -> World:
        return World(Path(shutil.copytree(self.folder, folder)))

    def head(self, name: str, revision: str = "HEAD") -> str:
        return git(self.upstream / name, "rev-parse", revision)

    def write(self, info: str = INFO, **commits: str) -> None:
        text = "# A release.\nheader:\n  version: 19\n\nrepos:\n"
        for name in ("core", "extra"):
            sha = commits.get(name) or self.head(name)
            text += (
                f"  # Why {name}.\n  {name}:\n    url: {HOST}/{name}\n    branch: one\n"
                f"    commit: {sha}  # the newest\n    layers:\n      .: disabled\n"
            )
        self.manifest.write_text(text)
        self.manifest.with_name("one.release.yml").write_text(info)

    def refresh(self, name: str) -> None:
        git(self.mirrors / f"{name}.git", "fetch", "-q", str(self.upstream / name), "+one:one")

    def load(self) -> Release:
        return load_release(self.releases, "one")

    @contextmanager
    def places(self, *mirrors: Path) -> Iterator[Places]:
        names = [str(path) for path in mirrors or (self.mirrors,)]
        with git_settings() as calls, Places(calls, names) as places:
            yield places

    def check(self, *selections: Selection, mirrors: tuple[Path, ...] = ()) -> list[Finding]:
        with self.places(*mirrors) as places:
            return check_release(self.load(), selections or (HOST_ROLE,), places, TODAY)

    def codes(self, *selections: Selection) -> list[tuple[str, str, str]]:
        return [(one.level, one.code, one.where) for one in self.check(*selections)]

    def sync(self, target: Path, *sources: str) -> list[Synced]:
        with git_settings() as calls:
            work = MirrorSync(
                target, list(sources) or [str(self.mirrors)], calls, Screen(quiet=True)
            )
            return work.all(self.load().pins)
