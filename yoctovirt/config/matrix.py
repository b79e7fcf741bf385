"""Which cells there are: the matrix role x release x machine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from yoctovirt.base.suggest import did_you_mean
from yoctovirt.config.cells import Cell, choose_machine, machines
from yoctovirt.config.features import check_feature
from yoctovirt.config.kasfile import choose_release, releases
from yoctovirt.config.resolved import Results
from yoctovirt.config.roles import Role
from yoctovirt.errors import UsageError


def matrix(
    roles: Sequence[Role],
    release_names: Iterable[str] = (),
    machine_names: Iterable[str] = (),
    features: Iterable[str] = (),
) -> list[Cell]:
    """Return the cells of *roles*, on all releases and machines or the named ones.

    They are in the order in which they share most of bitbake's caches. Raises UsageError
    for an unknown release, machine or feature, with near matches.
    """
    named = list(dict.fromkeys(release_names))
    for name in named:
        if name not in releases():
            raise UsageError(f"there is no release {name!r}", did_you_mean(name, releases()))
    wanted_machines = list(dict.fromkeys(machine_names))
    features = tuple(dict.fromkeys(features))
    cells = []
    for role in roles:
        for feature in features:
            check_feature(role, feature)
        own = [choose_machine(role, name) for name in wanted_machines]
        cells += [
            Cell(role.name, release, machine, features)
            for release in named or releases()
            for machine in own or dict.fromkeys([role.machine, *machines()])
        ]
    # The default machine of all releases first: what is asked for most is known first.
    order = {role.machine: 0 for role in roles}
    return sorted(cells, key=lambda c: (order.get(c.machine, 1), c.machine, c.release, c.role))


def cell_of(
    role: Role, release: str | None, machine: str | None, features: Iterable[str] = ()
) -> Cell:
    """Return the cell that a call names; UsageError for an unknown part of it."""
    return Cell(
        role.name,
        choose_release(role, release),
        choose_machine(role, machine),
        tuple(dict.fromkeys(features)),
    )


def refuse_unresolved(
    role: Role,
    release: str | None,
    machine: str | None,
    features: Iterable[str],
    workspace: Path | None,
) -> None:
    """Raise UsageError with the reason where a call names a cell known not to resolve.

    What has not been checked, or was before a change, is not refused. *workspace* may
    hold results of its own.
    """
    cell = cell_of(role, release, machine, features)
    for feature in cell.features:
        check_feature(role, feature)
    Results(workspace).require(role, cell, matrix([role], features=cell.features))
