"""The files that are laid over the packages: network, sshd, keys, units, initrd."""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass
from pathlib import Path

from yoctovirt.config.roles import Role

#: Units that cost boot time or write without need; a node lives for one run.
MASKED = (
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty@tty1.service",
    "man-db.timer",
    "modprobe@dm_mod.service",
    "modprobe@drm.service",
    "modprobe@efi_pstore.service",
    "modprobe@loop.service",
    "motd-news.timer",
    "proc-sys-fs-binfmt_misc.automount",
    "systemd-binfmt.service",
    "systemd-fsck-root.service",
    "systemd-journal-flush.service",
    "systemd-networkd-wait-online.service",
    "systemd-pcrphase-initrd.service",
    "systemd-pcrphase-sysinit.service",
    "systemd-pcrphase.service",
    "systemd-random-seed.service",
    "systemd-tmpfiles-clean.timer",
    "systemd-update-utmp.service",
    "unattended-upgrades.service",
    # The manager of root's own units costs a second of each first login.
    "user@0.service",
    "snapd.service",
    "sys-kernel-tracing.mount",
    "systemd-network-generator.service",
    "systemd-pstore.service",
)
ENABLED = ("systemd-networkd.service", "ssh.service", "yoctovirt-late.service")

_NETWORK = """\
[Match]
Name=eth0 en*

[Network]
DHCP=yes
LinkLocalAddressing=no
IPv6AcceptRA=no
"""
#: PAM would register each login with systemd-logind, which under TCG takes longer than all the
#: rest of a connection (measured: 1.9 of 3.7 s of the node's CPU, 0.3 of 1.8 without).
_SSHD = """\
UsePAM no
PermitRootLogin prohibit-password
PasswordAuthentication no
UseDNS no
HostKey /etc/ssh/ssh_host_ed25519_key
"""
#: PAM complains of each login without it.
_LOCALE = "LANG=C.UTF-8\n"
#: The node must answer before its daemons eat the CPU. Ordering them after sshd would not
#: do: Open vSwitch is ordered before the network, and systemd breaks such a cycle by
#: leaving out a unit of its choice, the login among them.
_LATE = """\
[Unit]
Description=Start the daemons of this node once it can be reached
After=ssh.service serial-getty@ttyS0.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/lib/yoctovirt/late {units}

[Install]
WantedBy=multi-user.target
"""
_LATE_UNIT = "yoctovirt-late.service"
#: Whoever waits for the node is served first. Nobody may come at all: then after 10 s.
#: sshd calls the process of a user who has logged in "sshd: root@notty".
_LATE_SCRIPT = """\
#!/bin/sh
turns=0
while [ $turns -lt 20 ] && ! pgrep -f '^sshd: root@' >/dev/null; do
    sleep 0.5
    turns=$((turns + 1))
done
exec systemctl start --no-block "$@"
"""
_VOLATILE_JOURNAL = "[Journal]\nStorage=volatile\n"


@dataclass(frozen=True)
class Keys:
    """The key pairs of one image, in OpenSSH's formats."""

    client_private: str
    client_public: str
    host_private: str
    host_public: str


def make_keys() -> Keys:
    """Return new Ed25519 pairs: one to log in with, one for the node's sshd."""
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    def pair(comment: str) -> tuple[str, str]:
        key = Ed25519PrivateKey.generate()
        private = key.private_bytes(
            form.Encoding.PEM, form.PrivateFormat.OpenSSH, form.NoEncryption()
        )
        public = key.public_key().public_bytes(form.Encoding.OpenSSH, form.PublicFormat.OpenSSH)
        return private.decode(), f"{public.decode()} {comment}\n"

    return Keys(*pair("yoctovirt"), *pair("root@node"))


def overlay_files(role: Role, keys: Keys) -> dict[str, tuple[str, int]]:
    """Return path (without leading slash) to content and mode for an image of *role*."""
    init = Path(__file__).with_name("initrd-init.sh").read_text(encoding="utf-8")
    files = {
        "etc/hostname": (f"{role.name}\n", 0o644),
        "etc/hosts": (f"127.0.0.1 localhost {role.name}\n::1 localhost\n", 0o644),
        "etc/default/locale": (_LOCALE, 0o644),
        "etc/fstab": ("/dev/root / ext4 defaults,noatime 0 0\n", 0o644),
        "etc/systemd/network/20-wired.network": (_NETWORK, 0o644),
        "etc/systemd/journald.conf.d/10-volatile.conf": (_VOLATILE_JOURNAL, 0o644),
        "etc/ssh/sshd_config.d/10-yoctovirt.conf": (_SSHD, 0o644),
        "etc/ssh/ssh_host_ed25519_key": (keys.host_private, 0o600),
        "etc/ssh/ssh_host_ed25519_key.pub": (keys.host_public, 0o644),
        "root/.ssh/authorized_keys": (keys.client_public, 0o600),
        "usr/lib/yoctovirt/initrd-init": (init, 0o755),
    }
    if role.debian and role.debian.after_ssh:
        late = _LATE.format(units=" ".join(role.debian.after_ssh))
        files[f"usr/lib/systemd/system/{_LATE_UNIT}"] = (late, 0o644)
        files["usr/lib/yoctovirt/late"] = (_LATE_SCRIPT, 0o755)
    return files


def enabled(role: Role) -> tuple[str, ...]:
    """Return the units of ours that an image of *role* starts."""
    # Xen has the serial port; its first domain has a console of Xen's instead.
    console = "hvc0" if role.debian and role.debian.hypervisor else "ttyS0"
    return (*ENABLED, f"serial-getty@{console}.service")


def overlay_tar(files: dict[str, tuple[str, int]]) -> bytes:
    """Return a tar archive of *files*, all owned by root, folders included."""
    buffer = io.BytesIO()
    folders = {parent for name in files for parent in Path(name).parents if parent != Path()}
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        # The system's own folders stay as they are; only .ssh has a mode of its own.
        for folder in sorted(folders):
            if folder.name == ".ssh":
                entry = tarfile.TarInfo(str(folder))
                entry.type, entry.mode = tarfile.DIRTYPE, 0o700
                tar.addfile(entry)
        for name, (text, mode) in files.items():
            data = text.encode()
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), mode
            tar.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()
