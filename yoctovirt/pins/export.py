"""The pins of a release in the form of a kas lock file."""

from __future__ import annotations

from collections.abc import Collection

from yoctovirt.pins.release import Release

#: Version of kas's file format that has `overrides` with `branch`.
_FORMAT = 19


def lock_file(release: Release, branchless: Collection[str] = ()) -> str:
    """Return a kas lock file (`overrides` of the repositories' commits) for *release*.

    For the repositories *branchless* it says that no branch counts: kas refuses a commit
    that the branch named in the configuration does not contain.
    """
    lines = [
        f"# Pins of release {release.name}, written by 'yoctovirt pins export'.",
        "header:",
        f"  version: {_FORMAT}",
        "overrides:",
        "  repos:",
    ]
    for pin in release.pins:
        lines += [f"    {pin.name}:", f"      commit: {pin.commit}"]
        if pin.branch is None or pin.name in branchless:
            lines.append("      branch: null")
    return "\n".join(lines) + "\n"
