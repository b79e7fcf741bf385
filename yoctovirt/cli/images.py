"""Which image a verb is about: built here, built elsewhere, or from a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from yoctovirt.cli.common import Function, load_checked_role

if TYPE_CHECKING:
    from yoctovirt.boot.node import Node
    from yoctovirt.build.builders import Built
    from yoctovirt.config.roles import Role
    from yoctovirt.config.workspace import Workspace


def image_options(function: Function) -> Function:
    """Add the options that choose an image built elsewhere."""
    for option in (
        click.option(
            "--from",
            "bundle",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Use the image in this file of 'yoctovirt bundle'.",
        ),
        click.option("--image", metavar="NAME", help="Image of the deploy directory."),
        click.option(
            "--deploy-dir",
            type=click.Path(path_type=Path),
            help="Use images that were built elsewhere.",
        ),
    ):
        function = option(function)
    return function


def choose_image(
    workspace: Workspace,
    role_name: str | None,
    deploy_dir: Path | None,
    image: str | None,
    bundle: Path | None = None,
) -> tuple[Built, Role | None]:
    """Return the image to boot and its role.

    Without a role: the one that the bundle or the deploy directory names, or the one built last.
    """
    from yoctovirt.build.builders import Built, last_built, what_was_built
    from yoctovirt.build.deploydir import check_sums, open_deploy_dir
    from yoctovirt.config.features import with_features
    from yoctovirt.config.roles import role_files
    from yoctovirt.errors import UsageError

    if bundle is not None:
        if deploy_dir is not None or image is not None:
            raise UsageError(
                f"--from and {'--deploy-dir' if deploy_dir else '--image'} exclude each other",
                "a bundle holds one image: leave one of them away",
            )
        return choose_bundled(workspace, role_name, bundle)
    if deploy_dir is None:
        role = load_checked_role(role_name or last_built(workspace), workspace.path)
        done = what_was_built(role, workspace)
        return done, with_features(role, done.features)
    built = Built(open_deploy_dir(deploy_dir, image))
    check_sums(built.deploy)
    named = role_name or built.deploy.testdata.get("YOCTOVIRT_ROLE")
    if named is None or (role_name is None and named not in role_files(workspace.path)):
        return built, None
    return built, load_checked_role(named, workspace.path)


def choose_bundled(
    workspace: Workspace, role_name: str | None, path: Path
) -> tuple[Built, Role | None]:
    """Return the image in the bundle *path* and its role, which the bundle itself describes.

    Raises UsageError where that is not *role_name*.
    """
    from yoctovirt.build.unbundle import open_bundle, read_index
    from yoctovirt.errors import UsageError

    role = checked_role_of(read_index(path, verify=False), path, workspace.path)
    if role_name is not None and role_name != (role.name if role else None):
        holds = f"an image of role {role.name}" if role else "an image without a role"
        raise UsageError(
            f"the bundle {path} holds {holds}, not of {role_name}",
            "leave the role away: the bundle says it",
        )
    return open_bundle(path, workspace.bundles).built(), role


def checked_role_of(index: dict[str, Any], path: Path, workspace: Path | None) -> Role | None:
    """Return the role of the bundle *path* with *index*; its promises are known here."""
    from yoctovirt.build.unbundle import role_of
    from yoctovirt.smoke.catalog import check_promises

    role = role_of(index, path)
    if role is not None:
        check_promises(role.promises, str(path), workspace)
    return role


def image_of_nodes(workspace: Workspace, nodes: Sequence[Node]) -> Built | None:
    """Return the image that all of *nodes* run, None where they differ or it is gone.

    What is known of its release and configuration comes with it as long as nothing newer was
    built of its role.
    """
    from yoctovirt.build.builders import Built, what_was_built
    from yoctovirt.build.deploydir import open_deploy_dir
    from yoctovirt.config.roles import load_role
    from yoctovirt.errors import YoctovirtError

    images = {(node.state.deploy_dir, node.state.image) for node in nodes}
    if len(images) != 1 or not all(node.has_image for node in nodes):
        return None
    ((folder, image),) = images
    try:
        built = Built(open_deploy_dir(Path(folder), image))
    except YoctovirtError:
        return None
    role = nodes[0].state.role
    try:
        last = what_was_built(load_role(role, workspace.path), workspace) if role else None
    except YoctovirtError:
        return built
    same = last is not None and last.deploy.rootfs.resolve() == built.deploy.rootfs.resolve()
    return last if same else built
