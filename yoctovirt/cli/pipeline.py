"""``yoctovirt pipeline``."""

from __future__ import annotations

from pathlib import Path

import click

from yoctovirt.cli.common import command_line, load_checked_role, workspace_folder
from yoctovirt.cli.complete import machine_names, release_names, role_names, suite_list


@click.command("pipeline")
@click.argument("service", type=click.Choice(["gitlab", "github", "jenkins"]))
@click.argument("roles", nargs=-1, metavar="[ROLE]...", shell_complete=role_names)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write it there.")
@click.option(
    "--release",
    "releases",
    multiple=True,
    metavar="NAME",
    shell_complete=release_names,
    help="Releases (default: each role's); may be given several times.",
)
@click.option(
    "--machine",
    "machines",
    multiple=True,
    metavar="NAME",
    shell_complete=machine_names,
    help="Machines (default: each role's); may be given several times.",
)
@click.option("--image", metavar="IMAGE", help="Run the jobs in this container.")
@click.option("--build-runner", metavar="LABEL", help="Runners that build (tag, label).")
@click.option("--test-runner", metavar="LABEL", help="Runners that boot and test.")
@click.option("--kvm", is_flag=True, help="The runners that test have KVM.")
@click.option(
    "--store",
    metavar="DIR",
    help="Keep sources and sstate in this folder of the build "
    "runners, in place of the service's cache.",
)
@click.option(
    "--setup",
    multiple=True,
    metavar="COMMAND",
    help="What makes yoctovirt callable in a job (default: this repository's make).",
)
@click.option(
    "--suite",
    "suites",
    default="",
    metavar="A,B",
    shell_complete=suite_list,
    help="Run only these suites.",
)
@click.option(
    "--hours",
    type=click.IntRange(1),
    default=12,
    show_default=True,
    help="A job may take so long (one that tests 4 at most, one on hosted runners of GitHub 6).",
)
@click.pass_context
def command(
    ctx: click.Context,
    service: str,
    roles: tuple[str, ...],
    output: Path | None,
    releases: tuple[str, ...],
    machines: tuple[str, ...],
    image: str | None,
    build_runner: str | None,
    test_runner: str | None,
    kvm: bool,
    store: str | None,
    setup: tuple[str, ...],
    suites: str,
    hours: int,
) -> None:
    """Write a pipeline for a CI service: build and test jobs for each ROLE (default: reference).

    Each build job leaves a bundle, which its test job boots; a scheduled job moves the pins and
    asks for a merge. Printed, or written to the file that -o names.
    """  # fmt: skip
    from yoctovirt.base.files import write_atomically
    from yoctovirt.errors import UsageError
    from yoctovirt.pipeline.jobs import SETUP, Choices, choose_cells, jobs_of
    from yoctovirt.pipeline.services import FILES, pipeline_text
    from yoctovirt.smoke.catalog import choose_suites

    folder = workspace_folder(ctx)
    if len(set(roles)) != len(roles):
        raise UsageError("a role is named twice")
    if store is not None and not store.startswith("/"):
        raise UsageError(
            f"--store {store}: a folder of the build runners, by its whole path",
            "each job has a checkout of its own, in which it would lie",
        )
    known = [load_checked_role(name, folder) for name in roles or ("reference",)]
    choose_suites((), [name for name in suites.split(",") if name], workspace=folder)
    choices = Choices(
        image, build_runner, test_runner, kvm, store, setup or SETUP, suites, hours=hours
    )
    jobs = jobs_of(choose_cells(known, releases, machines), choices, service)
    text = pipeline_text(service, jobs, choices, command_line())
    if output is None:
        click.echo(text, nl=False)
        return
    if not output.absolute().parent.is_dir():
        raise UsageError(f"there is no folder {output.absolute().parent}", "make it first")
    write_atomically(output, text)
    click.echo(f"written: {output} ({len(jobs)} jobs; {service} looks for {FILES[service]})")
