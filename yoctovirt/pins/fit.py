"""Whether the layers of one configuration fit together, by what their layer.conf say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from yoctovirt.pins.findings import Finding, Level
from yoctovirt.pins.layerconf import Assignments, Layer, dependencies


@dataclass(frozen=True)
class Configuration:
    """Layers that are taken together, in the order that kas gives them, and whose they are."""

    release: str
    series: str  #: what the release says that its series is
    role: str
    layers: tuple[Layer, ...]
    headers: str  #: what bblayers.conf says before it names the layers
    complete: bool = True  #: whether no layer is left out because its commit is not at hand


def check_fit(config: Configuration) -> Iterator[Finding]:
    """Yield what bitbake would refuse, and what only chance decides."""
    if not config.layers:
        return
    # bitbake reads bblayers.conf first, then conf/layer.conf of each layer.
    said, plain = Assignments(), Assignments()
    said.read(config.headers)
    owners: dict[str, Layer] = {}
    for layer in config.layers:
        said.read(layer.text)
        plain.read(layer.text)
        if not layer.collections:
            yield _of(config, "warning", "collection", layer.name,
                      "its layer.conf names no collection (BBFILE_COLLECTIONS)",
                      "take it out, or mend its layer.conf")  # fmt: skip
        for name in layer.collections:
            if name in owners:
                yield _of(config, "error", "duplicate", layer.name,
                          f"its collection {name} is that of {owners[name].name}, too",
                          "take one of the two layers only")  # fmt: skip
            owners.setdefault(name, layer)
    yield from _series(config, said, plain, owners)
    yield from _dependencies(config, said, owners)
    yield from _shadows(config)


def _of(
    config: Configuration, level: Level, code: str, where: str, what: str, remedy: str
) -> Finding:
    return Finding(level, code, config.release, where, what, remedy, (config.role,))


def _series(
    config: Configuration, said: Assignments, plain: Assignments, owners: dict[str, Layer]
) -> Iterator[Finding]:
    core = (said.get("LAYERSERIES_CORENAMES") or "").split()
    if not core:
        if not config.complete:
            return
        yield _of(config, "error", "core", config.release,
                  "no layer of it says LAYERSERIES_CORENAMES: openembedded-core is missing",
                  "enable the layer meta of openembedded-core in the release")  # fmt: skip
        return
    if config.series not in core:
        yield _of(config, "error", "series", config.release,
                  f"its core layer is of the series {' '.join(core)}, not {config.series}",
                  "pin another commit of it, or correct `series`")  # fmt: skip
    for name, layer in owners.items():
        variable = f"LAYERSERIES_COMPAT_{name}"
        fits, own = (said.get(variable) or "").split(), (plain.get(variable) or "").split()
        widen = (
            f"take a commit of it that is for {core[0]}; or, if it works all the same, widen it in "
            f'a role\'s bblayers_conf_header: {variable}:append = " {core[0]}"'
        )
        if not fits:
            yield _of(config, "warning", "series", layer.name,
                      f"it does not say which series it is for ({variable})", widen)  # fmt: skip
        elif not set(fits) & set(core):
            yield _of(config, "error", "series", layer.name,
                      f"it is for {' '.join(fits)}, the release is {' '.join(core)}: bitbake "
                      "refuses it", widen)  # fmt: skip
        elif not set(own) & set(core):
            yield _of(config, "note", "widened", layer.name,
                      f"it says that it is for {' '.join(own) or 'no series'}; a "
                      f"bblayers_conf_header adds {core[0]}", "")  # fmt: skip


def _dependencies(
    config: Configuration, said: Assignments, owners: dict[str, Layer]
) -> Iterator[Finding]:
    for name, layer in owners.items():
        for needed in dependencies(said.get(f"LAYERDEPENDS_{name}")):
            if needed.collection not in owners:
                if not config.complete:
                    continue
                yield _of(config, "error", "depends", layer.name,
                          f"it depends on the collection {needed}, which no layer taken here has",
                          "take the layer that brings it, pin its repository where that is "
                          "missing")  # fmt: skip
                continue
            version = said.get(f"LAYERVERSION_{needed.collection}")
            if not needed.met_by(version):
                yield _of(config, "error", "depends", layer.name,
                          f"it depends on {needed}, and {owners[needed.collection].name} is of "
                          f"version {version or '(none)'}",
                          "pin commits of the two that belong together")  # fmt: skip


def _shadows(config: Configuration) -> Iterator[Finding]:
    """Yield classes that two layers have, where only the alphabet decides which one counts.

    bitbake takes the first in BBPATH. A layer puts itself behind the others or before them;
    among those that do the same, kas's `prio` decides, then the name of the repository.
    """
    seen: dict[str, list[Layer]] = {}
    for layer in config.layers:
        for name in layer.classes:
            seen.setdefault(name, []).append(layer)
    for name, layers in sorted(seen.items()):
        for first, second in pairwise(layers):
            if first.prepends == second.prepends and first.prio == second.prio:
                wins = second if first.prepends else first
                yield _of(config, "warning", "order", f"{first.name}, {second.name}",
                          f"both have {name}; with equal kas `prio` the order of their names "
                          f"decides: that of {wins.name} counts",
                          "give the layer that is meant a higher `prio` in the role "
                          "(`layers: {…: {prio: 10}}`)")  # fmt: skip
