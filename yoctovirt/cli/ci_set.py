"""``yoctovirt ci`` of several nodes: built one after the other, booted together, each tested."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import click

from yoctovirt.base.record import exit_code_of
from yoctovirt.boot.launcher import BootRequest
from yoctovirt.cli import print_error
from yoctovirt.cli.annotate import tell_ci
from yoctovirt.cli.ci_image import image_phase
from yoctovirt.cli.closing import state
from yoctovirt.cli.common import reported
from yoctovirt.cli.flow import note_image, note_unreached, smoke_phase
from yoctovirt.cli.table import print_verdicts
from yoctovirt.cli.together import plan_set, set_phase
from yoctovirt.errors import YoctovirtError, combined_exit_code
from yoctovirt.report.html import write_together

if TYPE_CHECKING:
    from yoctovirt.base.record import RunRecord
    from yoctovirt.base.screen import Screen
    from yoctovirt.boot.together import NodeSet, SetOptions
    from yoctovirt.build.builders import Built
    from yoctovirt.cli.choice import Checks
    from yoctovirt.cli.ci_options import Options
    from yoctovirt.config.roles import Role
    from yoctovirt.config.workspace import Workspace


class _Part:
    """One node with the record of its own run."""

    def __init__(self, workspace: Workspace, name: str, role: Role, how: Options) -> None:
        self.name, self.role = name, role
        self._workspace, self._how = workspace, how
        self.built: Built | None = None
        self.error: BaseException | None = None
        self._context: AbstractContextManager[RunRecord] = reported(workspace, name, role.name)
        self.record = self._context.__enter__()
        self.record.data["until"] = how.ends_early

    def close(self) -> int:
        """Finish the record, write its reports; return the exit code."""
        note_unreached(self.record, self.role.promises, self._workspace, **self._how.checks.suites)
        print_verdicts(self.record.data)
        error = self.error
        self._context.__exit__(type(error) if error else None, error, None)
        tell_ci(self._how.tell, self.record.data)
        return exit_code_of(error) if error else 0


def ci_set(
    workspace: Workspace,
    nodes: Sequence[tuple[str, Role]],
    how: Options,
    options: SetOptions,
    screen: Screen,
) -> int:
    """Run the pipe for *nodes*, pairs of name and role; return the one exit code.

    A record is written for each node. What could not be built is left out of the set.
    """
    plan_set([(name, role.name) for name, role in nodes], options)
    parts = [_Part(workspace, name, role, how) for name, role in nodes]
    try:
        _build(workspace, parts, how, screen)
        ready = [part for part in parts if part.error is None]
        if ready and how.until != "build":
            _boot_and_smoke(workspace, ready, how, options, screen)
    except BaseException as error:
        for part in parts:
            part.error = part.error or error
        if not isinstance(error, YoctovirtError | KeyboardInterrupt):
            raise
    finally:
        codes = [part.close() for part in parts]
    if len(parts) > 1:
        together = write_together([part.record.path for part in parts])
        state(workspace, parts[0].record.path)
        click.echo(f"report of all nodes: {together}")
    _print_errors(parts)
    return combined_exit_code(codes)


def _print_errors(parts: Sequence[_Part]) -> None:
    told: list[BaseException] = []
    for part in parts:
        if part.error is None or part.error in told:
            continue
        told.append(part.error)
        if isinstance(part.error, YoctovirtError):
            print_error(part.error.message, part.error.hint)
        elif isinstance(part.error, KeyboardInterrupt):
            click.echo("yoctovirt: interrupted", err=True)


def _build(workspace: Workspace, parts: Sequence[_Part], how: Options, screen: Screen) -> None:
    """Build each role once; an image that cannot be built is the error of its nodes."""
    first: dict[str, _Part] = {}
    for part in parts:
        earlier = first.setdefault(part.role.name, part)
        try:
            if earlier is part:
                part.built = image_phase(part.record, workspace, part.role, how, screen)
            else:
                name = "unpack" if part.role.name in how.bundles else "build"
                with part.record.phase(name) as details:
                    details["same_image_as"] = earlier.name
                    if earlier.error is not None:
                        raise earlier.error
                assert earlier.built is not None
                part.built = earlier.built
                note_image(part.record, part.built)
        except YoctovirtError as error:
            part.error = error


def _boot_and_smoke(
    workspace: Workspace,
    parts: Sequence[_Part],
    how: Options,
    options: SetOptions,
    screen: Screen,
) -> None:
    requests = []
    for part in parts:
        assert part.built is not None
        requests.append(
            BootRequest(
                workspace, part.built.deploy, part.role, part.name, how.boot,
                part.record.path, part.built.runqemu,
            )
        )  # fmt: skip
    members = plan_set([(part.name, part.role.name) for part in parts], options)
    records = [part.record for part in parts]
    with set_phase(records, requests, members, options, screen) as found:
        with found.watched():
            for part in parts if how.until == "smoke" else ():
                _smoke(workspace, part, found, screen, how.checks)
        verdict = found.verdict()
    for part in parts:
        unfinished = part.name in found.stopped and (
            part.error is not None or (how.until == "smoke" and not part.record.data["checks"])
        )
        if part.name in found.died or unfinished:
            part.error = verdict


def _smoke(
    workspace: Workspace, part: _Part, found: NodeSet, screen: Screen, checks: Checks
) -> None:
    launch = found.alive.get(part.name)
    if launch is None:
        return
    peers = [other.node for name, other in found.alive.items() if name != part.name]
    try:
        smoke_phase(part.record, workspace, [launch.node], screen, **checks.keywords(), peers=peers)
    except YoctovirtError as error:
        part.error = error
