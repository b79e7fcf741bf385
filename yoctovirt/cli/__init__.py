"""The command line: one module a verb, imported when it is called."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import click

from yoctovirt import __version__
from yoctovirt.cli.lazy import LazyGroup
from yoctovirt.errors import EXIT_BUG, EXIT_INTERRUPTED, EXIT_USAGE, YoctovirtError

#: Verb -> its line in ``--help``. The module of a verb is ``yoctovirt.cli.<verb>``, with
#: ``_`` for ``-``.
VERBS = {
    "build": "Build the images of roles.",
    "fetch": "Fetch all sources of a role, and say what could not be had.",
    "bundle": "Pack a built image into one file for another machine.",
    "boot": "Start the node of a built role and wait until it can be used.",
    "smoke": "Run the smoke suites on a node.",
    "ci": "Build, boot and smoke-test roles, write the report, give one exit code.",
    "pipeline": "Write a pipeline file for GitLab, GitHub or Jenkins.",
    "nodes": "List the running nodes of the workspace.",
    "ssh": "Log in on a node over SSH, or run a command on it.",
    "console": "Attach the terminal to the serial console of a node.",
    "copy": "Copy a file to a node or from it.",
    "logs": "Print or follow what the console of a node says.",
    "screenshot": "Take a picture of a node's display.",
    "stop": "Stop a running node.",
    "doctor": "Look whether this host can build and boot a role, with a remedy for each fault.",
    "config": "Print the complete kas configuration of a role.",
    "roles": "List the roles, what they promise and what they need.",
    "pins": "Work on the pinned layers: show, check, resolve, update, export.",
    "mirror": "Make a folder of mirrors that holds exactly what is pinned.",
    "sharing": "Measure what one role takes from the sstate of another.",
    "quick-lock": "Refresh the lock of the Debian packages of the role quick.",
    "runs": "Work on run records: list, show, compare, open, prune.",
    "verify": "Say whether a run record is what its statement (in-toto, SLSA) says.",
    "build-stats": "Show what a build did and where its time went, or compare two.",
    "warm": "List or drop the states that --warm has kept.",
    "clean": "Say what the workspace occupies, and free it.",
    "completion": "Print the completion script of a shell.",
}


@click.group(
    cls=LazyGroup,
    verbs=VERBS,
    prefix="yoctovirt.cli.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="yoctovirt")
@click.option(
    "--workspace",
    metavar="DIR",
    help="Folder with yoctovirt.yml (default: YOCTOVIRT_WORKSPACE, or upwards from here).",
)
@click.option(
    "--offline",
    is_flag=True,
    help="Ask no network; say what is missing (or YOCTOVIRT_OFFLINE=1).",
)
@click.pass_context
def cli(ctx: click.Context, workspace: str | None, offline: bool) -> None:
    """Take a virtualization role from pinned layers to a tested node.

    \b
    yoctovirt build reference        build an image
    yoctovirt boot reference         start it, print how to get in
    yoctovirt smoke reference        test it
    yoctovirt ci reference           all of that, with a report

    Exit codes: 0 all well, 1 checks failed, 2 wrong usage, 3 host or network,
    4 build, 5 boot, 130 interrupted, 70 a bug of yoctovirt.
    """  # noqa: D301 (click takes \\b for: leave this paragraph as it is)
    ctx.obj = {"workspace": workspace}
    if offline:
        os.environ["YOCTOVIRT_OFFLINE"] = "1"


def _on_signal(number: int, _frame: Any) -> None:
    # A second signal must not cut the clean-up of the first one short.
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def main(argv: list[str] | None = None) -> None:
    """Run the command line and exit with the code of the table in errors.py."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _on_signal)
    _mask_output()
    sys.exit(run(argv))


def _mask_output() -> None:
    """Let nothing that we print show a secret of the environment."""
    from yoctovirt.base.secrets import MaskedStream, secret_values

    if secret_values():
        stdout: Any = MaskedStream(sys.stdout)
        stderr: Any = MaskedStream(sys.stderr)
        sys.stdout, sys.stderr = stdout, stderr


def run(argv: list[str] | None = None) -> int:
    """Run the command line and return its exit code; errors are printed as two lines."""
    try:
        outcome = cli.main(args=argv, prog_name="yoctovirt", standalone_mode=False)
        return outcome if isinstance(outcome, int) else 0
    except YoctovirtError as error:
        print_error(error.message, error.hint)
        return error.exit_code
    except click.exceptions.Exit as error:
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        print("yoctovirt: interrupted", file=sys.stderr)  # noqa: T201
        return EXIT_INTERRUPTED
    except click.ClickException as error:
        error.show()
        return EXIT_USAGE
    except BrokenPipeError:
        # The reader of our output has gone (a pager, head): that is its right.
        sys.stderr.close()
        return 0
    except Exception:
        import traceback

        traceback.print_exc()
        print_error(
            "this is a bug of yoctovirt", "please report it with the lines above and the run record"
        )
        return EXIT_BUG


def print_error(message: str, hint: str) -> None:
    """Print an error as a person reads it: what happened, and what to do next."""
    click.echo(click.style("error: ", fg="red", bold=True) + message, err=True)
    if hint:
        click.echo(click.style("hint:  ", fg="yellow") + hint, err=True)
