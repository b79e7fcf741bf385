"""What a suite says of itself, read from its modules without importing them."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yoctovirt.errors import UsageError

#: Seconds of a check that names no deadline of its own, before the accelerator's factor.
DEFAULT_DEADLINE = 120.0

#: Constants that a module of a suite may have, with the type of each.
_CONSTANTS: dict[str, type] = {
    "PROMISES": tuple,  # run where the role promises one of these (default: the suite's name)
    "COMMANDS": tuple,  # commands of which one must be on the node where it is promised
    "ALWAYS": bool,  # run on every node, whatever the role promises
    "ALONE": bool,  # run beside no other suite, after all others
    "UNITS": tuple,  # whose journals are kept where a check fails
    "DIAGNOSTICS": tuple,  # commands whose output is kept where a check fails
}


@dataclass(frozen=True)
class Check:
    """A check as ``--list`` shows it."""

    id: str  #: ``suite::check``, without the parameters that a node decides on
    title: str  #: first line of its docstring
    deadline: float  #: seconds, before the accelerator's factor
    path: Path  #: of its module
    nodes: int = 1  #: how many nodes it needs
    nodes_promise: str = ""  #: what each of these must promise


@dataclass(frozen=True)
class Suite:
    """Checks of one subsystem: ``test_<suite>.py``, more of it in ``test_<suite>__<part>.py``."""

    name: str
    title: str
    paths: tuple[Path, ...]
    checks: tuple[Check, ...]
    promises: tuple[str, ...]
    commands: tuple[str, ...] = ()
    always: bool = False
    alone: bool = False
    units: tuple[str, ...] = ()
    diagnostics: tuple[str, ...] = ()


def suite_of(path: Path) -> str:
    """Return the name of the suite that the module *path* belongs to."""
    return path.stem.removeprefix("test_").partition("__")[0].replace("_", "-")


def read_suites(modules: Iterable[Path]) -> dict[str, Suite]:
    """Return the suites in *modules* by name.

    Raises UsageError for a module that is no Python, or says of itself what cannot be.
    """
    parts: dict[str, list[Path]] = {}
    modules = list(modules)
    for path in modules:
        if not path.name.startswith("test_"):
            raise UsageError(f"{path} is no smoke suite: its name does not begin with test_")
    for path in sorted(modules, key=lambda path: path.stem):
        known = parts.setdefault(suite_of(path), [])
        if known and known[0].parent != path.parent:
            raise UsageError(
                f"there are two smoke suites {suite_of(path)}: {known[0]} and {path}",
                "give yours another name: that of the file, test_<suite>.py",
            )
        known.append(path)
    return {name: _read_suite(name, paths) for name, paths in sorted(parts.items())}


def _read_suite(name: str, paths: list[Path]) -> Suite:
    said: dict[str, Any] = {}
    titles: list[str] = []
    checks: list[Check] = []
    for path in paths:
        tree = _parse(path)
        titles.append((ast.get_docstring(tree) or "").partition("\n")[0])
        for item in tree.body:
            if isinstance(item, ast.FunctionDef) and item.name.startswith("test_"):
                title = (ast.get_docstring(item) or "").partition("\n")[0]
                identity = f"{name}::{item.name.removeprefix('test_')}"
                seconds = _mark(item, "deadline", DEFAULT_DEADLINE)
                count, each = int(_mark(item, "nodes", 1)), _promise_of_nodes(item)
                checks.append(Check(identity, title, seconds, path, count, each))
            elif isinstance(item, (ast.Assign, ast.AnnAssign)):
                said.update(_constant(item, path))
    return Suite(
        name,
        titles[0].removeprefix(f"Suite {name}:").strip(),
        tuple(paths),
        tuple(checks),
        promises=said.get("PROMISES", (name,)),
        commands=said.get("COMMANDS", ()),
        always=said.get("ALWAYS", False),
        alone=said.get("ALONE", False),
        units=said.get("UNITS", ()),
        diagnostics=said.get("DIAGNOSTICS", ()),
    )


def _parse(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_text(encoding="utf-8"), str(path))
    except (SyntaxError, ValueError, OSError) as error:
        raise UsageError(
            f"{path} is no smoke suite: {error}", "a suite is a pytest module in Python"
        ) from error


def _mark(item: ast.FunctionDef, name: str, default: float) -> float:
    """Return the number in a decorator ``@pytest.mark.NAME(NUMBER)``."""
    for decorator in item.decorator_list:
        if (
            isinstance(decorator, ast.Call)
            and isinstance(decorator.func, ast.Attribute)
            and decorator.func.attr == name
            and decorator.args
            and isinstance(decorator.args[0], ast.Constant)
        ):
            return float(decorator.args[0].value)  # type: ignore[arg-type]
    return default


def _promise_of_nodes(item: ast.FunctionDef) -> str:
    """Return WORD of a decorator ``@pytest.mark.nodes(2, promise="WORD")``."""
    for decorator in item.decorator_list:
        if isinstance(decorator, ast.Call) and isinstance(decorator.func, ast.Attribute):
            for keyword in decorator.keywords:
                if keyword.arg == "promise" and isinstance(keyword.value, ast.Constant):
                    return str(keyword.value.value)
    return ""


def _constant(item: ast.Assign | ast.AnnAssign, path: Path) -> dict[str, Any]:
    targets = item.targets if isinstance(item, ast.Assign) else [item.target]
    name = targets[0].id if isinstance(targets[0], ast.Name) else ""
    if name not in _CONSTANTS or item.value is None:
        return {}
    try:
        value = ast.literal_eval(item.value)
    except ValueError:
        value = None
    expected = _CONSTANTS[name]
    words = isinstance(value, tuple) and all(isinstance(word, str) for word in value)
    if not (words if expected is tuple else isinstance(value, expected)):
        kind = 'a tuple of words, ("a", "b")' if expected is tuple else "True or False"
        raise UsageError(f"{path}:{item.lineno}: {name} must be {kind}, written out")
    return {name: value}
