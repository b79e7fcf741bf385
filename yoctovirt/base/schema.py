"""Files that users write, held to a JSON schema, with errors that name file, line and column."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from yoctovirt.base.suggest import did_you_mean
from yoctovirt.base.yamlfile import place_of
from yoctovirt.errors import UsageError


def problem_in(values: Any, schema: dict[str, Any]) -> tuple[list[Any], str, str] | None:
    """Return what is wrong first with *values*: the keys that lead there, what, and a hint.

    None where they fit *schema*. For a key that is not known the hint has near matches.
    """
    import jsonschema

    validator = jsonschema.validators.validator_for(schema)(schema)
    problem = jsonschema.exceptions.best_match(validator.iter_errors(values))
    if problem is None:
        return None
    keys, message, hint = list(problem.absolute_path), problem.message, ""
    about = problem.schema if isinstance(problem.schema, dict) else {}
    if problem.validator == "additionalProperties" and isinstance(problem.instance, dict):
        known = about.get("properties", {})
        unknown = [key for key in problem.instance if key not in known]
        if unknown:
            keys.append(unknown[0])
            message, hint = "there is no such key", did_you_mean(str(unknown[0]), known)
    elif problem.validator in ("anyOf", "oneOf") and problem.context:
        message = "; ".join(dict.fromkeys(one.message for one in problem.context))
    elif problem.validator == "pattern" and "description" in about:
        message = f"{problem.instance!r} is not {about['description']}"
    return keys, message, hint


def check_file(path: Path, values: Any, schema: dict[str, Any], see: str) -> None:
    """Raise UsageError where *values*, the content of the YAML file *path*, do not fit *schema*.

    *see* is the hint where there is no better one.
    """
    found = problem_in(values, schema)
    if found is not None:
        keys, message, hint = found
        raise UsageError(f"{at(path, keys)}{dotted(keys)}{message}", hint or see)


def at(path: Path, keys: Sequence[Any]) -> str:
    """Return ``file:line:column: `` of the value to which *keys* lead in the YAML file *path*."""
    line, column = place_of(path, keys)
    return f"{path}:{line}:{column}: "


def dotted(keys: Sequence[Any]) -> str:
    """Return *keys* as a person writes them, for the beginning of a message."""
    return f"{'.'.join(str(key) for key in keys)}: " if keys else ""
