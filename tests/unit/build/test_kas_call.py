"""What a call may ask of bitbake, and what comes of it."""

from __future__ import annotations

import pytest

from yoctovirt.build.kas.call import BitbakeCall
from yoctovirt.errors import UsageError


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (["-c", "compile"], "use --task"),
        (["--cmd=compile"], "use --task"),
        (["-kc", "compile"], "use --task"),
        (["-u", "taskexp"], "knotty"),
        (["-w", "x"], "run record"),
        (["--server-only"], "yoctovirt starts the server"),
        (["-m"], "ends with the build"),
        (["-f", "-B", "host:1"], "yoctovirt starts the server"),
    ],
)
def test_what_would_break_the_build_is_refused(arguments: list[str], advice: str) -> None:
    with pytest.raises(UsageError, match="cannot be handed on") as caught:
        BitbakeCall(arguments=tuple(arguments)).check()
    assert advice in caught.value.hint


@pytest.mark.parametrize("arguments", [["-r"], ["--runall"]])
def test_an_option_without_its_value(arguments: list[str]) -> None:
    with pytest.raises(UsageError, match=r"arguments for bitbake: .*expected one argument"):
        BitbakeCall(arguments=tuple(arguments)).check()


@pytest.mark.parametrize("name", ["", "-k", "a b"])
def test_what_is_no_name(name: str) -> None:
    for call in (BitbakeCall(targets=(name,)), BitbakeCall(task=name)):
        with pytest.raises(UsageError, match="is no name"):
            call.check()


@pytest.mark.parametrize(
    ("call", "image"),
    [
        (BitbakeCall(), True),
        (BitbakeCall(keep_going=True, arguments=("-f", "-vD", "-C", "compile")), True),
        (BitbakeCall(task="build"), True),
        (BitbakeCall(task="do_build"), True),
        (BitbakeCall(targets=("my-image", "busybox")), True),
        (BitbakeCall(arguments=("-r", "n.conf")), True),
        (BitbakeCall(arguments=("--some-option-of-the-future", "x")), True),
        (BitbakeCall(targets=("busybox",)), False),
        (BitbakeCall(task="populate_sdk"), False),
        (BitbakeCall(arguments=("-n",)), False),
        (BitbakeCall(arguments=("-kn",)), False),
        (BitbakeCall(arguments=("-S", "none")), False),
        (BitbakeCall(arguments=("--runall=fetch",)), False),
        (BitbakeCall(arguments=("-g",)), False),
    ],
)
def test_whether_there_will_be_an_image(call: BitbakeCall, image: bool) -> None:
    call.check()
    assert call.makes_image("my-image") is image
    assert call.makes_image(["my-image"]) is image


def test_the_words_for_kas_and_those_of_bitbake() -> None:
    call = BitbakeCall(True, ("a", "b"), "compile", ("-f",))
    assert call.kas_words("x.yml") == [
        "--target=a", "--target=b", "--task=compile", "x.yml", "--", "-k", "-f"
    ]  # fmt: skip
    assert call.bitbake_words("i") == ["bitbake", "-c", "compile", "-k", "-f", "a", "b"]
    assert BitbakeCall().kas_words("x.yml") == ["x.yml"]
    assert BitbakeCall().bitbake_words(["i", "j"]) == ["bitbake", "-c", "build", "i", "j"]
    assert call.described("i") == "a do_compile, b do_compile"
