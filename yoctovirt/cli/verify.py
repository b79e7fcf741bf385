"""``yoctovirt verify``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from yoctovirt.cli.common import workspace_of
from yoctovirt.cli.complete import role_names, run_ids
from yoctovirt.errors import EXIT_CHECKS_FAILED


@click.command("verify")
@click.argument("run", required=False, shell_complete=run_ids)
@click.option(
    "--role", metavar="ROLE", shell_complete=role_names, help="The newest run of this role."
)
@click.option(
    "--deploy-dir",
    type=click.Path(path_type=Path),
    help="Where the files of the image are (default: where the run had them, if they are there).",
)
@click.option("--skip-images", is_flag=True, help="Look at the record alone: images are large.")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
@click.pass_context
def command(
    ctx: click.Context,
    run: str | None,
    role: str | None,
    deploy_dir: Path | None,
    skip_images: bool,
    as_json: bool,
) -> int:
    """Compare the record of RUN (default: the newest) with its statement, provenance.json.

    Files that are missing, altered or added; verdicts in which junit.xml and run.json differ;
    the image's files, where they are at hand. Exit code 1: the record is not what was stated.
    """
    from yoctovirt.errors import UsageError
    from yoctovirt.report.runs import find_run
    from yoctovirt.report.verify import check_deploy_dir, verify_record

    check_deploy_dir(deploy_dir)
    if deploy_dir is not None and skip_images:
        raise UsageError("--deploy-dir and --skip-images exclude each other")
    folder = find_run(workspace_of(ctx).runs, run, role).folder
    found = verify_record(folder, deploy_dir, images=not skip_images)
    if as_json:
        click.echo(
            json.dumps(
                {
                    "run": folder.name,
                    "good": not found.faults,
                    "files": found.files,
                    "images": found.images,
                    "faults": [{"of": what, "wrong": wrong} for what, wrong in found.faults],
                    "notes": found.notes,
                },
                indent=2,
            )
        )
    else:
        for what, wrong in found.faults:
            click.echo(f"{click.style('WRONG', fg='red')}  {what}: {wrong}")
        for note in found.notes:
            click.echo(f"note   {note}")
        number = len(found.faults)
        verdict = f"{number} {'fault' if number == 1 else 'faults'}" if number else "good"
        click.echo(
            f"{folder.name}: {verdict}; as stated: {found.files} files of the record, "
            f"{found.images} of the image"
        )
    return EXIT_CHECKS_FAILED if found.faults else 0
