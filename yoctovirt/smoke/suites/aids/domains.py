"""Domains of libvirt around the firmware of ours."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from yoctovirt.smoke.checked import SmokeNode
from yoctovirt.smoke.cleanup import Undo
from yoctovirt.smoke.suites.aids import guestrom
from yoctovirt.smoke.suites.aids.waiting import until

VIRSH = "virsh -q -c qemu:///system"
#: No graphics, no USB: the firmware has a serial port and a power button. Its console is on a
#: terminal of its own, and what it says is kept in a file besides.
_XML = """\
<domain type='{kind}'>
  <name>{name}</name>
  <memory unit='MiB'>16</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='pc'>hvm</type>
    <loader readonly='yes' type='rom'>{folder}/guest.rom</loader>
  </os>
  <features><acpi/></features>
  {cpu}
  <devices>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
    <serial type='pty'><log file='{folder}/console.log' append='on'/></serial>
  </devices>
</domain>
"""


@dataclass
class Domain:
    """A domain that is defined on the node."""

    node: SmokeNode
    undo: Undo
    kind: str = "qemu"
    word: str = field(default_factory=lambda: secrets.token_hex(8))
    folder: str = ""

    @property
    def name(self) -> str:
        """Name of the domain."""
        return f"yoctovirt-{self.word[:8]}"

    def define(self) -> None:
        """Bring the firmware and define the domain."""
        # Not in /tmp: QEMU runs as a user of its own, at times with a /tmp of its own.
        self.folder = f"/var/lib/libvirt/{self.name}"
        self.undo(f"rm -rf {self.folder}")
        self.undo(f"{VIRSH} destroy {self.name}; {VIRSH} undefine {self.name}; true")
        self.node.check(f"mkdir -p {self.folder}")
        cpu = "<cpu mode='host-passthrough'/>" if self.kind == "kvm" else ""
        xml = _XML.format(kind=self.kind, name=self.name, folder=self.folder, cpu=cpu)
        self.node.put(guestrom.rom(self.word), f"{self.folder}/guest.rom")
        self.node.put(xml.encode(), f"{self.folder}/domain.xml")
        self.node.check(
            f"chmod 755 {self.folder} && {VIRSH} define {self.folder}/domain.xml",
            why="a domain cannot be defined",
        )

    def start(self) -> None:
        """Start the domain where it does not run, and wait for its first words."""
        started = self.node.run(
            f"case $({VIRSH} domstate {self.name}) in running) ;; "
            f"paused) {VIRSH} resume {self.name} ;; *) {VIRSH} start {self.name} ;; esac"
        )
        assert started.ok, f"the domain cannot be started\n{started.output}\n{self._qemu_log()}"
        heard = until(self.node, f"grep -a 'count [1-9]' {self.folder}/console.log", 60)
        assert heard.ok, (
            f"the domain runs, and its guest says nothing within 60 s; the console has:\n"
            f"{self.console() or '(nothing)'}\n{self._qemu_log()}"
        )

    def state(self) -> str:
        """Return what virsh says of its state."""
        return self.node.check(f"{VIRSH} domstate {self.name}").strip()

    def console(self) -> str:
        """Return all that the guest has said."""
        return self.node.run(f"cat {self.folder}/console.log").output

    def _qemu_log(self) -> str:
        return self.node.run(f"tail -n 15 /var/log/libvirt/qemu/{self.name}.log 2>&1").output
