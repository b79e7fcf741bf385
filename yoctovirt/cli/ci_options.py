"""What a call of ``ci`` was asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from yoctovirt.cli.annotate import Annotations, Plain
from yoctovirt.cli.choice import Checks
from yoctovirt.cli.retry import Retry
from yoctovirt.errors import UsageError

if TYPE_CHECKING:
    from yoctovirt.boot.qemuargs import BootOptions
    from yoctovirt.build.kas.builder import KasOptions

#: The phases of a run, for ``--until``.
PHASES = ("build", "boot", "smoke")


@dataclass(frozen=True)
class Options:
    """How to build, to boot and to test."""

    boot: BootOptions
    build: KasOptions
    force: bool
    checks: Checks
    bundles: dict[str, Path] = field(default_factory=dict)  #: role -> where its image is
    until: str = PHASES[-1]  #: the last phase
    retry: Retry = field(default_factory=Retry)
    tell: Annotations = field(default_factory=Plain)  #: what the CI service is told

    @property
    def ends_early(self) -> str | None:
        """The last phase, None where that is the last of all: ``until`` of run.json."""
        return self.until if self.until != PHASES[-1] else None

    def check(self, hosts: bool) -> None:
        """Raise UsageError where the phases that were asked for make no sense together."""
        if self.bundles and self.until == "build":
            raise UsageError(
                "--from builds nothing, and --until build does nothing else",
                "leave one away; 'yoctovirt bundle --check FILE' verifies a bundle",
            )
        if self.bundles and (self.force or self.build.names_anything()):
            raise UsageError(
                "--from builds nothing",
                "leave --force, --release, --machine, --feature, --with and --container away: they "
                "were decided where the bundle was made",
            )
        if hosts and self.until != "smoke":
            raise UsageError(
                f"--until {self.until}: a host is only tested", "name it in another call"
            )
