"""``yoctovirt pins``: one module a verb, imported when it is called."""

from __future__ import annotations

import importlib

import click

#: Verb -> its line in ``--help``; ``pins NAME`` is in the module ``yoctovirt.cli.pins_NAME``.
PINS_VERBS = {
    "show": "List the releases and the commits that they pin.",
    "check": "Do the pinned layers fit together? Without bitbake, in a second.",
    "resolve": "Ask bitbake whether roles resolve on the pinned layers; keep the result.",
    "update": "Move pins along their branches, and say which commits that brings.",
    "export": "Write the pins of a release as a kas lock file.",
}


class PinsGroup(click.Group):
    """A group that imports a verb only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in the order of their use."""
        return list(PINS_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return the verb."""
        if cmd_name not in PINS_VERBS:
            return None
        command: click.Command = importlib.import_module(f"yoctovirt.cli.pins_{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the near matches of an unknown verb."""
        if args and args[0] not in PINS_VERBS and not args[0].startswith("-"):
            from yoctovirt.base.suggest import did_you_mean

            raise click.UsageError(
                f"there is no verb {args[0]!r}; {did_you_mean(args[0], PINS_VERBS)}", ctx
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Print the verbs without importing them."""
        with formatter.section("Verbs"):
            formatter.write_dl(list(PINS_VERBS.items()))


@click.group("pins", cls=PinsGroup)
def command() -> None:
    """Work on the pinned layers of the releases (yoctovirt pins VERB --help)."""
