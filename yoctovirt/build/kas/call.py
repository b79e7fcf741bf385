"""What bitbake is asked to do, where that is more than the image of the role."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from yoctovirt.errors import UsageError

#: bitbake's task where none is named (``BB_DEFAULT_TASK``).
DEFAULT_TASK = "build"
#: Options of bitbake that are refused: option -> (short form, what to do).
_REFUSED = {
    "--cmd": ("-c", "use --task"),
    "--ui": ("-u", "yoctovirt reads what bitbake's interface 'knotty' prints"),
    "--write-log": ("-w", "the run record holds what bitbake said"),
    "--kill-server": ("-m", "a server that yoctovirt has started ends with the build"),
    "--server-only": ("", "yoctovirt starts the server, and ends it"),
    "--observe-only": ("", "yoctovirt starts the server, and ends it"),
    "--status-only": ("", "yoctovirt starts the server, and ends it"),
    "--bind": ("-B", "yoctovirt starts the server, and ends it"),
    "--remote-server": ("", "yoctovirt starts the server, and ends it"),
}
#: Options with which bitbake makes no image: it answers a question, or runs some tasks only.
_NO_IMAGE = {
    "--dry-run": "-n", "--parse-only": "-p", "--show-versions": "-s", "--environment": "-e",
    "--graphviz": "-g", "--help": "-h", "--version": "",
}  # fmt: skip
_NO_IMAGE_WITH_VALUE = {
    "--dump-signatures": "-S", "--runall": "", "--runonly": "", "--buildfile": "-b",
}  # fmt: skip
#: Others that take a value: it must not be taken for an option of its own.
_WITH_VALUE = {
    "--clear-stamp": "-C", "--read": "-r", "--postread": "-R", "--ignore-deps": "-I",
    "--log-domains": "-l", "--idle-timeout": "-T", "--token": "", "--servertype": "-t",
}  # fmt: skip


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"arguments for bitbake: {message}", "see 'bitbake --help'")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="bitbake", add_help=False, allow_abbrev=False)

    def add(name: str, short: str, **how: str | int) -> None:
        parser.add_argument(*filter(None, (short, name)), **how)  # type: ignore[arg-type]

    for name, (short, _) in _REFUSED.items():
        flag = name.endswith(("-only", "-server")) and name != "--remote-server"
        add(name, short, **({"action": "store_true"} if flag else {}))
    for name, short in _NO_IMAGE.items():
        add(name, short, action="store_true")
    for name, short in (_NO_IMAGE_WITH_VALUE | _WITH_VALUE).items():
        add(name, short)
    # Without these, a cluster such as -kn would be one unknown word.
    for name in ("-k", "-f", "-v", "-q", "-P", "-D", "-d"):
        parser.add_argument(name, action="count")
    return parser


@dataclass(frozen=True)
class BitbakeCall:
    """What a call asks of bitbake beside the role's own target."""

    keep_going: bool = False  #: ``bitbake -k``
    targets: tuple[str, ...] = ()  #: in place of the role's
    task: str | None = None  #: ``bitbake -c``
    arguments: tuple[str, ...] = ()  #: handed on as they are

    def names_anything(self) -> bool:
        """Whether the call asks for anything that only bitbake can do."""
        return bool(self.targets or self.task or self.arguments)

    def check(self) -> None:
        """Raise UsageError for an argument of bitbake that a build cannot do with."""
        for name in (self.task, *self.targets):
            if name is not None and (
                not name or name.startswith("-") or any(map(str.isspace, name))
            ):
                raise UsageError(f"{name!r} is no name of a task or target")
        given = vars(_parser().parse_known_args(list(self.arguments))[0])
        for name, (short, advice) in _REFUSED.items():
            if given[name.strip("-").replace("-", "_")]:
                shown = f"{short} ({name})" if short else name
                raise UsageError(f"bitbake's option {shown} cannot be handed on", advice)

    def makes_image(self, target: str | Sequence[str]) -> bool:
        """Whether the image *target* of the role (``target`` of the kas file) is built whole."""
        own = {target} if isinstance(target, str) else set(target)
        if self.task and self.task.removeprefix("do_") != DEFAULT_TASK:
            return False
        if self.targets and not own <= set(self.targets):
            return False
        given = vars(_parser().parse_known_args(list(self.arguments))[0])
        names = (*_NO_IMAGE, *_NO_IMAGE_WITH_VALUE)
        return not any(given[name.strip("-").replace("-", "_")] for name in names)

    def kas_words(self, source: str, more: Sequence[str] = ()) -> list[str]:
        """Return the arguments of ``kas build`` behind its ``--skip`` options.

        *more* are arguments of bitbake of our own.
        """
        words = [f"--target={name}" for name in self.targets]
        if self.task:
            words.append(f"--task={self.task}")
        handed_on = [*more, *self._handed_on()]
        return [*words, source, *(["--", *handed_on] if handed_on else [])]

    def bitbake_words(self, target: str | Sequence[str], more: Sequence[str] = ()) -> list[str]:
        """Return the call of bitbake that kas makes of it, with the arguments *more* of ours."""
        own = [target] if isinstance(target, str) else list(target)
        task = self.task or DEFAULT_TASK
        return ["bitbake", "-c", task, *more, *self._handed_on(), *(self.targets or own)]

    def _handed_on(self) -> list[str]:
        return [*(["-k"] if self.keep_going else []), *self.arguments]

    def described(self, target: str | Sequence[str]) -> str:
        """Return what bitbake is to build, as a person reads it."""
        own = [target] if isinstance(target, str) else list(target)
        task = f" do_{self.task.removeprefix('do_')}" if self.task else ""
        return ", ".join(f"{name}{task}" for name in self.targets or own)
