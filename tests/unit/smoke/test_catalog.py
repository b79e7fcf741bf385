"""Suites as they are read from modules, and chosen by promises."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from yoctovirt.errors import UsageError
from yoctovirt.smoke.catalog import (
    all_suites,
    check_promises,
    choose_suites,
    promise_commands,
)
from yoctovirt.smoke.runner import lacking_nodes
from yoctovirt.smoke.suitefile import read_suites


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_suite_of_two_modules(tmp_path: Path) -> None:
    paths = [
        write(tmp_path, "test_big__part.py", 'def test_b() -> None:\n    """B."""\n'),
        write(
            tmp_path,
            "test_big.py",
            '"""Suite big: of two."""\nPROMISES = ("a", "b")\nALONE: bool = True\n'
            'COMMANDS = ("frob",)\n\ndef test_a() -> None:\n    """A.\n\n    More.\n    """\n'
            "def helper() -> None: ...\n",
        ),
    ]
    (suite,) = read_suites(paths).values()
    assert (suite.name, suite.title) == ("big", "of two.")
    assert [path.name for path in suite.paths] == ["test_big.py", "test_big__part.py"]
    assert [(check.id, check.title) for check in suite.checks] == [
        ("big::a", "A."), ("big::b", "B."),
    ]  # fmt: skip
    assert (suite.promises, suite.commands) == (("a", "b"), ("frob",))
    assert (suite.always, suite.alone) == (False, True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def (", "is no smoke suite"),
        ("PROMISES = 'docker'", "PROMISES must be a tuple of words"),
        ("COMMANDS = tuple(x)", "COMMANDS must be a tuple of words"),
        ("ALWAYS = 1", "ALWAYS must be True or False"),
    ],
)
def test_modules_that_are_wrong(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, "test_bad.py", text)
    with pytest.raises(UsageError, match=message) as caught:
        read_suites([path])
    assert str(path) in str(caught.value)


def names(
    promises: list[str],
    only: Sequence[str] = (),
    without: Sequence[str] = (),
    checks: Sequence[str] = (),
) -> list[str]:
    return [suite.name for suite in choose_suites(promises, only, without, checks)[0]]


def test_suites_by_promise() -> None:
    assert names([]) == [suite.name for suite in all_suites().values() if suite.always]
    assert "base" in names([])
    assert "docker" not in names([])
    assert "docker" in names(["docker"])
    assert names(["docker"], ["docker"]) == ["docker"]
    assert "docker" not in names(["docker"], [], ["docker"])
    reasons = dict(choose_suites([])[1])
    assert reasons["docker"] == "the role does not promise it"


def test_suites_by_check() -> None:
    assert names(["docker"], [], [], ["base::kernel"]) == ["base"]
    assert names([], [], [], ["docker::exec", "base::promised_software[xen]"]) == ["base", "docker"]
    with pytest.raises(UsageError, match="no check 'docker::exce'") as caught:
        choose_suites([], [], [], ["docker::exce"])
    assert "docker::exec" in caught.value.hint


def test_what_cannot_be_had() -> None:
    """The reason is said, for a promise and for a suite; what a user brings is taken."""
    for name in ("ovirt", "trove", "ironic", "zaqar", "sahara", "rally"):
        with pytest.raises(UsageError, match=f"role x promises '{name}', which is not available: "):
            check_promises([name], "role x")
        with pytest.raises(UsageError, match=f"the smoke suite '{name}' is not available: "):
            choose_suites([], [name])
    check_promises(["ceph"], "role x")
    with pytest.raises(UsageError, match=r"'ceph' is not available: .*nothing more"):
        choose_suites([], ["ceph"])
    with pytest.raises(UsageError, match=r"promises 'qpid', .* is promised as amqp10"):
        check_promises(["qpid"], "role x")
    assert "qpid" in names(["amqp10"])


def test_a_suite_of_the_users_is_available(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "test_ovirt.py", '"""Suite ovirt: mine."""\nCOMMANDS = ("engine",)\n')
    monkeypatch.setenv("YOCTOVIRT_SUITES", str(tmp_path))
    check_promises(["ovirt"], "role x")
    assert names([], ["ovirt"]) == ["ovirt"]


def test_checks_that_need_two_nodes(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "test_pair.py",
        "@pytest.mark.nodes(2)\ndef test_any() -> None: ...\n"
        '@pytest.mark.nodes(2, promise="lxc")\n@pytest.mark.deadline(7)\n'
        "def test_same() -> None: ...\n",
    )
    suites = list(read_suites([path]).values())
    assert [check.deadline for check in suites[0].checks] == [120, 7]
    assert lacking_nodes(suites, [["lxc"], ["lxc", "docker"]]) == []
    assert lacking_nodes(suites, [["lxc"], ["docker"]]) == [
        ("pair::same", "needs 2 nodes that promise lxc, this run has 1")
    ]
    assert lacking_nodes(suites, [["lxc"]]) == [
        ("pair::any", "needs 2 nodes, this run has 1"),
        ("pair::same", "needs 2 nodes that promise lxc, this run has 1"),
    ]


def test_two_suites_of_one_name(tmp_path: Path) -> None:
    paths = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        paths.append(write(tmp_path / name, "test_same.py", ""))
    with pytest.raises(UsageError, match="two smoke suites same"):
        read_suites(paths)


def test_suites_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "test_acme.py", '"""Suite acme: x."""\nCOMMANDS = ("frob",)\n')
    monkeypatch.setenv("YOCTOVIRT_SUITES", str(tmp_path))
    assert all_suites()["acme"].title == "x."
    assert promise_commands()["acme"] == ("frob",)
    check_promises(["acme", "docker"], "a role")
    assert names(["acme"])[:1] == ["acme"]
    monkeypatch.setenv("YOCTOVIRT_SUITES", str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match="there is no folder"):
        all_suites()


def test_suites_of_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found by the entry point, and not imported."""
    package = tmp_path / "acme_node_tests"
    package.mkdir()
    write(package, "__init__.py", "")
    write(package, "test_acme.py", '"""Suite acme: packaged."""\nraise RuntimeError\n')
    info = tmp_path / "acme-1.dist-info"
    info.mkdir()
    write(info, "METADATA", "Metadata-Version: 2.1\nName: acme\nVersion: 1\n")
    write(info, "entry_points.txt", "[yoctovirt.suites]\nacme = acme_node_tests\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert all_suites()["acme"].title == "packaged."
    write(info, "entry_points.txt", "[yoctovirt.suites]\nacme = acme_gone\n")
    with pytest.raises(UsageError, match="no module acme_gone"):
        all_suites()
