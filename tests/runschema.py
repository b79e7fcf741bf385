"""run.json of a record, held to its schema in docs/."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import jsonschema

SCHEMA = Path(__file__).parents[1] / "docs" / "run.schema.json"


@lru_cache(maxsize=1)
def _validator() -> Any:
    schema = json.loads(SCHEMA.read_text())
    kind = jsonschema.validators.validator_for(schema)
    kind.check_schema(schema)
    return kind(schema)


def run_problems(run: dict[str, Any]) -> list[str]:
    """Return what does not fit the schema."""
    found = _validator().iter_errors(run)
    return [f"{'.'.join(map(str, one.absolute_path))}: {one.message}" for one in found]
