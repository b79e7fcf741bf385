"""kas's own schema, which kas ships, as the measure of files of users and of what we build."""

from __future__ import annotations

import json
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from yoctovirt.base.schema import check_file, dotted, problem_in
from yoctovirt.errors import InfrastructureError, UsageError

_SEE = "the keys of a kas file: kas.readthedocs.io, project configuration"


@lru_cache(maxsize=1)
def kas_schema() -> dict[str, Any]:
    """Return the schema of the kas that is installed beside us."""
    try:
        text = files("kas").joinpath("schema-kas.json").read_text(encoding="utf-8")
    except (ModuleNotFoundError, OSError) as error:
        raise InfrastructureError(
            f"kas is not installed whole beside yoctovirt: {error}", "pip install kas"
        ) from error
    schema: dict[str, Any] = json.loads(text)
    return schema


def check_kas_file(path: Path, values: dict[str, Any]) -> None:
    """Raise UsageError, with file, line and column, where a user's kas file is none."""
    check_file(path, values, kas_schema(), _SEE)


def check_config(config: dict[str, Any], what: str) -> None:
    """Raise UsageError where the flattened configuration of *what* does not fit the schema.

    Files that are right by themselves can add up to one that is not.
    """
    found = problem_in(config, kas_schema())
    if found is not None:
        keys, message, hint = found
        raise UsageError(
            f"the configuration of {what} is no kas file: {dotted(keys)}{message}", hint or _SEE
        )
