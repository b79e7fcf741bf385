"""Nodes of several roles are one system: each suite runs where it is promised."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from yoctovirt.smoke.catalog import SUITES_DIR
from yoctovirt.smoke.session import SmokeSession

ROLES = {
    "controller": ["keystone", "nova-api", "openvswitch"],
    "compute": ["nova-compute", "libvirt", "openvswitch"],
}


def spread(suite: str, *nodes: tuple[str, str]) -> list[str]:
    """Return the nodes of those *nodes* (name, role) on which a check of *suite* is made."""
    session = SmokeSession.__new__(SmokeSession)
    there: Any = [
        SimpleNamespace(name=name, state=SimpleNamespace(role=role, promises=ROLES[role]))
        for name, role in nodes
    ]
    session._nodes = there
    session._spread = set()
    path: Path = SUITES_DIR / f"test_{suite}.py"
    metafunc: Any = SimpleNamespace(definition=SimpleNamespace(nodeid=suite, path=path))
    return session.spread(metafunc)


A, B, C = ("a", "controller"), ("b", "compute"), ("c", "compute")


@pytest.mark.parametrize(
    ("suite", "where"),
    [
        ("keystone", ["a"]),
        ("nova", ["a"]),
        ("libvirt", ["b"]),
        ("openvswitch", ["a", "b"]),
        ("base", ["a", "b"]),
        ("xen", ["a"]),  # chosen though nobody promises it
    ],
)
def test_a_suite_runs_where_it_is_promised(suite: str, where: list[str]) -> None:
    assert spread(suite, A, B, C) == where


def test_the_order_of_the_nodes_does_not_matter() -> None:
    assert spread("keystone", B, C, A) == ["a"]


@pytest.mark.parametrize("nodes", [(A,), (B, C)])
def test_nodes_of_one_role_are_no_system(nodes: tuple[tuple[str, str], ...]) -> None:
    assert spread("libvirt", *nodes) == []
