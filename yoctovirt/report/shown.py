"""The checks of a run as the page shows them: expected, came, commands, console, logs."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from yoctovirt.base.process import paste_form
from yoctovirt.report.console import console_around
from yoctovirt.report.kept import kept_file
from yoctovirt.report.load import COMMANDS_FILE, load_node_commands, tail
from yoctovirt.report.text import Budget

#: What is shown first.
OUTCOMES = ("failed", "error", "skipped", "flaky", "passed")
#: The end of each log, in bytes.
LOG_BYTES = 60_000
#: Characters of what a command on a node printed: in a check that passed, in another one.
OUTPUT_CHARACTERS = {True: 2_000, False: 12_000}
DETAIL_CHARACTERS = 8_000
#: What all messages together may have, and what each may have however many there are.
_MESSAGES, _MESSAGE = 600_000, 300
#: Of a check that did not pass: the last commands, and bytes of the console.
_COMMANDS, _CONSOLE = 40, 4_000
#: Bytes of markup around the text of a command.
_MARKUP = 200
#: Options of ``ci``, ``smoke`` and ``boot`` without which a check would meet another node.
_FLAGS = ("--kvm", "--no-kvm", "--settle", "--no-settle")
_VALUES = ("--deploy-dir", "--image", "--memory", "--cpus", "--smp", "--qemuparams", "--bootparams",
           "--forward", "--disk", "--suites", "--timeout-scale", "--login-timeout", "--ssh-timeout",
           "--settle-timeout")  # fmt: skip
#: What a check asserted, as pytest shows it in short tracebacks.
_ASSERTED = re.compile(r"^ {4}(assert .*)$", re.MULTILINE)


@dataclass(frozen=True)
class Part:
    """One record that is shown on the page."""

    folder: Path
    run: dict[str, Any]
    link: str  #: leads from the page to the folder: empty, or with a slash at its end
    key: str  #: unique on the page

    @property
    def label(self) -> str:
        """What the part is called where there are several."""
        names = [node["name"] for node in self.run["nodes"]]
        return ", ".join(names) or str(self.run["role"] or "node")

    @cached_property
    def commands(self) -> dict[str, list[dict[str, Any]]]:
        """What ran on nodes, by the check that ran it."""
        return load_node_commands(self.folder)


def with_messages(parts: Sequence[Part], budget: Budget) -> list[tuple[Part, dict[str, Any], str]]:
    """Return the checks of *parts* with their messages, those that did not pass first.

    Whatever else finds no room on the page: of each check that failed it is told why.
    """
    every = [(part, check) for part in parts for check in part.run["checks"]]
    every.sort(key=lambda item: _rank(item[1]["outcome"]))
    bad = sum(check["outcome"] != "passed" for _, check in every)
    limit = min(DETAIL_CHARACTERS, max(_MESSAGE, _MESSAGES // max(bad, 1)))
    return [
        (part, check, budget.take(check["message"], limit, "checks.jsonl")) for part, check in every
    ]


def checks_view(
    checks: Sequence[tuple[Part, dict[str, Any], str]], budget: Budget
) -> list[dict[str, Any]]:
    """Return what the page shows of *checks*, which come from :func:`with_messages`.

    Where what was to be there for several checks failed, ``same`` leads from those that ran
    nothing of their own to the first: one cause need not be read ten times.
    """
    taken: set[str] = set()
    shown = []
    told: dict[tuple[str, str, str], dict[str, Any]] = {}
    for part, check, message in checks:
        anchor = _anchor(check["id"], taken)
        one = {**_check(part, check, budget), "message": message, "anchor": anchor, "same": None}
        if check["outcome"] != "passed" and check["message"]:
            first = told.setdefault((part.key, check["message"], one["evidence"]), one)
            if first is not one and not one["commands"] and not one["more"]:
                one["same"] = first
        shown.append(one)
    return shown


def by_suite(checks: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return *checks* by their suites, base first."""
    suites: dict[str, list[dict[str, Any]]] = {}
    for check in checks:
        suites.setdefault(check["suite"], []).append(check)
    return dict(sorted(suites.items(), key=lambda item: (item[0] != "base", item[0])))


def again(checks: Sequence[dict[str, Any]]) -> str:
    """Return the call that runs the first of *checks* that did not pass once more, alone.

    Empty where all passed, and where more than one node has to run before.
    """
    bad = next((check for check in checks if check["outcome"] != "passed"), None)
    nodes = bad["part"].run["nodes"] if bad else []
    if bad is None or len(nodes) != 1:
        return ""
    run = bad["part"].run
    # A host of nodes.yml has its own name, a node that was booted here is booted anew.
    name = nodes[0]["name"] if nodes[0]["accelerator"] == "none" else nodes[0]["role"]
    bundle = next((phase["details"].get("bundle") for phase in run["phases"]), None)
    kept = _kept_options(run["command"])
    if bundle:
        target = ["--from", bundle]
    elif name or "--deploy-dir" in kept:
        target = [name] if name else []
    else:
        return ""
    return paste_form(["yoctovirt", "smoke", *target, *kept, "--check", bad["id"]])


def _kept_options(command: str) -> list[str]:
    """Return the options of a call that make its node what it is, and ``smoke`` takes, too."""
    try:
        words = iter(shlex.split(command))
    except ValueError:  # a secret was masked in it, quote and all
        return []
    kept: list[str] = []
    for word in words:
        name, given, _ = word.partition("=")
        if name in _FLAGS or (given and name in _VALUES):
            kept.append(word)
        elif name in _VALUES:
            kept += [word, next(words, "")]
    return kept


def left_out(run: dict[str, Any]) -> dict[str, list[str]]:
    """Return the suites that nobody promised and that were not run, by the reason."""
    found: dict[str, list[str]] = {}
    for left in run["not_run"]:
        if not left.get("promised"):
            found.setdefault(left["reason"], []).append(left["suite"])
    return found


def _check(part: Part, check: dict[str, Any], budget: Budget) -> dict[str, Any]:
    passed = check["outcome"] == "passed"
    ran = part.commands.get(check["id"], [])
    kept = check.get("evidence", "")
    # What has been said in the message need not be said a second time.
    detail = check["detail"] if check["detail"].strip() != check["message"].strip() else ""
    found = {
        **check,
        "part": part,
        "nodes": list(dict.fromkeys(row["node"] for row in ran)) or _nodes_of(part),
        "condition": "" if passed else _condition(detail),
        "detail": budget.take(detail, DETAIL_CHARACTERS, "checks.jsonl"),
    }
    # Before the commands: what somebody chose to keep says more than all that ran.
    found["attached"] = [
        kept_file(part.folder, part.link, name, budget) for name in check.get("attached", ())
    ]
    rows = ran if passed else ran[-_COMMANDS:]
    if budget.left < sum(_MARKUP + _size(row, passed) for row in rows):
        rows = []
    found["commands"] = [_command(row, budget, passed) for row in rows]
    found["more"] = len(ran) - len(rows)
    found["consoles"] = [] if passed else _consoles(part, found["nodes"], check, ran, budget)
    logs = tail(part.folder / kept, LOG_BYTES) if kept else ""
    found["logs"] = budget.take(logs, DETAIL_CHARACTERS, kept)
    found["evidence"] = kept
    return found


def _size(row: dict[str, Any], passed: bool) -> int:
    output = min(len(row["output"]), OUTPUT_CHARACTERS[passed])
    return output + min(len(row["command"]), OUTPUT_CHARACTERS[True])


def _command(row: dict[str, Any], budget: Budget, passed: bool) -> dict[str, Any]:
    budget.left -= _MARKUP
    command = budget.take(row["command"], OUTPUT_CHARACTERS[True], COMMANDS_FILE)
    output = budget.take(row["output"], OUTPUT_CHARACTERS[passed], COMMANDS_FILE)
    return {**row, "command": command, "output": output}


def _nodes_of(part: Part) -> list[str]:
    """Return the only node of *part*; what ran on none of several is said of none."""
    names = [node["name"] for node in part.run["nodes"]]
    return names if len(names) == 1 else []


def _condition(detail: str) -> str:
    """Return what the check asserted, without the message; empty where it failed otherwise."""
    found = _ASSERTED.findall(detail)
    if not found:
        return ""
    line = str(found[-1]).strip()
    try:
        (statement,) = ast.parse(line).body
    except SyntaxError:  # the first line of several
        return line.removesuffix("(").rstrip(", ")
    tested = (
        ast.get_source_segment(line, statement.test) if isinstance(statement, ast.Assert) else None
    )
    return f"assert {tested}" if tested else line


def _consoles(
    part: Part,
    names: Sequence[str],
    check: dict[str, Any],
    ran: Sequence[dict[str, Any]],
    budget: Budget,
) -> list[dict[str, Any]]:
    """Return what the consoles of the nodes *names* said while *check* ran."""
    span = _span(check, ran)
    if span is None or budget.left < _CONSOLE:
        return []
    found = []
    for name in names:
        log = f"console-{name}.log"
        text = console_around(part.folder / log, *span, _CONSOLE)
        if text:
            found.append({"log": log, "text": budget.take(text, _CONSOLE + 200, log)})
    return found


def _span(check: dict[str, Any], ran: Sequence[dict[str, Any]]) -> tuple[float, float] | None:
    """Return from when to when a check ran, in seconds since 1970."""
    if check.get("started"):
        begin = datetime.fromisoformat(check["started"]).timestamp()
        return begin, begin + check["seconds"]
    if ran:  # the record of an older version
        begin = min(row["time"] - (row["duration"] or 0.0) for row in ran)
        return begin, max(row["time"] for row in ran)
    return None


def _anchor(identity: str, taken: set[str]) -> str:
    """Return a name for a place in the page that is not *taken* yet."""
    name = base = "check-" + "".join(c if c.isalnum() else "-" for c in identity)
    while name in taken:
        name = f"{base}-{len(taken)}"
    taken.add(name)
    return name


def _rank(outcome: str) -> int:
    return OUTCOMES.index(outcome) if outcome in OUTCOMES else -1
