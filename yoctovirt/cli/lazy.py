"""Groups of verbs whose modules are imported when they are called: ``--help`` is immediate."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click


class LazyGroup(click.Group):
    """A group whose verb NAME is ``command`` of the module *prefix* + NAME, ``_`` for ``-``.

    *verbs* has the line of each in ``--help``, in the order of their use.
    """

    def __init__(self, *args: Any, verbs: Mapping[str, str], prefix: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._verbs = dict(verbs)
        self._prefix = prefix

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in the order of their use."""
        return list(self._verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return the verb."""
        if cmd_name not in self._verbs:
            return None
        module = importlib.import_module(self._prefix + cmd_name.replace("-", "_"))
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the near matches of an unknown verb."""
        if args and args[0] not in self._verbs and not args[0].startswith("-"):
            from yoctovirt.base.suggest import did_you_mean

            raise click.UsageError(
                f"there is no verb {args[0]!r}; {did_you_mean(args[0], self._verbs)}", ctx
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Print the verbs without importing them."""
        with formatter.section("Verbs"):
            formatter.write_dl(list(self._verbs.items()))
