"""Where ``ci`` takes an image from: a build here, or a bundle of another machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from yoctovirt.build.unbundle import open_bundle, read_index
from yoctovirt.cli.flow import build_phase, note_image
from yoctovirt.cli.images import checked_role_of
from yoctovirt.cli.retry import with_retries
from yoctovirt.errors import UsageError

if TYPE_CHECKING:
    from yoctovirt.base.record import RunRecord
    from yoctovirt.base.screen import Screen
    from yoctovirt.build.builders import Built
    from yoctovirt.cli.ci_options import Options
    from yoctovirt.config.roles import Role
    from yoctovirt.config.workspace import Workspace


def bundled_roles(paths: Sequence[Path], workspace: Path) -> dict[str, tuple[Path, Role]]:
    """Return file and role of each bundle in *paths*, by the name of the role.

    Only their indices are read. Raises UsageError for what is no bundle, has no role, or has
    that of another one.
    """
    found: dict[str, tuple[Path, Role]] = {}
    for path in paths:
        role = checked_role_of(read_index(path, verify=False), path, workspace)
        if role is None:
            raise UsageError(
                f"the bundle {path} holds an image without a role",
                f"yoctovirt smoke --from {path}",
            )
        if role.name in found:
            raise UsageError(f"{found[role.name][0]} and {path} are both of role {role.name}")
        found[role.name] = path, role
    return found


def roles_in_bundles(
    named: Sequence[str], bundles: dict[str, tuple[Path, Role]]
) -> dict[str, Role]:
    """Return the roles *named*, all of them from *bundles*.

    Raises UsageError for one that is in none: it would be built here, which takes hours.
    """
    lacking = [name for name in named if name not in bundles]
    if lacking:
        raise UsageError(
            f"no bundle is of role {lacking[0]}; they are of: {', '.join(bundles)}",
            "name one of them, or give its bundle with another --from",
        )
    return {name: bundles[name][1] for name in named}


def image_phase(
    record: RunRecord, workspace: Workspace, role: Role, how: Options, screen: Screen
) -> Built:
    """Build the image of *role*, or unpack its bundle, as a phase of *record*."""
    bundle = how.bundles.get(role.name)
    if bundle is not None:
        return _unpack_phase(record, workspace, bundle, screen)
    return with_retries(
        record, screen, how.retry,
        lambda: build_phase(record, workspace, role, screen, force=how.force, options=how.build),
    )  # fmt: skip


def _unpack_phase(record: RunRecord, workspace: Workspace, path: Path, screen: Screen) -> Built:
    with record.phase("unpack") as details, screen.step(f"unpack {path}"):
        details["bundle"] = str(path)
        bundle = open_bundle(path, workspace.bundles)
        details.update(bundle.details())
        built = bundle.built()
    note_image(record, built)
    return built
