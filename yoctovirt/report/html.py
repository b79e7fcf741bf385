"""The report of a run: one HTML file that needs nothing else, not even JavaScript."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yoctovirt.base.files import human_bytes, write_atomically
from yoctovirt.base.process import paste_form
from yoctovirt.report.load import COMMANDS_FILE, load_node_commands, load_run, tail
from yoctovirt.report.text import Budget, plain
from yoctovirt.report.timeline import build_view

if TYPE_CHECKING:
    import jinja2

HTML_FILE = "report.html"
#: Bytes for logs and outputs in all; the whole of each lies beside the page.
PAGE_BYTES = 600_000
#: The end of each log, in bytes.
LOG_BYTES = 60_000
#: Characters of what a command on a node printed: in a check that passed, in another one.
OUTPUT_CHARACTERS = {True: 2_000, False: 12_000}
DETAIL_CHARACTERS = 8_000

#: What a result is called, and what follows from it.
_RESULTS = {
    "passed": ("passed", "every check passed"),
    "failed": ("failed", "the node is up, and not all checks passed"),
    "error": ("error", "the run did not get to its end"),
    "interrupted": ("interrupted", "somebody asked for the end"),
    "running": ("not finished", "the run is going on, or was killed"),
}
_OUTCOMES = ("failed", "error", "skipped", "flaky", "passed")


def render_html(folder: Path) -> str:
    """Return the page for the run record in *folder*."""
    run = load_run(folder)
    budget = Budget(PAGE_BYTES)
    checks = _checks(run["checks"], load_node_commands(folder), budget, folder)
    word, meaning = _RESULTS.get(run["result"], (run["result"], ""))
    return _template().render(
        run=run,
        word=word,
        meaning=meaning,
        error=_error(run),
        timeline=_timeline(run),
        view=build_view(folder),
        counts=[(kind, sum(c["outcome"] == kind for c in checks)) for kind in _OUTCOMES],
        bad=[check for check in checks if check["outcome"] != "passed"],
        suites=_by_suite(checks),
        promised=[left for left in run["not_run"] if left.get("promised")],
        left_out=[left for left in run["not_run"] if not left.get("promised")],
        logs=_logs(folder, _broken_phase(run), budget),
        paste_form=paste_form,
    )


def write_html(folder: Path) -> Path:
    """Write report.html into the run record *folder* and return its path."""
    path = folder / HTML_FILE
    write_atomically(path, render_html(folder))
    return path


@lru_cache(maxsize=1)
def _template() -> jinja2.Template:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("yoctovirt.report", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        finalize=_finalize,
    )
    environment.filters.update(seconds=_seconds, detail=_detail, bytes=human_bytes)
    return environment.get_template("report.html.j2")


def _finalize(value: Any) -> Any:
    # Whatever the record holds: no control codes in the page, and nothing that is no UTF-8.
    return plain(value) if type(value) is str else value


def _error(run: dict[str, Any]) -> dict[str, Any] | None:
    """Return the error with what it is about; None where the checks say it all."""
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
    }


def _broken_phase(run: dict[str, Any]) -> str:
    """Return the name of the phase that did not get to its end; empty where there is none."""
    broken = (p["name"] for p in run["phases"] if p["status"] in ("error", "interrupted"))
    return str(next(broken, ""))


def _checks(
    checks: list[dict[str, Any]],
    commands: dict[str, list[dict[str, Any]]],
    budget: Budget,
    folder: Path,
) -> list[dict[str, Any]]:
    """Return the checks with what they ran, those that did not pass first."""
    shown: list[dict[str, Any]] = []
    taken: set[str] = set()
    for check in sorted(checks, key=lambda check: _rank(check["outcome"])):
        passed = check["outcome"] == "passed"
        rows = []
        for row in commands.get(check["id"], []):
            output = budget.take(row["output"], OUTPUT_CHARACTERS[passed], COMMANDS_FILE)
            command = budget.take(row["command"], OUTPUT_CHARACTERS[True], COMMANDS_FILE)
            rows.append({**row, "command": command, "output": output})
        kept = check.get("evidence", "")
        logs = tail(folder / kept, LOG_BYTES) if kept else ""
        # What has been said in the message need not be said a second time.
        detail = check["detail"] if check["detail"].strip() != check["message"].strip() else ""
        shown.append(
            {
                **check,
                "anchor": _anchor(check["id"], taken),
                "commands": rows,
                "evidence": kept,
                "logs": budget.take(logs, DETAIL_CHARACTERS, kept),
                "message": budget.take(check["message"], DETAIL_CHARACTERS, "checks.jsonl"),
                "detail": budget.take(detail, DETAIL_CHARACTERS, "checks.jsonl"),
            }
        )
    return shown


def _anchor(identity: str, taken: set[str]) -> str:
    """Return a name for a place in the page that is not *taken* yet."""
    name = base = "check-" + "".join(c if c.isalnum() else "-" for c in identity)
    while name in taken:
        name = f"{base}-{len(taken)}"
    taken.add(name)
    return name


def _rank(outcome: str) -> int:
    return _OUTCOMES.index(outcome) if outcome in _OUTCOMES else -1


def _by_suite(checks: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    suites: dict[str, list[dict[str, Any]]] = {}
    for check in checks:
        suites.setdefault(check["suite"], []).append(check)
    return dict(sorted(suites.items(), key=lambda item: (item[0] != "base", item[0])))


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
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return str(value)
