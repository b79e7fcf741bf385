"""The report of a run: one HTML file that needs nothing else.

It is complete without JavaScript; a script of a few lines adds the search. No text of a node
can become a script: the page's own policy names the hash of that one.
"""

from __future__ import annotations

import base64
import hashlib
import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from yoctovirt.base.files import human_bytes, write_atomically
from yoctovirt.base.process import paste_form
from yoctovirt.errors import combined_exit_code
from yoctovirt.report.bootline import boot_view
from yoctovirt.report.kept import kept_file
from yoctovirt.report.load import load_run, tail
from yoctovirt.report.sbom import sbom_view
from yoctovirt.report.shown import (
    LOG_BYTES,
    OUTCOMES,
    Part,
    again,
    by_suite,
    checks_view,
    left_out,
    with_messages,
)
from yoctovirt.report.text import Budget, plain
from yoctovirt.report.timeline import build_view

if TYPE_CHECKING:
    from collections.abc import Sequence

    import jinja2

HTML_FILE = "report.html"
#: The page of all nodes of one call, in the record of the first.
TOGETHER_FILE = "together.html"
#: Bytes for logs and outputs in all; the whole of each lies beside the page.
PAGE_BYTES = 1_500_000
#: The page stays below 5 MB. Each check takes so many bytes without its outputs, and so many
#: more where it did not pass.
_PAGE_LIMIT, _ROW, _CARD, _LEAST = 4_500_000, 800, 1_000, 300_000

#: What a result is called, and what follows from it.
_RESULTS = {
    "passed": ("passed", "every check passed"),
    "failed": ("failed", "the node is up, and not all checks passed"),
    "error": ("error", "the run did not get to its end"),
    "interrupted": ("interrupted", "somebody asked for the end"),
    "running": ("not finished", "the run is going on, or was killed"),
}
#: Of several records the first of these results stands for all.
_WORST = ("running", "interrupted", "error", "failed", "passed")


def render_html(*folders: Path, page: Path | None = None) -> str:
    """Return the page for the run records *folders*.

    Its links to the records lead from the folder *page*, else from the first of *folders*.
    Raises UsageError for a folder that is no record.
    """
    parts = [
        Part(path, load_run(path), _link(path, page or folders[0]), f"r{number}")
        for number, path in enumerate(folders)
    ]
    budget = _budget(parts)
    # First why each check failed, then the logs, then all else as far as there is room.
    judged = with_messages(parts, budget)
    records = [_part(part, budget) for part in parts]
    checks = checks_view(judged, budget)
    result = min((part.run["result"] for part in parts), key=_worse)
    word, meaning = _RESULTS.get(result, (result, ""))
    if result == "passed" and not checks:
        meaning = "all that was asked for was done; no check was to run"
    promised = [
        {**left, "part": part}
        for part in parts
        for left in part.run["not_run"]
        if left.get("promised")
    ]
    nodes = [node for part in parts for node in part.run["nodes"]]
    names = list(dict.fromkeys(name for check in checks for name in check["nodes"]))
    script = _source("filter.js")
    return _template().render(
        parts=records,
        several=len(parts) > 1,
        title=", ".join(dict.fromkeys(str(part.run["role"] or "node") for part in parts)),
        run=parts[0].run,
        result=result,
        word=word,
        meaning=meaning,
        seconds=_seconds_of_all(parts),
        exit_code=_exit_code(parts),
        boot=boot_view(nodes),
        counts=[(kind, sum(c["outcome"] == kind for c in checks)) for kind in OUTCOMES],
        checks=checks,
        bad=[check for check in checks if check["outcome"] != "passed"],
        again=again(checks),
        suites=by_suite(checks),
        nodes=nodes,
        names=names,
        promised=promised,
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        paste_form=paste_form,
    )


def write_html(folder: Path) -> Path:
    """Write report.html into the run record *folder* and return its path."""
    path = folder / HTML_FILE
    write_atomically(path, render_html(folder))
    return path


def write_together(folders: Sequence[Path]) -> Path:
    """Write one page for the records *folders* into the first of them and return its path."""
    path = folders[0] / TOGETHER_FILE
    write_atomically(path, render_html(*folders))
    return path


def _link(folder: Path, page: Path) -> str:
    """Return how a link on the page in the folder *page* begins that leads into *folder*."""
    return "" if folder == page else quote(os.path.relpath(folder, page)) + "/"


def _budget(parts: Sequence[Part]) -> Budget:
    checks = [check for part in parts for check in part.run["checks"]]
    bad = sum(check["outcome"] != "passed" for check in checks)
    free = _PAGE_LIMIT - _ROW * len(checks) - _CARD * bad
    return Budget(min(PAGE_BYTES * len(parts), max(free, _LEAST)))


def _worse(result: str) -> int:
    return _WORST.index(result) if result in _WORST else -1


def _exit_code(parts: Sequence[Part]) -> int | None:
    codes = [part.run["exit_code"] for part in parts]
    return None if None in codes else combined_exit_code(codes)


def _seconds_of_all(parts: Sequence[Part]) -> float | None:
    known = [part.run["seconds"] for part in parts if part.run["seconds"] is not None]
    return max(known, default=None)


def _part(part: Part, budget: Budget) -> dict[str, Any]:
    """Return what the page shows of one record."""
    broken = _broken_phase(part.run)
    return {
        "run": part.run,
        "label": part.label,
        "link": part.link,
        "key": part.key,
        "error": _error(part, budget),
        "timeline": _timeline(part.run),
        "view": build_view(part.folder),
        "sbom": sbom_view(part.folder),
        "left_out": left_out(part.run),
        "logs": _logs(part.folder, broken, budget),
    }


@lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("yoctovirt.report", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        finalize=_finalize,
    )
    environment.filters.update(seconds=_seconds, detail=_detail, bytes=human_bytes, url=quote)
    return environment


def _template() -> jinja2.Template:
    return _environment().get_template("report.html.j2")


def _source(name: str) -> str:
    environment = _environment()
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0].strip()


def _finalize(value: Any) -> Any:
    # Whatever the record holds: no control codes in the page, and nothing that is no UTF-8.
    return plain(value) if type(value) is str else value


def _error(part: Part, budget: Budget) -> dict[str, Any] | None:
    """Return the error with what it is about; None where the checks say it all."""
    run = part.run
    error: dict[str, Any] | None = run["error"]
    if error is None or (run["result"] == "failed" and run["checks"]):
        return None
    phase = _broken_phase(run)
    ended = "was interrupted" if run["result"] == "interrupted" else "failed"
    message = error["message"] or ("Ctrl-C, or a signal" if ended[0] == "w" else "(no message)")
    return {
        **error,
        "title": f"{'Phase ' + phase if phase else 'The run'} {ended}",
        "message": message,
        "kept": [
            kept_file(part.folder, part.link, name, budget) for name in error.get("evidence", ())
        ],
    }


def _broken_phase(run: dict[str, Any]) -> str:
    """Return the name of the phase that did not get to its end; empty where there is none."""
    broken = (p["name"] for p in run["phases"] if p["status"] in ("error", "interrupted"))
    return str(next(broken, ""))


def _timeline(run: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the phases with their place on a common time line, in percent."""
    total = sum(phase["seconds"] or 0 for phase in run["phases"]) or 1
    rows, before = [], 0.0
    for phase in run["phases"]:
        seconds = phase["seconds"] or 0
        begin, width = 100 * before / total, 100 * seconds / total
        rows.append({**phase, "begin": round(min(begin, 99.0), 2), "width": round(width, 2)})
        before += seconds
    return rows


def _logs(folder: Path, broken: str, budget: Budget) -> list[dict[str, Any]]:
    """Return the logs; the one that tells about the *broken* phase is shown open."""
    told_by = {"build": "build", "boot": "console-"}.get(broken)
    return [
        {
            "name": path.name,
            "bytes": path.stat().st_size,
            "text": budget.take(tail(path, LOG_BYTES), LOG_BYTES + 100, path.name),
            "open": told_by is not None and path.name.startswith(told_by),
        }
        for path in sorted(folder.glob("*.log"))
        if path.stat().st_size
    ]


def _seconds(value: float | None) -> str:
    """Return a time as it is read best: ``0.03 s``, ``59.5 s``, ``1 h 02 min``."""
    if value is None:
        return "\u2013"
    if value < 120:
        return f"{value:.2f} s" if value < 1 else f"{value:.1f} s"
    minutes, seconds = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {seconds:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def _detail(value: Any) -> str:
    """Return a value of a phase's details as a person writes it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return _seconds(value)
    if isinstance(value, dict):
        return ", ".join(f"{name} {_detail(one)}" for name, one in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(map(_detail, value)) or "none"
    return str(value)
