"""The run record: one folder a run, from which every report is drawn.

``run.json`` is rewritten whole at each step, so that the record of a run that
was killed is complete up to there.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from yoctovirt import __version__
from yoctovirt.base.files import disk_error, make_folder, write_atomically
from yoctovirt.base.process import CommandLog
from yoctovirt.base.secrets import mask_files, masked
from yoctovirt.errors import EXIT_BUG, EXIT_CHECKS_FAILED, EXIT_INTERRUPTED, YoctovirtError

SCHEMA = 1
RUN_FILE = "run.json"


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


class RunRecord:
    """The record of one run, below *runs* in a folder ``<time>-<name>``.

    ``data`` is what ``run.json`` holds: see docs/run-record.md.
    """

    def __init__(self, runs: Path, name: str, command: str, role: str | None = None) -> None:
        stamp = time.strftime("%Y%m%dT%H%M%S")
        self.path = self._make(runs, f"{stamp}-{name}")
        self.data: dict[str, Any] = {
            "schema": SCHEMA,
            "id": self.path.name,
            "tool": {
                "name": "yoctovirt",
                "version": __version__,
                "python": platform.python_version(),
            },
            "host": _host(),
            "command": command,
            "pid": os.getpid(),
            "role": role,
            "started": _now(),
            "finished": None,
            "seconds": None,
            "result": "running",
            "exit_code": None,
            "error": None,
            "until": None,
            "phases": [],
            "retries": [],
            "image": None,
            "pins": None,
            "nodes": [],
            "checks": [],
            "not_run": [],
        }
        self._start = time.monotonic()
        self.save()

    @staticmethod
    def _make(runs: Path, name: str) -> Path:
        make_folder(runs)
        for number in range(1, 1000):
            path = runs / (name if number == 1 else f"{name}-{number}")
            try:
                path.mkdir()
            except FileExistsError:
                continue
            except OSError as error:
                raise disk_error(error, path) from error
            return path
        raise FileExistsError(runs / name)

    def save(self) -> None:
        """Write run.json as it is now."""
        write_atomically(self.path / RUN_FILE, json.dumps(masked(self.data), indent=2) + "\n")

    def commands(self, show: Any = None) -> CommandLog:
        """Return the log of this run's external commands."""
        return CommandLog(self.path / "commands.log", show)

    @contextmanager
    def phase(self, name: str) -> Iterator[dict[str, Any]]:
        """Record a phase; it yields the ``details`` to be filled in.

        The status is ``ok``, ``failed`` (checks failed), ``error`` or ``interrupted``.
        """
        start = time.monotonic()
        details: dict[str, Any] = {}
        entry: dict[str, Any] = {
            "name": name,
            "status": "running",
            "started": _now(),
            "seconds": None,
            "details": details,
        }
        self.data["phases"].append(entry)
        self.save()
        try:
            yield details
        except BaseException as error:
            entry["status"] = _status_of(error)
            raise
        else:
            entry["status"] = "ok"
        finally:
            entry["seconds"] = round(time.monotonic() - start, 3)
            self.save()

    def not_run(self, name: str, reason: str) -> None:
        """Note a phase that was not reached."""
        self.data["phases"].append(
            {"name": name, "status": "not run", "seconds": None, "details": {"reason": reason}}
        )

    def finish(self, error: BaseException | None = None) -> int:
        """Close the record with the outcome; return the exit code.

        What programs have written into its logs of secrets is masked.
        """
        mask_files(self.path)
        code = 0
        if error is not None:
            self.data["error"] = {
                "class": type(error).__name__,
                "message": str(error),
                "hint": getattr(error, "hint", ""),
                **getattr(error, "details", {}),
            }
            code = exit_code_of(error)
        result = {0: "passed", EXIT_CHECKS_FAILED: "failed", EXIT_INTERRUPTED: "interrupted"}
        self.data.update(
            finished=_now(),
            seconds=round(time.monotonic() - self._start, 3),
            exit_code=code,
            result=result.get(code, "error"),
        )
        self.save()
        return code


def exit_code_of(error: BaseException) -> int:
    """Return the exit code for an exception (DESIGN: one table)."""
    if isinstance(error, YoctovirtError):
        return error.exit_code
    return EXIT_INTERRUPTED if isinstance(error, KeyboardInterrupt) else EXIT_BUG


def _status_of(error: BaseException) -> str:
    code = exit_code_of(error)
    return {EXIT_CHECKS_FAILED: "failed", EXIT_INTERRUPTED: "interrupted"}.get(code, "error")


def _host() -> dict[str, Any]:
    release: dict[str, str] = {}
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // (1 << 20)
    return {
        "os": release.get("PRETTY_NAME", platform.system()),
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "cpus": os.cpu_count(),
        "memory_mib": memory,
    }
