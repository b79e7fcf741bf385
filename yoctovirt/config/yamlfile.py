"""YAML files that users write, with errors that name file, line and column."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from yoctovirt.errors import UsageError


def load_mapping(path: Path) -> dict[str, Any]:
    """Return the mapping in the YAML file *path* (an empty file is an empty one).

    Raises UsageError where it cannot be read, is not YAML, or holds something else.
    """
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text: byte {error.start}") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    try:
        value = yaml.safe_load(text)
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
