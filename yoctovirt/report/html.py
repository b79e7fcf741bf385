"""The report of a run: one HTML file that needs nothing else, not even JavaScript."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from yoctovirt.base.files import write_atomically
from yoctovirt.base.process import paste_form
from yoctovirt.report.load import load_node_commands, load_run, tail

HTML_FILE = "report.html"
#: How much of each log goes into the page; the whole of it lies beside the page.
LOG_BYTES = 60_000
OUTPUT_CHARACTERS = 4_000

_WORDS = {
    "passed": "passed",
    "failed": "failed",
    "error": "error",
    "skipped": "skipped",
    "interrupted": "interrupted",
    "running": "not finished",
}


def _logs(folder: Path) -> list[dict[str, Any]]:
    return [
        {"name": path.name, "bytes": path.stat().st_size, "text": tail(path, LOG_BYTES)}
        for path in sorted(folder.glob("*.log"))
        if path.stat().st_size
    ]


def _counts(checks: list[dict[str, Any]]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for check in checks:
        counts[check["outcome"]] = counts.get(check["outcome"], 0) + 1
    return counts


def _bar(run: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the phases with their share of the time, for the time line."""
    total = sum(phase["seconds"] or 0 for phase in run["phases"]) or 1
    return [
        {**phase, "share": round(100 * (phase["seconds"] or 0) / total, 2)}
        for phase in run["phases"]
        if phase["seconds"]
    ]


def render_html(folder: Path) -> str:
    """Return the page for the run record in *folder*."""
    import jinja2

    run = load_run(folder)
    commands = load_node_commands(folder)
    for rows in commands.values():
        for row in rows:
            if len(row["output"]) > OUTPUT_CHARACTERS:
                left = len(row["output"]) - OUTPUT_CHARACTERS
                row["output"] = f"{row['output'][:OUTPUT_CHARACTERS]}\n[… {left} more]"
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("yoctovirt.report", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template("report.html.j2").render(
        run=run,
        word=_WORDS.get(run["result"], run["result"]),
        counts=_counts(run["checks"]),
        bar=_bar(run),
        commands=commands,
        logs=_logs(folder),
        paste_form=paste_form,
    )


def write_html(folder: Path) -> Path:
    """Write report.html into the run record *folder* and return its path."""
    path = folder / HTML_FILE
    write_atomically(path, render_html(folder))
    return path
