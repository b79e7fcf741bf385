"""What a call of ``ci`` is going to do, printed before it begins."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from yoctovirt.cli.ci_options import PHASES, Options
from yoctovirt.config.roles import Role
from yoctovirt.config.workspace import Workspace
from yoctovirt.errors import YoctovirtError

if TYPE_CHECKING:
    from yoctovirt.boot.hosts import Host
    from yoctovirt.boot.together import SetOptions


def print_plan(
    workspace: Workspace,
    nodes: Sequence[tuple[str, Role]],
    hosts: Sequence[tuple[Host, Role | None]],
    how: Options,
    together: SetOptions | None,
) -> None:
    """Print phases, images, nodes and suites; where *together*, the nodes are booted as a set."""
    first = "unpack" if how.bundles else "build"
    phases = [first, *PHASES[1:]][: PHASES.index(how.until) + 1]
    names = [name for name, _ in nodes]
    click.echo(f"plan:    {', '.join(phases) if nodes else 'reach, smoke'}")
    if together is not None and how.until != "build":
        click.echo(f"nodes:   {', '.join(names)} at once, joined by: {together.net}")
    elif len(names) > 1:
        click.echo(f"nodes:   {', '.join(names)}, one after the other")
    for name, role in nodes:
        _print_node(workspace, name, role, how)
    for host, found in hosts:
        click.echo(f"host:    {host.name}" + (f" as {found.name}" if found else ""))
        _print_suites(workspace, found.promises if found else (), how)
    if how.retry.times:
        click.echo(
            f"retries: {how.retry.times} where the network or a mirror fails, the first after "
            f"{how.retry.wait:.0f} s"
        )
    click.echo(f"records: {workspace.runs}")
    click.echo()


def _print_node(workspace: Workspace, name: str, role: Role, how: Options) -> None:
    label = name if name == role.name else f"{name} (role {role.name})"
    click.echo(f"node:    {label}, {_image(role, how)}")
    if how.until == "build":
        return
    memory = how.boot.memory or role.node.memory
    click.echo(f"         {memory} MiB, {how.boot.cpus or role.node.cpus} CPUs at least, "
               f"{_accelerator(workspace, role, how)}")  # fmt: skip
    if how.until == "smoke":
        _print_suites(workspace, role.promises, how)


def _image(role: Role, how: Options) -> str:
    bundle = how.bundles.get(role.name)
    if bundle is not None:
        return f"image of the bundle {shlex.quote(str(bundle))}"
    if role.builder == "debian":
        return "made of Debian packages" + (", anew" if how.force else "")
    from yoctovirt.config.kasfile import choose_release

    release = choose_release(role, how.build.release)
    machine = how.build.machine or role.machine
    words = [f"built by kas: release {release}, machine {machine}"]
    if how.build.features:
        words.append(f"features {', '.join(how.build.features)}")
    if how.build.extra:
        words.append(f"with {', '.join(map(str, how.build.extra))}")
    if how.build.container:
        words.append(f"in a container ({how.build.container})")
    return ", ".join(words)


def _accelerator(workspace: Workspace, role: Role, how: Options) -> str:
    """Return what QEMU will use; what keeps KVM from it is said at the boot, too."""
    from yoctovirt.boot.accel import choose_accelerator

    machine = how.build.machine or role.machine
    qemu = "qemu-system-aarch64" if "arm64" in machine else "qemu-system-x86_64"
    try:
        found = choose_accelerator(how.boot.kvm, qemu, workspace.cache_dir, how.boot.timeout_scale)
    except YoctovirtError as error:
        return f"no accelerator: {error.message}"
    return f"{found.name} ({found.reason})"


def _print_suites(workspace: Workspace, promises: Sequence[str], how: Options) -> None:
    from yoctovirt.smoke.catalog import choose_suites

    choice: dict[str, Any] = how.checks.suites
    chosen, _ = choose_suites(promises, **choice, workspace=workspace.path)
    count = sum(len(suite.checks) for suite in chosen)
    only = f", of them those that match {how.checks.expression!r}" if how.checks.expression else ""
    names = ", ".join(suite.name for suite in chosen) or "none"
    click.echo(f"         suites: {names} ({count} checks{only})")
