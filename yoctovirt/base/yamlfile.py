"""YAML files that users write, with errors that name file, line and column."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from yoctovirt.errors import UsageError


def load_mapping(path: Path) -> dict[str, Any]:
    """Return the mapping in the YAML file *path* (an empty file is an empty one).

    Raises UsageError where it cannot be read, is not YAML, holds something else, or has
    a key twice (YAML forbids that, most readers silently take the last one).
    """
    import yaml

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Any:
            seen: dict[str, int] = {}
            for key, _ in node.value:
                if not isinstance(key, yaml.ScalarNode) or key.value == "<<":
                    continue
                line = key.start_mark.line + 1
                if key.value in seen:
                    raise UsageError(
                        f"{path}:{line}:{key.start_mark.column + 1}: the key {key.value} stands "
                        f"twice; it is in line {seen[key.value]}, too",
                        "remove one of them, or give it another name",
                    )
                seen[key.value] = line
            return super().construct_mapping(node, deep)

    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text: byte {error.start}") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    try:
        value = yaml.load(text, Loader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise UsageError(f"{where}: not valid YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise UsageError(f"{path}: not valid YAML: {error}") from error
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise UsageError(f"{path}: expected a mapping of keys, found a {type(value).__name__}")
    return value


def key_lines(path: Path, section: str) -> dict[tuple[str, str], int]:
    """Return in which line of the YAML file *path* the keys two levels below *section* stand.

    Lines count from 1. The entry ``(name, "")`` is that of the mapping ``name`` itself.
    The file is one that :func:`load_mapping` has read without an error.
    """
    import yaml

    def pairs(node: yaml.Node | None) -> list[tuple[str, int, yaml.Node]]:
        if not isinstance(node, yaml.MappingNode):
            return []
        return [(str(key.value), key.start_mark.line + 1, value) for key, value in node.value]

    found: dict[tuple[str, str], int] = {}
    top = yaml.compose(path.read_text(encoding="utf-8"), yaml.SafeLoader)
    for name, _, value in pairs(top):
        if name != section:
            continue
        for entry, line, below in pairs(value):
            found[entry, ""] = line
            found.update({(entry, key): at for key, at, _ in pairs(below)})
    return found


def place_of(path: Path, keys: Sequence[Any]) -> tuple[int, int]:
    """Return line and column, from 1, of the key or item to which *keys* lead in *path*.

    As far as they lead: the nearest above it for one that is not there (any more).
    """
    import yaml

    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), yaml.SafeLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return 1, 1
    mark = None
    for key in keys:
        if isinstance(node, yaml.MappingNode):
            pairs = [(name, value) for name, value in node.value if name.value == str(key)]
            if not pairs:
                break
            mark, node = pairs[0][0].start_mark, pairs[0][1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(key, int):
            if key >= len(node.value):
                break
            node = node.value[key]
            mark = node.start_mark
        else:
            break
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)
