"""``sharing``: the real kas, and signatures and a bitbake made by the test."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakebitbake import FakePoky, fake_poky
from tests.processes import wait_until_gone
from yoctovirt.build.kas.sharing import compare, read_signatures
from yoctovirt.errors import BuildError

A, B, C = ("a" * 64, "b" * 64, "c" * 64)


def locked(**tasks: str) -> str:
    """Return a locked-sigs.inc with ``recipe__task=hash``."""
    lines = "".join(
        f"    {name.replace('__', ':').replace('_OF_', '-')}:{value} \\\n"
        for name, value in tasks.items()
    )
    return (
        f'SIGGEN_LOCKEDSIGS_t-core2-64 = "\\\n{lines}    "\n'
        'SIGGEN_LOCKEDSIGS_TYPES:qemux86-64 = "t-core2-64"\n'
    )


@pytest.fixture
def poky(tmp_path: Path) -> Iterator[FakePoky]:
    fake = fake_poky(tmp_path)
    for suffix in ("yml", "role.yml"):
        (mine,) = fake.workspace.glob(f"kas/inc/mine.{suffix}")
        mine.with_name(f"other.{suffix}").write_text(mine.read_text())
    (fake.control / "sigdata").write_text(
        json.dumps([["nova", task, value] for task in ("do_install", "do_package")
                    for value in (A, B)])
    )  # fmt: skip
    yield fake
    wait_until_gone(*fake.pids())


def give(poky: FakePoky, number: int, **tasks: str) -> None:
    (poky.control / f"sigs-{number}").write_text(locked(**tasks))


def test_what_is_equal_changed_and_new_and_why(poky: FakePoky) -> None:
    give(poky, 1, one__do_compile=A, nova__do_install=A, nova__do_package=A, gone__do_x=A)
    give(
        poky, 2, one__do_compile=A, nova__do_install=B, nova__do_package=B, image__do_rootfs=C,
    )  # fmt: skip
    done = poky.call("sharing", "mine", "other")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "other after mine: 1 of 4 tasks equal, 2 changed, 1 new",
        "  changed  nova: do_install, do_package",
        "             do_install: Variable MY_IP value changed from '192.168.7.2' to '192.168.7.4'",
        "  new      image: 1 tasks",
    ]
    assert poky.seen()["argv"][1:] == ["-S", "lockedsigs", "my-image"]
    stored = json.loads((poky.record() / "sharing.json").read_text())
    assert (stored["tasks"], stored["equal"]) == (4, 1)
    assert stored["new"] == {"image": ["do_rootfs"]}
    assert (poky.record() / "mine.locked-sigs.inc").is_file()
    assert (poky.record() / "other.locked-sigs.inc").is_file()


def test_bitbake_that_gives_no_signatures(poky: FakePoky) -> None:
    done = poky.call("sharing", "mine", "other")
    assert done.returncode == 4
    assert "no signatures today" in done.stderr
    assert "other after" not in done.stdout


def test_roles_that_have_none(poky: FakePoky) -> None:
    done = poky.call("sharing", "mine", "reference")
    assert done.returncode == 2
    assert "made of Debian packages" in done.stderr
    done = poky.call("sharing", "mine", "othre")
    assert done.returncode == 2
    assert "other" in done.stderr
    assert not list(poky.workspace.glob("runs/*"))


def test_a_file_without_a_task_is_no_result(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="has written no"):
        read_signatures(tmp_path / "locked-sigs.inc")
    (tmp_path / "locked-sigs.inc").write_text(locked())
    with pytest.raises(BuildError, match="names no task"):
        read_signatures(tmp_path / "locked-sigs.inc")


def test_names_with_a_colon_are_read(tmp_path: Path) -> None:
    path = tmp_path / "locked-sigs.inc"
    path.write_text(f'X = "\\\n    virtual:native:zlib-native:do_compile:{A} \\\n    "\n')
    found = read_signatures(path)
    assert found == {("virtual:native:zlib-native", "do_compile"): A}
    assert compare(found, found).as_json() == {
        "tasks": 1, "equal": 1, "changed": {}, "new": {}, "why": {},
    }  # fmt: skip
