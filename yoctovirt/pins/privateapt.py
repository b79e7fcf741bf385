"""apt with a state of its own: the host's mirrors, nothing of what the host has installed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from yoctovirt.base.process import CommandLog, run_quick
from yoctovirt.errors import InfrastructureError, UsageError

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
#: Option of a source that says how its archive proves itself.
TRUST = f"signed-by={KEYRING}"

Stanza = dict[str, str]


@dataclass(frozen=True)
class Mirrors:
    """Where the host gets its Debian packages from, without a trailing slash."""

    main: str
    security: str


def stanzas(text: str) -> Iterator[Stanza]:
    """Split apt's and dpkg's format: paragraphs of ``Field: value``."""
    for block in re.split(r"\n\s*\n", text.strip()):
        fields: Stanza = {}
        key = ""
        for line in block.splitlines():
            if line[:1] in (" ", "\t"):
                fields[key] = fields.get(key, "") + "\n" + line.strip()
            elif ":" in line and not re.match(r"[WNE]: ", line):  # apt's own remarks
                key, _, value = line.partition(":")
                fields[key] = value.strip()
        if fields:
            yield fields


class PrivateApt:
    """apt on *mirrors*, its lists in *state*; the packages *present* count as installed."""

    def __init__(
        self,
        state: Path,
        mirrors: Mirrors,
        suite: str,
        arch: str,
        present: Iterable[str],
        show: Callable[[str], None] | None = None,
    ) -> None:
        self._log = CommandLog(show=show)
        self._mirrors = mirrors
        for folder in ("lists/partial", "cache/archives/partial", "etc"):
            (state / folder).mkdir(parents=True, exist_ok=True)
        options = f"[arch={arch} {TRUST}]"
        (state / "etc/sources.list").write_text(
            f"deb {options} {mirrors.main} {suite} main\n"
            f"deb {options} {mirrors.main} {suite}-updates main\n"
            f"deb {options} {mirrors.security} {suite}-security main\n"
        )
        (state / "status").write_text(
            "".join(
                f"Package: {name}\nStatus: install ok installed\nArchitecture: {arch}\n"
                "Multi-Arch: foreign\nVersion: 9999:0\nMaintainer: nobody\n"
                "Description: taken as present\n\n"
                for name in present
            )
        )
        (state / "etc/apt.conf").write_text(
            f'Dir::State "{state}";\nDir::State::lists "{state}/lists";\n'
            f'Dir::State::status "{state}/status";\nDir::Cache "{state}/cache";\n'
            f'Dir::Etc::sourcelist "{state}/etc/sources.list";\nDir::Etc::sourceparts "-";\n'
            'Dir::Etc::preferencesparts "-";\nDir::Etc::preferences "-";\n'
            f'APT::Architecture "{arch}";\nAPT::Architectures {{"{arch}";}};\n'
            'APT::Install-Recommends "false";\nAPT::Sandbox::User "";\n'
            'Acquire::Languages "none";\nAcquire::Retries "2";\n'
        )
        self._env = {"APT_CONFIG": str(state / "etc/apt.conf"), "LC_ALL": "C.UTF-8"}

    def _run(self, *argv: str, timeout: float = 120.0) -> str:
        self._log.note(argv, env=self._env, show=True)
        return run_quick(argv, CommandLog(), env=self._env, timeout=timeout)

    def update(self) -> None:
        """Fetch the lists; InfrastructureError where one of the archives does not give them."""
        if not KEYRING.is_file() and TRUST.endswith(str(KEYRING)):
            raise InfrastructureError(
                f"{KEYRING} is missing, by which Debian's archives prove themselves",
                "apt-get install debian-archive-keyring",
            )
        try:
            self._run("apt-get", "-q", "update", "--error-on=any", timeout=600)
        except InfrastructureError as error:
            said = re.findall(r"^(?:E|Err\S*) ?:? ?(.+(?:\n  .+)*)", error.message, re.MULTILINE)
            if not said:
                raise
            raise InfrastructureError(
                f"the Debian archives {self._mirrors.main} and {self._mirrors.security} cannot be "
                "read:\n  " + "\n  ".join(dict.fromkeys(said)),
                "look at the host's apt sources, or set YV_DEBIAN_MIRROR and "
                "YV_DEBIAN_SECURITY_MIRROR",
            ) from error

    def closure(self, names: Sequence[str]) -> list[tuple[str, str]]:
        """Return name and version of all that *names* need, in apt's order.

        Raises UsageError where the archive does not have one of them.
        """
        try:
            listing = self._run("apt-get", "-s", "-q", "install", "--no-install-recommends", *names)
        except InfrastructureError as error:
            missing = re.findall(
                r"Unable to locate package (\S+)|Package '?(\S+?)'? has no installation candidate",
                error.message,
            )
            if not missing:
                raise
            wanted = ", ".join(sorted({one or other for one, other in missing}))
            raise UsageError(
                f"{self._mirrors.main} has no package {wanted}", "correct the list of names"
            ) from error
        return re.findall(r"^Inst (\S+) \((\S+) ", listing, re.MULTILINE)

    def show(self, wanted: Sequence[tuple[str, str]]) -> dict[str, Stanza]:
        """Return the fields of each package."""
        text = self._run("apt-cache", "show", *(f"{name}={version}" for name, version in wanted))
        return {fields["Package"]: fields for fields in stanzas(text) if "Package" in fields}

    def uris(self, wanted: Sequence[tuple[str, str]]) -> dict[str, str]:
        """Return the URL of each package, from the archive that apt would take it from."""
        named = (f"{name}={version}" for name, version in wanted)
        text = self._run("apt-get", "-q", "download", "--print-uris", *named)
        lines = re.findall(r"^'(\S+)' ([^_\s]+)_\S+ \d+", text, re.MULTILINE)
        return {name: unquote(uri) for uri, name in lines}
