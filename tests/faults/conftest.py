"""Faults on real nodes. Each test ends with what a user would read."""

from __future__ import annotations

from tests.integration.conftest import fresh, reference

__all__ = ["fresh", "reference"]
