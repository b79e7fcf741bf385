"""What a CI service shows of a run besides its log: groups, annotations, a summary.

GitHub reads workflow commands from the log (docs.github.com, "Workflow commands for GitHub
Actions"), and a Markdown file that GITHUB_STEP_SUMMARY names. GitLab reads markers of sections
(docs.gitlab.com, "Custom collapsible sections"); its verdicts come from junit.xml. Elsewhere
nothing is added to the log.
"""

from __future__ import annotations

import os
import re
import secrets
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol, TextIO

from yoctovirt.base.secrets import mask

KINDS = ("auto", "github", "gitlab", "plain")
#: GitHub shows no more errors, and no more warnings, of one step.
GITHUB_LIMIT = 10
#: GitHub takes 1 MiB of Markdown a step.
_SUMMARY_BYTES = 900_000


def choose_kind(wanted: str, env: Mapping[str, str] | None = None) -> str:
    """Return ``github``, ``gitlab`` or ``plain`` for ``--annotations``; auto: what runs us."""
    env = os.environ if env is None else env
    if wanted != "auto":
        return wanted
    if env.get("GITHUB_ACTIONS") == "true":
        return "github"
    return "gitlab" if env.get("GITLAB_CI") == "true" else "plain"


class Annotations(Protocol):
    """What is said to a CI service."""

    def begin(self, title: str) -> None:
        """Begin a group of lines of the log."""

    def end(self) -> None:
        """End the group that was begun last."""

    def error(self, title: str, message: str) -> None:
        """Show an error besides the log."""

    def warning(self, title: str, message: str) -> None:
        """Show a warning besides the log."""

    def close(self) -> None:
        """Say that nothing more comes."""


class Plain:
    """No CI service that we know: the log is all."""

    def begin(self, title: str) -> None:
        """Say nothing: the screen has a line of its own."""

    def end(self) -> None:
        """Say nothing."""

    def error(self, title: str, message: str) -> None:
        """Say nothing: the log has it."""

    def warning(self, title: str, message: str) -> None:
        """Say nothing: the log has it."""

    def close(self) -> None:
        """Say nothing."""


class Gitlab(Plain):
    """Collapsible sections, by control codes that GitLab takes out of the log."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._open: list[str] = []
        self._count = 0

    def begin(self, title: str) -> None:
        """Begin a section; its name is its own, as GitLab demands."""
        self._count += 1
        name = re.sub(r"[^A-Za-z0-9_.-]+", "_", f"yoctovirt_{self._count}_{title}")[:80]
        self._open.append(name)
        self._mark(f"section_start:{int(time.time())}:{name}\r\x1b[0K{' '.join(title.split())}")

    def end(self) -> None:
        """End the section that was begun last."""
        self._mark(f"section_end:{int(time.time())}:{self._open.pop()}\r\x1b[0K")

    def close(self) -> None:
        """End what is open."""
        while self._open:
            self.end()

    def _mark(self, text: str) -> None:
        self._stream.write(f"\x1b[0K{text}\n")
        self._stream.flush()


class Github(Plain):
    """Workflow commands; those in what we print of others (a node, a log) are not obeyed."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._depth = 0
        self._said = {"error": 0, "warning": 0}
        # Not to be guessed by those whose output we print.
        self._token = secrets.token_hex(16)
        self._raw(f"::stop-commands::{self._token}")

    def begin(self, title: str) -> None:
        """Begin a group; GitHub has them one deep."""
        self._depth += 1
        if self._depth == 1:
            self._command("group", title)

    def end(self) -> None:
        """End the group that was begun last."""
        self._depth -= 1
        if self._depth == 0:
            self._command("endgroup", "")

    def error(self, title: str, message: str) -> None:
        """Show an error; the tenth says that there are more."""
        self._annotate("error", title, message)

    def warning(self, title: str, message: str) -> None:
        """Show a warning; the tenth says that there are more."""
        self._annotate("warning", title, message)

    def close(self) -> None:
        """End the groups that are open, and let the rest of the step have its commands."""
        if self._depth:
            self._command("endgroup", "")
        self._depth = 0
        self._raw(f"::{self._token}::")

    def _annotate(self, kind: str, title: str, message: str) -> None:
        self._said[kind] += 1
        if self._said[kind] == GITHUB_LIMIT:
            self._command(kind, "GitHub shows ten of a step: see the report", title="And more")
        elif self._said[kind] < GITHUB_LIMIT:
            self._command(kind, message, title=title)

    def _command(self, name: str, message: str, **properties: str) -> None:
        given = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
        self._raw(f"::{self._token}::")
        self._raw(f"::{name}{' ' if given else ''}{given}::{_data(message)}")
        self._raw(f"::stop-commands::{self._token}")

    def _raw(self, line: str) -> None:
        self._stream.write(f"{line}\n")
        self._stream.flush()


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


@contextmanager
def speaking_to(kind: str, stream: TextIO | None = None) -> Iterator[Annotations]:
    """Yield what speaks to the CI service *kind* on *stream* (standard error)."""
    stream = stream or sys.stderr
    made: Annotations = {"github": Github, "gitlab": Gitlab}.get(kind, lambda _: Plain())(stream)
    try:
        yield made
    finally:
        made.close()


def tell_ci(to: Annotations, run: dict[str, Any]) -> None:
    """Tell the CI service what came of *run*, the content of run.json."""
    annotate_run(to, run)
    if isinstance(to, Github):
        write_summary(run)


def annotate_run(to: Annotations, run: dict[str, Any]) -> None:
    """Say what is wrong in *run*, the content of run.json: its error, or each bad check."""
    name = run["role"] or "node"
    for entry in run["retries"]:
        to.warning(f"{name}: {entry['phase']} tried again", entry["message"])
    error = run["error"]
    if error and error["class"] != "ChecksFailedError":
        hint = f"\nhint: {error['hint']}" if error["hint"] else ""
        # Ctrl-C has no message, and GitHub shows no annotation without one.
        to.error(f"{name}: {error['class']}", f"{error['message'] or run['result']}{hint}")
    for check in run["checks"]:
        if check["outcome"] in ("failed", "error"):
            to.error(f"{name}: {check['id']}", f"{check['title']}\n{check['message']}".strip())
        elif check["outcome"] == "flaky":
            to.warning(f"{name}: {check['id']}", check["message"])


def write_summary(run: dict[str, Any], env: Mapping[str, str] | None = None) -> None:
    """Append *run* as Markdown to the file that GITHUB_STEP_SUMMARY names, where it has room."""
    path = (os.environ if env is None else env).get("GITHUB_STEP_SUMMARY")
    if not path:
        return
    text = mask(summary(run))
    # Nobody's run fails because its summary cannot be shown.
    with suppress(OSError):
        room = _SUMMARY_BYTES - (Path(path).stat().st_size if Path(path).exists() else 0)
        if len(text.encode()) <= room:
            with Path(path).open("a", encoding="utf-8") as out:
                out.write(text)


def summary(run: dict[str, Any]) -> str:
    """Return *run* as Markdown: result, phases, what did not pass."""
    checks = run["checks"]
    good = sum(check["outcome"] in ("passed", "flaky") for check in checks)
    lines = [
        f"### {_cell(run['role'] or 'node')}: {run['result']} (exit code {run['exit_code']})", "",
        "| phase | status | seconds |", "| --- | --- | ---: |",
        *(f"| {phase['name']} | {phase['status']} | {phase['seconds'] or 0:.1f} |"
          for phase in run["phases"]), "",
        f"{good} of {len(checks)} checks passed; "
        f"{len(run['retries'])} attempts of a phase were tried again.", "",
    ]  # fmt: skip
    if run["error"] and not checks:
        message = run["error"]["message"] or run["result"]
        lines += [f"**{run['error']['class']}**", "", *_block(message), ""]
    bad = [check for check in checks if check["outcome"] in ("failed", "error")]
    if bad:
        lines += ["| check | outcome | what came |", "| --- | --- | --- |"]
        lines += [
            f"| {_cell(check['id'])} | {check['outcome']} | {_cell(check['message'][:400])} |"
            for check in bad[:200]
        ]
        lines += [f"\nand {len(bad) - 200} more" if len(bad) > 200 else "", ""]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """Return *text* for a cell of a table: shown as it is, markup of it is none."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*_{}\[\]()#+!|~-])", r"\\\1", text)
    return "<br>".join(text.splitlines())


def _block(text: str) -> list[str]:
    """Return *text* as an indented block of code, which nothing in it can end."""
    return [f"    {line}" for line in text.splitlines()[:60]]
