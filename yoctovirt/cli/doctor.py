"""``yoctovirt doctor``."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from yoctovirt.cli.common import load_checked_role, offline_option, planned_workspace_of
from yoctovirt.cli.complete import machine_names, release_names, role_names

if TYPE_CHECKING:
    from yoctovirt.config.roles import Role
    from yoctovirt.config.workspace import Workspace
    from yoctovirt.doctor.result import Result
    from yoctovirt.doctor.subject import Subject

_COLOURS = {"ok": "green", "warning": "yellow", "error": "red", "not checked": "bright_black"}
#: Order of the families in the table.
_FAMILIES = ("disk", "resources", "user", "host", "tools", "git", "boot", "clock", "network")


@click.command("doctor")
@click.argument("role", required=False, metavar="[ROLE]", shell_complete=role_names)
@click.option(
    "--release", metavar="NAME", shell_complete=release_names, help="Release (default: the role's)."
)
@click.option(
    "--machine", metavar="NAME", shell_complete=machine_names, help="Machine (default: the role's)."
)
@click.option("--build-user", metavar="NAME", help="As root: look at the host as this user.")
@click.option("--ssh-port", type=click.IntRange(1, 65535), help="Is this port free for a node?")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
@offline_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    role: str | None,
    release: str | None,
    machine: str | None,
    build_user: str | None,
    ssh_port: int | None,
    as_json: bool,
) -> None:
    """Look whether this host can build and boot ROLE, and say what to do where it cannot.

    Without ROLE: what a build of any role needs, by the release of the role quick. Nothing is
    changed. Exit code 0 without errors, 3 with.
    """
    from yoctovirt.doctor.checks import examination
    from yoctovirt.doctor.reach import checkouts, reach
    from yoctovirt.errors import EXIT_INFRASTRUCTURE

    workspace = planned_workspace_of(ctx)
    found = load_checked_role(role or "quick", workspace.path)
    subject = _subject(found, workspace, role or "", release, machine, build_user)
    pins = _pins(found, subject)
    layers = workspace.path / "layers" / (subject.release or "-")
    demands = _demands(subject, pins)
    results = examination(subject, demands, checkouts(pins, layers), ssh_port)
    results += reach(subject, pins)
    results.sort(key=lambda one: _FAMILIES.index(one.family))
    if as_json:
        click.echo(json.dumps(_as_json(subject, results), indent=1))
    else:
        _print(subject, results)
    if any(one.status == "error" for one in results):
        ctx.exit(EXIT_INFRASTRUCTURE)


def _subject(
    role: Role,
    workspace: Workspace,
    shown: str,
    release: str | None,
    machine: str | None,
    build_user: str | None,
) -> Subject:
    from yoctovirt.build.kas.builder import build_dir_for
    from yoctovirt.build.kas.preflight import account_of, make_subject
    from yoctovirt.build.kas.user import choose_build_user
    from yoctovirt.config.cells import choose_machine
    from yoctovirt.config.kasfile import choose_release
    from yoctovirt.config.site import cache_folders, load_site
    from yoctovirt.errors import InfrastructureError, UsageError

    if role.builder == "debian":
        if release or machine or build_user:
            raise UsageError(
                f"role {role.name} is made of Debian packages",
                "--release, --machine and --build-user are for roles of the kas builder",
            )
        from yoctovirt.build.debian.preflight import make_subject as debian_subject

        return debian_subject(role, workspace.cache_dir, workspace.path)
    chosen = choose_release(role, release)
    build_dir = build_dir_for(workspace, role.name, chosen)
    account = None
    # Root, and nobody is named: that is a result of the checks.
    with suppress(InfrastructureError):
        account = account_of(choose_build_user(build_user))
    fresh = not list(build_dir.glob("tmp*"))
    named = choose_machine(role, machine)
    return make_subject(
        role, workspace, chosen, named, account, build_dir, fresh, shown=shown,
        caches=cache_folders(load_site(workspace.path), workspace.path),
    )  # fmt: skip


def _pins(role: Role, subject: Subject) -> list[Any]:
    """Return the repositories that the role takes layers of."""
    if subject.release is None:
        return []
    from yoctovirt.config.cells import kas_files, merged
    from yoctovirt.config.layers import pins_of

    return pins_of(merged(role, kas_files(role, subject.release, subject.machine)))


def _demands(subject: Subject, pins: Sequence[Any]) -> Any:
    """Return what the release demands: of its checkout, of a mirror, else as stored."""
    from yoctovirt.doctor.checks import core_folder, demands_of
    from yoctovirt.doctor.reach import demands_of_mirrors

    if subject.builder != "kas" or core_folder(subject):
        return demands_of(subject)
    return demands_of_mirrors(subject, pins) or demands_of(subject)


def _counts(results: Sequence[Result]) -> dict[str, int]:
    return {status: sum(one.status == status for one in results) for status in _COLOURS}


def _as_json(subject: Subject, results: Sequence[Result]) -> dict[str, Any]:
    from yoctovirt.doctor.resources import cpu_count, proposal, read_memory

    memory, cpus = read_memory(), cpu_count()
    threads, jobs = proposal(memory, cpus)
    return {
        "format": 1,
        "role": subject.role or None,
        "builder": subject.builder,
        "release": subject.release,
        "machine": subject.machine,
        "workspace": str(subject.workspace),
        "host": {"cpus": cpus, "memory_bytes": memory.total, "swap_bytes": memory.swap},
        "proposal": {"BB_NUMBER_THREADS": threads, "PARALLEL_MAKE": f"-j {jobs}"},
        "counts": _counts(results),
        "results": [one.as_json() for one in results],
    }


def _print(subject: Subject, results: Sequence[Result]) -> None:
    what = f"a build of {subject.role}" if subject.role else "builds"
    on = f" on {subject.release}" if subject.release else ""
    click.echo(f"this host, for {what}{on} in {subject.workspace}")
    name_width = max(len(one.check) for one in results)
    status_width = max(map(len, _COLOURS))
    indent = " " * (status_width + name_width + 4)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    for one in results:
        mark = click.style(f"{one.status:{status_width}}", fg=_COLOURS[one.status])
        click.echo(f"{mark}  {one.check:{name_width}}  {_wrapped(one.message, indent, width)}")
        if one.remedy and one.status != "ok":
            arrow = click.style("->", fg=_COLOURS[one.status])
            click.echo(f"{indent}{arrow} {_wrapped(one.remedy, indent + '   ', width)}")
    counts = _counts(results)
    click.echo(", ".join(f"{number} {status}" for status, number in counts.items() if number))


def _wrapped(text: str, indent: str, width: int) -> str:
    """Return *text* for the columns right of *indent*; whole where it goes into a pipe."""
    room = width - len(indent)
    if width == 0 or room < 30:
        return text
    lines = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False)
    return f"\n{indent}".join(lines)
