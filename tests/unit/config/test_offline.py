"""``--offline``: no network is asked, and all that is missing is listed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.gitrepos import bare, repository
from yoctovirt.base.process import CommandLog
from yoctovirt.base.screen import Screen
from yoctovirt.cli import VERBS, run
from yoctovirt.config.kasfile import kas_environment
from yoctovirt.config.layers import Checkout, Pin
from yoctovirt.errors import InfrastructureError
from yoctovirt.pins.sources import is_local, offline


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YOCTOVIRT_OFFLINE", "0")
    monkeypatch.delenv("YOCTOVIRT_LAYER_MIRRORS", raising=False)
    monkeypatch.delenv("BB_NO_NETWORK", raising=False)


@pytest.mark.parametrize(("value", "said"), [("", False), ("0", False), ("1", True), ("yes", True)])
def test_the_variable(value: str, said: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YOCTOVIRT_OFFLINE", value)
    assert offline() is said
    assert kas_environment().get("BB_NO_NETWORK") == ("1" if said else None)


@pytest.mark.parametrize(
    ("source", "local"),
    [
        ("/srv/git/a.git", True),
        ("file:///srv/git/a.git", True),
        ("https://x.invalid/a", False),
        ("git@x.invalid:a/b", False),
        ("ssh://x.invalid/a", False),
    ],
)
def test_what_is_on_this_machine(source: str, local: bool) -> None:
    assert is_local(source) is local


def test_a_checkout_lists_all_that_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YOCTOVIRT_OFFLINE", "1")
    sha = repository(tmp_path / "up")
    bare(tmp_path / "up", tmp_path / "m" / "b.git")
    pins = [
        Pin("a", "https://x.invalid/a", "a" * 40, "main"),
        Pin("b", "https://x.invalid/b", sha, "main"),
        Pin("c", "https://x.invalid/c", "c" * 40, "main"),
    ]
    work = Checkout(tmp_path / "layers", CommandLog(), Screen(quiet=True))
    with pytest.raises(InfrastructureError) as caught:
        work.all(pins, [str(tmp_path / "m"), "https://mirror.invalid/git"])
    message = caught.value.message
    assert message.startswith("offline, and not all is at hand:")
    assert "repository a at aaaa" in message
    assert "repository c at cccc" in message
    assert "https://mirror.invalid/git/a.git: not asked (offline)" in message
    assert "https://x.invalid/c: not asked (offline)" in message
    assert "mirror sync" in caught.value.hint
    assert (tmp_path / "layers" / "b" / "README").exists()


@pytest.mark.parametrize("before", [True, False])
def test_the_option(
    before: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    call = ["mirror", "sync", "--to", str(tmp_path / "m"), "--release", "wrynose"]
    assert run(["--offline", *call] if before else [*call, "--offline"]) == 3
    said = capsys.readouterr().err
    assert "5 of 5 mirrors could not be made" in said
    assert said.count("not asked (offline)") == 5
    assert "Could not resolve" not in said


@pytest.mark.parametrize("verb", ["build", "ci"])
def test_verbs_that_fetch_have_it(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert verb in VERBS
    assert run([verb, "--help"]) == 0
    assert "--offline" in capsys.readouterr().out


def test_a_debian_image_that_no_cache_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YOCTOVIRT_CACHE_DIR", str(tmp_path / "cache"))
    code = run(["--workspace", str(tmp_path / "ws"), "build", "reference", "--offline"])
    said = capsys.readouterr().err
    assert code == 3
    assert "offline, and the cache has no image of role reference" in said
