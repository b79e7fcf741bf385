"""What the package database of a node says is installed, against the manifest of its image."""

from __future__ import annotations

import re
from collections.abc import Iterable

from yoctovirt.smoke.checked import SmokeNode

#: Databases of dpkg and opkg are read as files: their tools are not always on the node.
_READ = """
for file in /var/lib/dpkg/status /var/lib/opkg/status /usr/lib/opkg/status; do
    [ -s "$file" ] && exec grep -E '^(Package|Status|Version):' "$file"
done
command -v rpm >/dev/null && [ -e /var/lib/rpm ] &&
    exec rpm -qa --qf \
        'Package: %{NAME}\\nStatus: is installed\\nVersion: %{VERSION}-%{RELEASE}\\n'
exit 3
"""


def read_installed(node: SmokeNode) -> dict[str, str] | None:
    """Return package -> version of what is installed; None where the image has no database."""
    read = node.run(_READ)
    return parse_installed(read.output) if read.ok else None


def parse_installed(text: str) -> dict[str, str]:
    """Return package -> version from the fields of dpkg's and opkg's status file."""
    found: dict[str, str] = {}
    # The fields of one package stand together; dpkg and opkg order them differently.
    for entry in re.split(r"^(?=Package:)", text, flags=re.MULTILINE):
        fields = dict(re.findall(r"^(Package|Status|Version): *(.*?)\s*$", entry, re.MULTILINE))
        if fields.get("Status", "").endswith(" installed"):
            found[fields["Package"]] = fields["Version"]
    return found


def differences(manifest: Iterable[tuple[str, str, str]], installed: dict[str, str]) -> list[str]:
    """Return a line for each package that is not installed as the manifest says."""
    # Debian's names carry the architecture where several may be installed beside one another.
    wanted = {name.partition(":")[0]: version for name, _, version in manifest}
    lines = [f"{name} {version} is in the manifest and not installed"
             for name, version in wanted.items() if name not in installed]  # fmt: skip
    lines += [f"{name} {version} is installed and not in the manifest"
              for name, version in installed.items() if name not in wanted]  # fmt: skip
    lines += [
        f"{name} is {installed[name]}, the manifest says {version}"
        for name, version in wanted.items()
        if name in installed and not same_version(version, installed[name])
    ]
    return lines


def same_version(one: str, other: str) -> bool:
    """Whether two spellings mean one version: manifests at times leave out epoch and -r0."""

    def bare(version: str) -> str:
        return re.sub(r"^\d+:|-r\d+$", "", version)

    return one == other or bare(one) == bare(other)
