"""The list of tempest's tests that is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from yoctovirt.cli import cli
from yoctovirt.errors import UsageError
from yoctovirt.smoke.tempestlist import VARIABLE, chosen_tests, full_name, read_list

DEFAULT = ("identity.v3.test_tokens.TokensV3Test.test_create_token",)


def test_the_default() -> None:
    assert chosen_tests(DEFAULT, {}) == DEFAULT


def test_tempests_own_smoke_tests() -> None:
    found = chosen_tests(DEFAULT, {VARIABLE: "smoke"})
    assert len(found) > 90
    assert (
        "tempest.scenario.test_server_basic_ops.TestServerBasicOps.test_server_basic_ops" in found
    )
    assert len({name.partition(".")[0] for name in found}) >= 6, "of all services"


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine"
    path.write_text(
        "# ours\n"
        "tempest.api.network.test_ports.PortsTestJSON.test_show_port[id-c9a685bd,smoke]\n"
        "\n"
        "network.test_ports.PortsTestJSON.test_show_port  # the same\n"
        "tempest.scenario.test_server_basic_ops.TestServerBasicOps.test_server_basic_ops\n"
    )
    found = chosen_tests(DEFAULT, {VARIABLE: str(path)})
    assert found == (
        "network.test_ports.PortsTestJSON.test_show_port",
        "tempest.scenario.test_server_basic_ops.TestServerBasicOps.test_server_basic_ops",
    )
    assert [full_name(name) for name in found] == [
        "tempest.api.network.test_ports.PortsTestJSON.test_show_port",
        "tempest.scenario.test_server_basic_ops.TestServerBasicOps.test_server_basic_ops",
    ]


def test_a_plugin_of_tempest() -> None:
    assert full_name("heat_tempest_plugin.tests.a.B.c") == "heat_tempest_plugin.tests.a.B.c"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (b"", "names no test"),
        (b"# nothing\n\n", "names no test"),
        (b"one\n", "mine:1: 'one' is no name of a test"),
        (b"\na.b.c d\n", "mine:2"),
        (b"a..b.c\n", "mine:1"),
        (b"\xff\xfe", "is no list of tests"),
        (None, "No such file"),
    ],
)
def test_what_is_no_list(tmp_path: Path, text: bytes | None, word: str) -> None:
    path = tmp_path / "mine"
    if text is not None:
        path.write_bytes(text)
    with pytest.raises(UsageError, match=word):
        read_list(path)


def test_a_bad_list_is_refused_before_anything_begins(tmp_path: Path) -> None:
    path = tmp_path / "mine"
    path.write_text("what?\n")
    done = CliRunner().invoke(cli, ["smoke", "--tempest", str(path), "--list"])
    assert isinstance(done.exception, UsageError)
    assert f"{path}:1" in str(done.exception)
