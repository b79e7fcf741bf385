"""What changed from one run to another: verdicts, times, pins, packages."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

#: A check is slower where it took so many times longer, …
SLOWER = 1.25
#: … where that is so many seconds, …
SECONDS = 1.0
#: … and where it is further off than so many deviations of the earlier runs.
DEVIATIONS = 4.0
#: With fewer earlier runs their scatter is not known, and only twice as long counts.
ENOUGH = 3


def compare_runs(
    first: dict[str, Any], second: dict[str, Any], earlier: Sequence[dict[str, Any]] = ()
) -> dict[str, Any]:
    """Return what differs in *second* from *first*; both are run.json.

    *earlier* are other runs of the same role: the scatter of their times is the noise, and a
    check that both passed and failed among them on one set of pins is flaky; one that did so
    between *first* and *second* alone has newly failed, or newly passed. Times are
    compared only where the nodes had the same accelerator, on hosts of the same kind, and for
    the same release and machine.
    """
    before, after = _outcomes(first, second), _outcomes(second, first)
    both = [name for name in after if name in before]
    bad = ("failed", "error", "not run")
    newly_failed = [n for n in both if after[n] in bad and before[n] not in bad]
    newly_passed = [n for n in both if after[n] == "passed" and before[n] in bad]
    # What turned between just these two has turned once: that is no back and forth.
    turned = {*newly_failed, *newly_passed}
    flaky = (_flaky([*earlier, first, second]) - turned) | _flaky([*earlier, first])
    comparable = _grounds(first) == _grounds(second)
    return {
        "results": [first["result"], second["result"]],
        "newly_failed": newly_failed,
        "newly_passed": newly_passed,
        "still_failed": [n for n in both if after[n] in bad and before[n] in bad],
        "new": [n for n in after if n not in before],
        "gone": [n for n in before if n not in after],
        "flaky": [n for n in after if n in flaky],
        "slower": _times(first, second, earlier) if comparable else [],
        "conditions": _changes(_conditions(first), _conditions(second)),
        "times_compared": comparable,
        "phases": _phases(first, second),
        "pins": _layers(first, second),
        "packages": _packages(first, second),
    }


def _outcomes(run: dict[str, Any], other: dict[str, Any]) -> dict[str, str]:
    """Return the verdicts of *run* by id.

    Of a promised suite that was not run each check is one that is known from the *other* run;
    where that has none either, the suite stands for them.
    """
    found = {check["id"]: check["outcome"] for check in run["checks"]}
    for left in run["not_run"]:
        if left.get("promised"):
            known = [one["id"] for one in other["checks"] if one["suite"] == left["suite"]]
            for name in known or [left["suite"]]:
                found.setdefault(name, "not run")
    return found


def _accelerators(run: dict[str, Any]) -> list[str]:
    return [node["accelerator"] for node in run["nodes"]]


def _conditions(run: dict[str, Any]) -> dict[str, str]:
    """Return under which conditions a run was made, in words: what differs explains much."""
    image, host = run["image"] or {}, run["host"]
    found = {
        "role": run["role"],
        "release": image.get("release"),
        "machine": image.get("machine"),
        "features": " ".join(image.get("features") or ()),
        "accelerator": " ".join(_accelerators(run)),
        "host": f"{host['architecture']}, {host['cpus']} CPUs",
        "host system": host["os"],
        "yoctovirt": run["tool"]["version"],
    }
    return {name: str(value) for name, value in found.items() if value}


def _grounds(run: dict[str, Any]) -> list[str | None]:
    """Return what must be the same for times to be compared."""
    known = _conditions(run)
    return [known.get(name) for name in ("release", "machine", "accelerator", "host")]


def _flaky(runs: Sequence[dict[str, Any]]) -> set[str]:
    seen: dict[tuple[str, str], set[str]] = {}
    found = set()
    for run in runs:
        pins = _pins_hash(run)
        for check in run["checks"]:
            if check["outcome"] == "flaky" or check.get("flaky"):
                found.add(check["id"])
            if pins:
                seen.setdefault((check["id"], pins), set()).add(check["outcome"])
    return found | {
        name for (name, _), outcomes in seen.items() if "passed" in outcomes and len(outcomes) > 1
    }


def _pins_hash(run: dict[str, Any]) -> str:
    """Return what the image was made of as a word, empty where nothing is known."""
    pins = run["pins"] or {}
    layers = pins.get("layers") or {}
    return f"{pins.get('sha256', '')}{sorted((n, p['commit']) for n, p in layers.items()) or ''}"


def _times(
    first: dict[str, Any], second: dict[str, Any], earlier: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    grounds = _grounds(second)
    history: dict[str, list[float]] = {}
    for run in [*(run for run in earlier if _grounds(run) == grounds), first]:
        for check in run["checks"]:
            if check["outcome"] == "passed":
                history.setdefault(check["id"], []).append(check["seconds"])
    rows = []
    for check in second["checks"]:
        known = history.get(check["id"])
        if known and check["outcome"] == "passed" and _is_slower(known, check["seconds"]):
            usual = statistics.median(known)
            rows.append({"id": check["id"], "before": usual, "after": check["seconds"]})
    return sorted(rows, key=lambda row: row["before"] - row["after"])


def _is_slower(known: Sequence[float], seconds: float) -> bool:
    usual = statistics.median(known)
    if seconds - usual < SECONDS or seconds < SLOWER * usual:
        return False
    if len(known) < ENOUGH:
        return seconds >= 2 * usual
    # The median absolute deviation: one run on a busy host does not widen it.
    scatter = statistics.median(abs(value - usual) for value in known) * 1.4826
    return seconds - usual > DEVIATIONS * scatter


def _phases(first: dict[str, Any], second: dict[str, Any]) -> list[dict[str, Any]]:
    before = {phase["name"]: phase for phase in first["phases"]}
    rows = []
    for phase in second["phases"]:
        old = before.get(phase["name"])
        if old and old["seconds"] is not None and phase["seconds"] is not None:
            rows.append(
                {"name": phase["name"], "before": old["seconds"], "after": phase["seconds"]}
            )
    return rows


def _layers(first: dict[str, Any], second: dict[str, Any]) -> list[dict[str, Any]]:
    before, after = ((run["pins"] or {}).get("layers") or {} for run in (first, second))
    return _changes(
        {name: pin["commit"] for name, pin in before.items()},
        {name: pin["commit"] for name, pin in after.items()},
    )


def _packages(first: dict[str, Any], second: dict[str, Any]) -> list[dict[str, Any]]:
    before, after = ((run["pins"] or {}).get("packages") or {} for run in (first, second))
    return _changes(before, after) if before and after else []


def _changes(before: dict[str, str], after: dict[str, str]) -> list[dict[str, Any]]:
    return [
        {"name": name, "before": before.get(name), "after": after.get(name)}
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]
