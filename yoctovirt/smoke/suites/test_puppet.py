"""Suite puppet: a manifest is applied, once, and again where somebody has changed what it made."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import pytest

from yoctovirt.boot.results import CommandResult
from yoctovirt.smoke.checked import SmokeNode
from yoctovirt.smoke.cleanup import Undo

pytestmark = [pytest.mark.usefixtures("started"), pytest.mark.deadline(300)]

COMMANDS = ("puppet",)
DIAGNOSTICS = ("puppet --version", "ruby --version", "cat /etc/puppet/puppet.conf")

#: Exit status of ``puppet apply --detailed-exitcodes``.
UNCHANGED, FAILED, CHANGED, RESOURCES_FAILED = 0, 1, 2, 4
#: Seconds of one call: a large Ruby program, on a node that may be emulated.
_CALL = 120.0

_MANIFEST = """
file { '@ROOT@/made':
  ensure => directory,
  mode   => '0750',
}
-> file { '@ROOT@/made/word':
  ensure  => file,
  content => "@WORD@\\n",
  mode    => '0640',
}
-> exec { 'once':
  command => '/bin/sh -c "echo ran >>@ROOT@/made/runs"',
  unless  => '/bin/sh -c "test -e @ROOT@/made/runs"',
}
"""
#: Prints what the manifest should have made: modes, the word, how often the command ran.
_LOOK = """
exec 2>/dev/null
stat -c %a {0}/made {0}/made/word && cat {0}/made/word && wc -l <{0}/made/runs
"""


@dataclass(frozen=True)
class Puppet:
    """puppet on a node; *root* is a folder of ours, for the manifests and what they make."""

    node: SmokeNode
    root: str
    word: str

    def write(self, name: str, text: str) -> str:
        """Write a manifest; return its path."""
        path = f"{self.root}/{name}.pp"
        text = text.replace("@ROOT@", self.root).replace("@WORD@", self.word)
        self.node.put(text.encode(), path)
        return path

    def apply(self, manifest: str, options: str = "") -> CommandResult:
        """Apply a manifest. What puppet keeps of its last run on the node is left alone."""
        return self.node.run(
            f"puppet apply --vardir {self.root}/var --color false --detailed-exitcodes "
            f"{options} {manifest} 2>&1",
            _CALL,
        )

    def look(self) -> list[str]:
        """Return what the manifest made; where a part of it is missing, not what comes behind."""
        return self.node.run(_LOOK.format(self.root)).output.split()


def _expect(done: CommandResult, status: int, what: str) -> None:
    assert done.exit_status != 127, "puppet is not on the node: nothing was tested"
    said = "\n".join(done.output.strip().splitlines()[-8:]) or "(no output)"
    assert done.exit_status == status, (
        f"{what} should end with {status}, puppet ended with {done.exit_status}\n{said}"
    )


@pytest.fixture
def puppet(node: SmokeNode, undo: Undo) -> Puppet:
    """Make a folder of ours."""
    root = f"/run/yoctovirt-{secrets.token_hex(4)}"
    undo(f"rm -rf {root}")
    node.check(f"mkdir -m 700 {root}")
    return Puppet(node, root, secrets.token_hex(8))


@pytest.fixture
def manifest(puppet: Puppet) -> str:
    """Write the manifest and apply it for the first time."""
    path = puppet.write("site", _MANIFEST)
    _expect(puppet.apply(path), CHANGED, "a manifest that is applied for the first time")
    return path


def test_apply(puppet: Puppet, manifest: str) -> None:
    """A manifest with a folder, a file and a command makes what it says; a second run nothing."""
    wanted = ["750", "640", puppet.word, "1"]
    made = puppet.look()
    assert made == wanted, f"the manifest should have made {wanted}, made is {made or 'nothing'}"
    _expect(puppet.apply(manifest), UNCHANGED, "a second run, with nothing left to do,")
    made = puppet.look()
    assert made == wanted, f"after a second run there should be {wanted}, there is {made}"


def test_drift(puppet: Puppet, manifest: str) -> None:
    """What somebody changes is told by a run that only looks, and put right by the next one."""
    puppet.node.check(f"echo other >{puppet.root}/made/word")
    done = puppet.apply(manifest, "--noop")
    assert "should be" in done.output, (
        f"a file was changed, and a run that only looks says nothing of it: {done.output.strip()}"
    )
    assert "other" in puppet.look(), "a run that only looks (--noop) has changed a file"
    _expect(puppet.apply(manifest), CHANGED, "a run that has a file to put right")
    made = puppet.look()
    wanted = ["750", "640", puppet.word, "1"]
    assert made == wanted, f"a file was changed and should be {wanted} again, it is {made}"


def test_broken(puppet: Puppet) -> None:
    """A manifest that is no manifest makes nothing and ends with 1; one that fails ends with 4."""
    broken = puppet.write("broken", _MANIFEST + "file { '@ROOT@/made/other': ensure =>")
    _expect(puppet.apply(broken), FAILED, "a manifest that breaks off")
    left = puppet.node.run(f"ls -d {puppet.root}/made")
    assert not left.ok, "a manifest that breaks off has made a folder"
    failing = puppet.write(
        "failing",
        "exec { 'fails': command => '/bin/false' }\n"
        "-> file { '@ROOT@/after': ensure => file, content => 'x' }",
    )
    _expect(puppet.apply(failing), RESOURCES_FAILED, "a manifest whose command fails")
    left = puppet.node.run(f"ls -d {puppet.root}/after")
    assert not left.ok, "a file was made although the command that it needs had failed"


def test_facts(puppet: Puppet) -> None:
    """A manifest knows the facts of the node: its kernel's release, and its name."""
    path = puppet.write(
        "facts",
        "file { '@ROOT@/facts':\n  ensure  => file,\n"
        "  content => \"${facts['kernelrelease']} ${facts['hostname']}\\n\",\n}\n",
    )
    _expect(puppet.apply(path), CHANGED, "a manifest that writes facts")
    told = puppet.node.check(f"cat {puppet.root}/facts").split()
    wanted = puppet.node.check("uname -r; uname -n | cut -d. -f1").split()
    assert told == wanted, f"kernel and name are {wanted}, puppet's facts say {told}"
