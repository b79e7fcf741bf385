"""What a finished run record is given: reports, and a statement of all that lies in it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import click

from yoctovirt.base.files import disk_error
from yoctovirt.base.record import RunRecord
from yoctovirt.config.workspace import Workspace
from yoctovirt.errors import InfrastructureError
from yoctovirt.report.html import write_html
from yoctovirt.report.junit import write_junit
from yoctovirt.report.statement import write_statement


def write_reports(record: RunRecord, junit: Path | None) -> None:
    """Write JUnit XML (copied to *junit*, too) and the page; say where they are."""
    written = write_junit(record.path)
    report = write_html(record.path)
    click.echo()
    click.echo(f"result: {record.data['result']} (exit code {record.data['exit_code']})")
    if record.data["retries"]:
        tries = len(record.data["retries"])
        click.echo(f"retries: {tries} ({record.data['retries'][0]['phase']}; see run.json)")
    click.echo(f"record: {record.path}")
    click.echo(f"report: {report}")
    if junit is not None:
        _copy(written, junit)


def _copy(junit: Path, target: Path) -> None:
    """Copy *junit*; where that fails the error of the run itself stays the one that counts."""
    in_flight = sys.exc_info()[0] is not None
    try:
        shutil.copyfile(junit, target)
    except OSError as error:
        if not in_flight:
            raise disk_error(error, target) from error
        click.echo(f"warning: --junit {target}: {error.strerror or error}", err=True)


def state(workspace: Workspace, record: Path) -> None:
    """Write the statement of a finished run record, as :mod:`yoctovirt.report.statement` says.

    Where the disk does not take it, the error of the run itself stays the one that counts.
    """
    growing = _growing(workspace, record)
    in_flight = sys.exc_info()[0] is not None
    try:
        write_statement(record, growing)
    except (InfrastructureError, OSError) as error:
        if not in_flight:
            raise
        click.echo(f"warning: no statement of {record.name}: {error}", err=True)


def _growing(workspace: Workspace, record: Path) -> list[str]:
    """Return the names of the files of *record* that nodes still write to."""
    if not any(workspace.nodes.glob("*.lock")):
        return []  # a build that has nothing to do would wait longest for the import
    from yoctovirt.boot.node import running_nodes

    growing: list[str] = []
    for name, node in running_nodes(workspace).items():
        if Path(node.state.run).resolve() == record.resolve():
            console = node.console_log.name
            growing += [console, f"{console}.times", f"qemu-{name}.log", node.events_log.name]
    return growing
