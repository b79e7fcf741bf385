"""Where ceilometer's samples go: to gnocchi, or as JSON to a file, as the images have it.

Events go to gnocchi only: ceilometer has no publisher that writes them to files.
"""

from __future__ import annotations

import json
import shlex
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Protocol

import yaml

from yoctovirt.smoke.checked import SmokeNode
from yoctovirt.smoke.notrun import not_run
from yoctovirt.smoke.suites.aids.rest import Rest

#: Type of gnocchi in the catalog.
METRIC = "metric"
GNOCCHI, FILE = "gnocchi", "file"

_CONFIG = "/etc/ceilometer"
_PIPELINE, _EVENTS, _POLLING = (
    f"{_CONFIG}/{name}.yaml" for name in ("pipeline", "event_pipeline", "polling")
)
#: ``FILE``: prints the publishers of a pipeline. What one is called with may be a password: files
#: are told whole, of all others the scheme.
_PUBLISHERS = """
import sys, yaml
for sink in yaml.safe_load(open(sys.argv[1]))["sinks"]:
    for one in sink["publishers"]:
        print(one if one.startswith("file:") else one.partition(":")[0] + "://")
"""
#: Without these files ceilometer takes those of its package.
_DEFAULTS = {_PIPELINE: ["gnocchi://"], _EVENTS: ["notifier://"]}


@dataclass(frozen=True)
class Sample:
    """One measured value; of gnocchi's the mean of some time."""

    volume: float
    unit: str
    project: str  #: whose it is
    time: str


class Store(Protocol):
    """What keeps samples, and what became of the things that they are of."""

    @property
    def name(self) -> str:
        """As a check's parameter has it."""

    def samples(self, resource: str, meter: str) -> list[Sample]:
        """Return all samples of *meter* that there are of *resource*."""

    def ended(self, resource: str) -> bool:
        """Whether it is known that the image *resource* was deleted."""


@dataclass(frozen=True)
class Gnocchi:
    """The time series database."""

    rest: Rest
    name: str = GNOCCHI

    @staticmethod
    def path(resource: str) -> str:
        """Return where it has *resource*."""
        return f"/v1/resource/generic/{resource}"

    def samples(self, resource: str, meter: str) -> list[Sample]:
        """Return what metricd has made of the samples; [] for a resource that is not known."""
        answer = self.rest.call("GET", METRIC, self.path(resource))
        if answer.status == 404:
            return []
        assert answer.ok, f"gnocchi should tell of a resource, it gave {answer.said}"
        metric = answer.body["metrics"].get(meter)
        if metric is None:
            return []
        unit = str(self.rest.get(METRIC, f"/v1/metric/{metric}")["unit"])
        measures = self.rest.get(METRIC, f"/v1/metric/{metric}/measures?aggregation=mean")
        project = str(answer.body["project_id"] or "")
        return [Sample(value, unit, project, time) for time, _, value in measures]

    def ended(self, resource: str) -> bool:
        """Whether it has an end."""
        return bool(self.rest.get(METRIC, self.path(resource))["ended_at"])


@dataclass(frozen=True)
class Files:
    """The file *path* with an object of JSON a line."""

    node: SmokeNode
    path: str
    name: str = FILE

    def _lines(self, word: str) -> list[dict[str, Any]]:
        """Return what lines with *word* say, in the file and in what was rotated away."""
        path = shlex.quote(self.path)
        told = self.node.run(f"grep -h -F -e {shlex.quote(word)} {path} {path}.[0-9] 2>/dev/null")
        found = []
        for line in told.output.splitlines():
            with suppress(ValueError):  # the last one may not be whole yet
                found.append(json.loads(line))
        return found

    def samples(self, resource: str, meter: str) -> list[Sample]:
        """Return the samples in the file."""
        return [
            Sample(one["volume"], one["unit"], one["project_id"] or "", one["timestamp"])
            for one in self._lines(resource)
            if (one["resource_id"], one["name"]) == (resource, meter)
        ]  # fmt: skip

    def ended(self, resource: str) -> bool:
        """Whether there is a sample that was made of its end."""
        return any(
            one["resource_id"] == resource
            and (one["resource_metadata"] or {}).get("event_type") == "image.delete"
            for one in self._lines(resource)
        )


def _publishers(node: SmokeNode, path: str) -> list[str]:
    if not node.run(f"[ -e {path} ]").ok:
        return _DEFAULTS[path]
    return node.check(
        f"python3 -c {shlex.quote(_PUBLISHERS)} {path}", why=f"{path} is no pipeline"
    ).split()


def _file_of(publishers: list[str]) -> str:
    """Return the path that the first of *publishers* writes JSON to; '' where none does."""
    for one in publishers:
        path, _, options = one.removeprefix("file://").partition("?")
        if one.startswith("file:") and "json" in (
            word.split("=")[0] for word in options.split("&")
        ):
            return path
    return ""


def open_store(rest: Rest, name: str, ends: bool = False) -> Store:
    """Return the store *name*; with *ends* one that hears of the end of things, too.

    Where ceilometer does not write to it the check is not run.
    """
    node = rest.cloud.node
    if name == FILE:
        publishers = _publishers(node, _PIPELINE)
        path = _file_of(publishers)
        if not path:
            not_run(f"{_PIPELINE} has samples go to {_said(publishers)}, not to a file as JSON")
        return Files(node, path)
    if METRIC not in rest.types():
        not_run(f"the catalog has no gnocchi (type {METRIC})")
    for path in (_PIPELINE, _EVENTS) if ends else (_PIPELINE,):
        publishers = _publishers(node, path)
        if "gnocchi://" not in publishers:
            not_run(f"{path} has all go to {_said(publishers)}, not to gnocchi")
    return Gnocchi(rest)


def _said(publishers: list[str]) -> str:
    return ", ".join(sorted(one.partition(":")[0] for one in publishers)) or "nobody"


def glance_notifies(node: SmokeNode) -> bool:
    """Whether glance was told to say on the message bus what becomes of its images."""
    told = node.run(
        r"sed -n '/^\[oslo_messaging_notifications\]/,/^\[/s/^driver *= *//p' "
        "/etc/glance/glance-api.conf"
    ).output.split()
    return bool(told) and told != ["noop"]


def polled_every(node: SmokeNode, meter: str) -> float:
    """Return the seconds between two samples of *meter* that are polled; 0 where none is."""
    told = node.run(f"cat {_POLLING}")
    sources = (yaml.safe_load(told.output) or {}).get("sources", []) if told.ok else []
    every = [
        float(source["interval"])
        for source in sources
        if any(fnmatchcase(meter, pattern) for pattern in source["meters"])
        and f"!{meter}" not in source["meters"]
    ]
    return min(every, default=0.0)
