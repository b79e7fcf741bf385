"""Why mmdebstrap failed: its own words, and what we make of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from yoctovirt.build.debian.failures import explain
from yoctovirt.errors import BuildError, InfrastructureError, YoctovirtError

LOG = Path("/ws/runs/1/build.log")


@pytest.mark.parametrize(
    ("output", "kind", "words"),
    [
        (
            "dpkg: error processing archive x.deb (--unpack):\n"
            " cannot copy extracted data: failed to write (No space left on device)\n"
            "E: Sub-process returned an error code\n",
            InfrastructureError,
            "disk became full",
        ),
        (
            "E: You don't have enough free space in /var/cache/apt/archives/.\n",
            InfrastructureError,
            "disk became full",
        ),
        (
            "mke2fs: Could not allocate block in ext2 filesystem while populating file system\n",
            InfrastructureError,
            "disk became full",
        ),
        (
            "Err:1 http://archive.example.invalid/debian bookworm InRelease\n"
            "  Temporary failure resolving 'archive.example.invalid'\n"
            "E: Failed to fetch http://archive.example.invalid/debian/dists/bookworm/InRelease\n"
            "E: Unable to locate package docker.io\n",
            InfrastructureError,
            "archive of this host cannot be reached",
        ),
        ("E: Unable to locate package dokcer.io\n", BuildError, "has no package dokcer.io"),
        (
            "E: Package 'lxc-tempates' has no installation candidate\n",
            BuildError,
            "has no package lxc-tempates",
        ),
        (
            "W: GPG error: http://x.example.invalid bookworm InRelease: NO_PUBKEY 0123\n"
            "E: The repository 'http://x.example.invalid bookworm InRelease' is not signed.\n",
            InfrastructureError,
            "signature of the package archive",
        ),
        (
            "The following packages have unmet dependencies:\n"
            "E: Unable to correct problems, you have held broken packages.\n",
            BuildError,
            "do not go together",
        ),
        (
            "E: unshare() failed: Operation not permitted\n",
            InfrastructureError,
            "does not allow the namespaces",
        ),
    ],
)
def test_known_causes(output: str, kind: type[YoctovirtError], words: str) -> None:
    error = explain("I: running apt-get update...\n" + output, 25, LOG)
    assert type(error) is kind
    assert words in error.message
    assert str(LOG) in error.message
    assert error.hint


def test_the_lines_of_the_error_are_quoted_and_not_more_than_three() -> None:
    output = "I: fine\n" + "".join(f"E: problem {number}\n" for number in range(9))
    message = explain(output, 1, LOG).message
    assert "E: problem 0; E: problem 1; E: problem 2" in message
    assert "problem 3" not in message
    assert "fine" not in message


@pytest.mark.parametrize("output", ["", "I: running hook\n", "\x00\xff"])
def test_an_unknown_cause_is_said_to_be_unknown(output: str) -> None:
    error = explain(output, 13, LOG)
    assert isinstance(error, BuildError)
    assert error.message == (
        "mmdebstrap failed with exit status 13, cause unknown: no error line in its output"
    )
    assert str(LOG) in error.hint


def test_the_name_of_a_package_does_not_make_a_cause() -> None:
    output = "Unpacking libconnection-refused-perl (1.0) ...\nE: hook.sh failed with status 1\n"
    error = explain(output, 1, LOG)
    assert "cause unknown: E: hook.sh failed" in error.message
