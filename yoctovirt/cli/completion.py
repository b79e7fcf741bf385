"""``yoctovirt completion``."""

from __future__ import annotations

import click

_SHELLS = ("bash", "zsh", "fish")


@click.command("completion")
@click.argument("shell", type=click.Choice(_SHELLS))
def command(shell: str) -> None:
    """Print the completion script of SHELL; it asks yoctovirt itself for what fits.

    \b
    bash  eval "$(yoctovirt completion bash)"        in ~/.bashrc
    zsh   eval "$(yoctovirt completion zsh)"         in ~/.zshrc, behind compinit
    fish  yoctovirt completion fish | source         in ~/.config/fish/config.fish
    """  # noqa: D301
    from click.shell_completion import get_completion_class

    from yoctovirt.cli import cli

    made = get_completion_class(shell)
    assert made is not None
    click.echo(made(cli, {}, "yoctovirt", "_YOCTOVIRT_COMPLETE").source())
